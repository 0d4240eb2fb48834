"""The page for old phones: plain HTML without scripts, under 30 kB. An answer has an address of its own.

    GET  /lite              the form
    POST /lite              asks, and leads to
    GET  /lite/JOB          the answer, written as it grows; reloading finds it, whatever became of the link
    POST /lite/JOB/stop

HTML cannot take back what it has sent, so what grows is hidden by the last thing that comes: the whole answer.
"""

import html
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from appliance.box import Box
from appliance.errors import FieldpostError
from appliance.exchange import Question
from appliance.web import pages, render
from appliance.web.guard import asker
from appliance.web.jobs import Job, Jobs
from appliance.web.strings import attributes, own_name, preferred, words

_STYLE = (
    (Path(__file__).parent / "static" / "page.css").read_text(encoding="utf-8")
    + """
nav a{padding:0 12px 0 0} textarea{width:100%;box-sizing:border-box} label.kind{display:block;min-height:48px}
label.kind input{min-height:24px;width:24px;height:24px}
"""
)


def routes(box: Box, jobs: Jobs, *, most_characters: int) -> APIRouter:
    """The four routes above."""
    router = APIRouter()

    @router.get("/lite")
    def form(request: Request, lang: str = "") -> HTMLResponse:
        lang = lang or preferred(request.headers.get("accept-language", ""), box.release.languages)
        return HTMLResponse(_form(box, box.offered(lang), most_characters))

    @router.post("/lite")
    def ask(
        request: Request,
        lang: Annotated[str, Form(max_length=20)],
        text: Annotated[str, Form(max_length=most_characters)] = "",
        adapter: Annotated[str, Form(max_length=64)] = "",
    ) -> Response:
        shown = box.offered(lang)
        if not text.strip():
            return HTMLResponse(_form(box, shown, most_characters, error=words(shown)["empty"]), 422)
        try:
            box.check(lang=lang, adapter=adapter or None)
            who = asker(request.headers, request.client.host if request.client else None)
            job = jobs.start(Question(text=text, lang=lang, adapter=adapter or None, asker=who))
        except FieldpostError as error:
            return HTMLResponse(_form(box, shown, most_characters, text=text, error=render.refusal(error, shown)), 422)
        return RedirectResponse(f"/lite/{job.snapshot.id}", 303)

    @router.get("/lite/{job_id}")
    def answer(request: Request, job_id: str) -> Response:
        job = jobs.get(job_id)
        if job is None:
            lang = preferred(request.headers.get("accept-language", ""), box.release.languages)
            return HTMLResponse(_form(box, lang, most_characters, error=words(lang)["gone"]), 404)
        # Named, so that no middleware packs it: packed, it would arrive in one piece at the end.
        headers = {"Cache-Control": "no-store", "Content-Encoding": "identity"}
        return StreamingResponse(_answer(job, box.pipeline.working_lang), media_type="text/html", headers=headers)

    @router.post("/lite/{job_id}/stop")
    def stop(job_id: str) -> RedirectResponse:
        job = jobs.get(job_id)
        if job is not None:
            job.stop()
        return RedirectResponse(f"/lite/{job_id}" if job else "/lite", 303)

    return router


def _form(box: Box, lang: str, most_characters: int, *, text: str = "", error: str = "") -> str:
    said = words(lang)
    others = "".join(
        f'<a href="/lite?lang={html.escape(other)}" {attributes(other)}>{html.escape(own_name(other))}</a> '
        for other in box.release.languages
        if other != lang
    )
    forms = {"": said["plain"], **{name: said.get(name, name) for name in box.release.adapters}}
    kinds = "".join(
        f'<label class="kind"><input type="radio" name="adapter" value="{html.escape(name)}"'
        f"{'' if name else ' checked'}> {html.escape(label)}</label>"
        for name, label in forms.items()
    )
    fieldset = f"<fieldset><legend>{html.escape(said['form'])}</legend>{kinds}</fieldset>" if len(forms) > 1 else ""
    return pages.page(
        title="Fieldpost",
        lang=lang,
        style=_STYLE,
        body=f"""{render.title(box.release.title)}<nav>{others}</nav>{render.notice(box.mode, lang)}\
{render.error(error) if error else ""}
<form method="post" action="/lite"><input type="hidden" name="lang" value="{html.escape(lang)}">
<label for="text">{html.escape(said["question"])}</label>
<textarea id="text" name="text" rows="4" maxlength="{most_characters}" required>{html.escape(text)}</textarea>
{fieldset}
<button>{html.escape(said["ask"])}</button></form>
<p><a href="/cards?lang={html.escape(lang)}">{html.escape(said["cards"])}</a></p>""",
    )


async def _answer(job: Job, working_lang: str) -> AsyncIterator[str]:
    snapshot = job.snapshot
    said = words(snapshot.lang)
    start, end = pages.page(title="Fieldpost", lang=snapshot.lang, style=_STYLE, body="\0").split("\0")
    yield f'{start}<p class="fp-question"><strong>{html.escape(snapshot.question)}</strong></p>'
    if not snapshot.over:
        yield f"""<div class="growing"><p class="fp-status">{html.escape(said["reload"])}</p>
<form method="post" action="/lite/{snapshot.id}/stop"><button>{html.escape(said["stop"])}</button></form>
<div class="fp-answer" {attributes(snapshot.lang)}>"""
        shown = state = ""
        async for snapshot in job.watch():
            if snapshot.state != state and not snapshot.over:
                state = snapshot.state
                yield f'<p class="fp-status">{html.escape(said[state])}</p>'
            if snapshot.answer.startswith(shown):
                yield html.escape(snapshot.answer[len(shown) :])
                shown = snapshot.answer
        yield "</div></div><style>.growing{display:none}</style>"
    yield render.answer(snapshot) + render.original(snapshot, working_lang) + render.sources(snapshot)
    yield f'<p><a href="/lite?lang={html.escape(snapshot.lang)}">{html.escape(said["again"])}</a></p>{end}'
