"""The page for old phones: plain HTML without scripts, under 30 kB. An answer has an address of its own.

    GET  /lite              the form
    POST /lite              asks, and leads to
    GET  /lite/JOB          the answer, written as it grows; reloading finds it, whatever became of the link
    POST /lite/JOB/stop

HTML cannot take back what it has sent, so what grows is hidden by the last thing that comes: the whole answer.
"""

import html
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from appliance.box import Box
from appliance.errors import FieldpostError
from appliance.exchange import Question
from appliance.language.glossary import Glossary
from appliance.web import furniture, pages, render
from appliance.web.identity import asker, of
from appliance.web.jobs import Job, Jobs, kind_of
from appliance.web.strings import attributes, words
from appliance.web.topics import Topic
from appliance.web.visitor import COOKIE, KEPT_S, answered, offered, shown

_STYLE = """
textarea{width:100%;box-sizing:border-box;font:inherit;font-size:20px;background:var(--fp-back);color:var(--fp-text)}
label.kind{display:flex;align-items:center;gap:8px;min-height:48px}
label.kind input{width:24px;height:24px}
fieldset{border:0;padding:0;margin:0}
"""


def routes(box: Box, jobs: Jobs, topics: Sequence[Topic], *, most_characters: int) -> APIRouter:
    """The four routes above."""
    router = APIRouter()
    site = box.release.languages

    @router.get("/lite")
    def form(
        request: Request, lang: str = "", q: Annotated[str, Query(max_length=most_characters)] = ""
    ) -> HTMLResponse:
        chosen = lang if lang in offered(site) else ""
        page = HTMLResponse(_form(box, topics, chosen or shown(request.headers, site), most_characters, text=q))
        if chosen:
            page.set_cookie(COOKIE, chosen, max_age=KEPT_S, httponly=True, samesite="lax")
        return page

    @router.post("/lite")
    def ask(
        request: Request,
        text: Annotated[str, Form(max_length=most_characters)] = "",
        adapter: Annotated[str, Form(max_length=64)] = "",
        lang: Annotated[str, Form(max_length=20)] = "",
    ) -> Response:
        # The form says its language, for phones that keep no cookies.
        seen = lang if lang in offered(site) else shown(request.headers, site)
        if not text.strip():
            error = render.error(words(seen)["empty"])
            return HTMLResponse(_form(box, topics, seen, most_characters, error=error), 422)
        try:
            box.check(lang=answered(seen, site), adapter=adapter or None)
            asked = Question(text=text, lang=answered(seen, site), adapter=adapter or None, asker=asker(request))
            job = jobs.start(asked, of(request).owner)
        except FieldpostError as error:
            failure = render.failure(kind_of(error), str(error), seen)
            return HTMLResponse(_form(box, topics, seen, most_characters, text=text, error=failure), 422)
        return RedirectResponse(f"/lite/{job.snapshot.id}?lang={seen}", 303)

    @router.get("/lite/{job_id}")
    def answer(request: Request, job_id: str, lang: str = "", noted: bool = False) -> Response:
        seen = lang if lang in offered(site) else shown(request.headers, site)
        job = jobs.get(job_id, of(request).owner)
        if job is None:
            error = render.error(words(seen)["gone"])
            return HTMLResponse(_form(box, topics, seen, most_characters, error=error), 404)
        # Named, so that no middleware packs it: packed, it would arrive in one piece at the end.
        headers = {"Cache-Control": "no-store", "Content-Encoding": "identity"}
        written = _answer(job, seen, box.pipeline.working_lang, box.glossary, noted=noted)
        return StreamingResponse(written, media_type="text/html", headers=headers)

    @router.post("/lite/{job_id}/stop")
    def stop(request: Request, job_id: str) -> RedirectResponse:
        job = jobs.get(job_id, of(request).owner)
        if job is not None:
            job.stop()
        return RedirectResponse(f"/lite/{job_id}" if job else "/lite", 303)

    return router


def _form(
    box: Box, topics: Sequence[Topic], lang: str, most_characters: int, *, text: str = "", error: str = ""
) -> str:
    said = words(lang)
    site = box.release.languages
    forms = {"": said["plain"], **{name: said.get(name, name) for name in box.release.adapters}}
    kinds = "".join(
        f'<label class="kind"><input type="radio" name="adapter" value="{html.escape(name)}"'
        f"{'' if name else ' checked'}> {html.escape(label)}</label>"
        for name, label in forms.items()
    )
    fieldset = f"<fieldset><legend>{html.escape(said['form'])}</legend>{kinds}</fieldset>" if len(forms) > 1 else ""
    switch = furniture.languages(lang, site, lambda other: f"/lite?lang={other}")
    return pages.page(
        title="Fieldpost",
        lang=lang,
        style=_STYLE,
        body=f"""{furniture.title(box.release.title)}{switch}{furniture.notice(box.mode, lang)}{error}
<form method="post" action="/lite"><input type="hidden" name="lang" value="{html.escape(lang)}">
<label for="text">{html.escape(said["question"])}</label>
<textarea id="text" name="text" rows="4" maxlength="{most_characters}" required>{html.escape(text)}</textarea>
{fieldset}
<button class="go">{html.escape(said["ask"])}</button></form>
{furniture.topics(topics, lang, site, links=True)}
<p class="fp-foot"><a href="/me">{html.escape(said["in_me"])}</a>
<a href="/cards?lang={html.escape(lang)}">{html.escape(said["cards"])}</a></p>""",
    )


async def _answer(
    job: Job, lang: str, working_lang: str, glossary: Glossary, *, noted: bool = False
) -> AsyncIterator[str]:
    snapshot = job.snapshot
    said = words(lang)
    start, end = pages.page(title="Fieldpost", lang=lang, style=_STYLE, body="\0").split("\0")
    yield f"{start}<h1 class='fp-title' dir='auto'>{html.escape(snapshot.question)}</h1>"
    if not snapshot.over:
        button = f'<button class="fp-button">{html.escape(said["stop"])}</button>'
        yield f"""<div class="growing"><p class="fp-status">{html.escape(said["reload"])}</p>
<form method="post" action="/lite/{snapshot.id}/stop">{button}</form>
<div class="fp-answer" {attributes(snapshot.lang)}>"""
        written = ""
        told: object = None
        async for snapshot in job.watch():
            if not snapshot.over and (now := (snapshot.state, snapshot.position, snapshot.wait_s)) != told:
                told = now
                yield render.status(snapshot, lang)
            if snapshot.answer.startswith(written):
                yield html.escape(snapshot.answer[len(written) :])
                written = snapshot.answer
        yield "</div></div><style>.growing{display:none}</style>"
    terms = render.terms_of(snapshot, glossary, working_lang)
    yield (
        render.answer(snapshot, lang, terms)
        + render.original(snapshot, lang, working_lang)
        + render.sources(snapshot, lang)
        + render.feedback(snapshot, lang, noted=noted)
    )
    yield f'<p><a class="fp-open" href="/lite?lang={html.escape(lang)}">{html.escape(said["again"])}</a></p>{end}'
