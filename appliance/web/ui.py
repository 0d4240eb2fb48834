"""The Gradio page: one thin client of the jobs. It keeps nothing that a closed page could lose.

The sole importer of gradio, which reads these settings when it is imported.
"""

import os
import re

os.environ.update(
    GRADIO_ANALYTICS_ENABLED="False",
    GRADIO_RUN_HISTORY="False",
    GRADIO_SSR_MODE="False",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    DO_NOT_TRACK="1",
)

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from appliance.box import Box
from appliance.errors import FieldpostError
from appliance.exchange import Question
from appliance.web import furniture, render
from appliance.web.api import MOST_CHARACTERS
from appliance.web.gate import Streams
from appliance.web.identity import asker, of
from appliance.web.jobs import Jobs, Snapshot, kind_of
from appliance.web.strings import words
from appliance.web.topics import Topic
from appliance.web.visitor import answered, shown

# System fonts only: a font service cannot be reached, and waiting for one is the classic offline complaint.
_FONTS = ["system-ui", "Noto Sans", "Noto Naskh Arabic", "Noto Nastaliq Urdu", "Noto Sans Ethiopic", "sans-serif"]
_PLAIN = ""
_STATIC = Path(__file__).parent / "static"
# The tab names the question before it is sent: so the answer is found even when nothing but the question got through.
_REMEMBER = """(question, form) => {
  const bytes = Array.from(crypto.getRandomValues(new Uint8Array(16)));
  const job = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  sessionStorage.setItem('fieldpost-job', job);
  sessionStorage.setItem('fieldpost-question', question);
  return [question, form, job];
}"""
_RECALL = "() => ['fieldpost-job', 'fieldpost-question'].map((key) => sessionStorage.getItem(key) || '')"
_JOB = re.compile("[0-9a-f]{32}")


_Shown = tuple[Any, Any, Any, Any, Any]
"""Answer, original, sources, the running job's id, and the Stop button."""


def mount(app: FastAPI, box: Box, jobs: Jobs, streams: Streams) -> None:
    """Put the page at ``/``, with ``@@key@@`` wherever ``say`` has words for it."""
    # Gradio would keep uploads and cached files in the shared temporary folder.
    temporary = box.home.data / "gradio"
    temporary.mkdir(mode=0o700, exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = str(temporary)
    font = gr.themes.utils.fonts.Font
    gr.mount_gradio_app(
        app,
        _page(box, jobs, streams),
        path="/",
        allowed_paths=[],
        blocked_paths=["/"],
        show_error=False,
        max_file_size="1mb",
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Base(font=[font(name) for name in _FONTS], font_mono=[font("monospace")], text_size="lg"),
        js=(_STATIC / "page.js").read_text(encoding="utf-8"),
    )


def style() -> str:
    """The page's own style. Not given to Gradio, which would narrow each rule to its own container."""
    return "".join((_STATIC / name).read_text(encoding="utf-8") for name in ("page.css", "gradio.css"))


def say(box: Box, topics: Sequence[Topic], key: str, lang: str) -> str:
    """What stands in place of ``@@key@@`` for a visitor who reads ``lang``."""
    site = box.release.languages
    match key:
        case "title-html":
            return furniture.title(box.release.title)
        case "languages-html":
            return furniture.languages(lang, site, lambda other: f"/language/{other}")
        case "notice-html":
            return furniture.notice(box.mode, lang)
        case "topics-html":
            return furniture.topics(topics, lang, site, links=False)
        case "foot-html":
            return furniture.foot(lang)
        case _:
            return words(lang).get(key, key)


def _html(value: str = "", **options: Any) -> Any:
    """Our own markup in our own style; Gradio's for prose would win over it."""
    return gr.HTML(value, apply_default_css=False, js_on_load=None, **options)


def _page(box: Box, jobs: Jobs, streams: Streams) -> Any:
    site = box.release.languages
    forms = [("@@plain@@", _PLAIN), *((f"@@{name}@@", name) for name in box.release.adapters)]

    with gr.Blocks(title="Fieldpost", analytics_enabled=False) as page:
        _html("@@title-html@@")
        _html("@@languages-html@@")
        _html("@@notice-html@@", elem_id="notice")
        question = gr.Textbox(
            label="@@question@@",
            placeholder="@@placeholder@@",
            lines=4,
            max_length=MOST_CHARACTERS,
            elem_id="question",
        )
        form = gr.Radio(forms, value=_PLAIN, label="@@form@@", elem_id="form", visible=len(forms) > 1, type="value")
        # One below the other: beside each other they would need gr.Row, which is two more files to load.
        ask_button = gr.Button("@@ask@@", variant="primary", elem_id="ask")
        stop_button = gr.Button("@@stop@@", elem_id="stop", visible=False)
        answer = _html(elem_id="answer")
        original = _html(elem_id="original")
        sources = _html(elem_id="sources")
        _html("@@topics-html@@")
        _html("@@foot-html@@")
        running = gr.Textbox("", visible="hidden", elem_id="running")  # a State would never reach the tab
        looking = gr.Timer(1.0, active=False)

        async def ask(text: str, kind: str, job_id: str, request: gr.Request) -> AsyncIterator[_Shown]:
            lang = shown(request.headers, site)
            hidden = gr.update(visible=False)
            if not text.strip():
                yield render.error(words(lang)["empty"]), "", "", "", hidden
                return
            owner = of(request.request).owner
            if not streams.claim(request.session_hash or "", owner):
                yield render.error(words(lang)["failed"]), "", "", "", hidden
                return
            try:
                box.check(lang=answered(lang, site), adapter=kind or None)
                fresh = _JOB.fullmatch(job_id) and not jobs.taken(job_id)
                who, tongue = asker(request.request), answered(lang, site)
                asked = Question(text=text[:MOST_CHARACTERS], lang=tongue, adapter=kind or None, asker=who)
                job = jobs.start(replace(asked, id=job_id) if fresh else asked, owner)
            except FieldpostError as error:
                yield render.failure(kind_of(error), str(error), lang), "", "", "", hidden
                return
            before = None
            async for snapshot in job.watch():
                whole = rendered(snapshot, lang)
                # Unchanged sources are not sent again: a passage that a reader unfolded would fold.
                stop = gr.update(visible=not snapshot.over)
                yield (*whole[:2], gr.skip() if whole[2] == before else whole[2], snapshot.id, stop)
                before = whole[2]

        def rendered(snapshot: Snapshot, lang: str) -> tuple[str, str, str]:
            working = box.pipeline.working_lang
            return (
                render.answer(snapshot, lang, render.terms_of(snapshot, box.glossary, working))
                + render.tools(snapshot, lang),
                render.original(snapshot, lang, working),
                render.sources(snapshot, lang) + render.feedback(snapshot, lang),
            )

        def look(job_id: str, text: str, request: gr.Request) -> tuple[Any, ...]:
            """The tab is back: what its last question has come to, and whether to look again in a second.

            A question that never arrived is at least still in its field.
            """
            job = jobs.get(job_id, of(request.request).owner)
            if job is None:
                return *[gr.skip()] * 5, gr.Timer(active=False), text or gr.skip()
            snapshot = job.snapshot
            going = not snapshot.over
            parts = rendered(snapshot, shown(request.headers, site))
            return *parts, snapshot.id, gr.update(visible=going), gr.Timer(active=going), text or gr.skip()

        def look_again(job_id: str, request: gr.Request) -> tuple[Any, ...]:
            return look(job_id, "", request)

        def stop(job_id: str, request: gr.Request) -> None:
            job = jobs.get(job_id, of(request.request).owner)
            if job is not None:
                job.stop()

        # Past the queue: an answer asked for in the moment in which a queued event ends its stream is never shown.
        quietly: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
        outcome = [answer, original, sources, running, stop_button]
        page.load(look, [running, question], [*outcome, looking, question], js=_RECALL, **quietly)
        looking.tick(look_again, running, [*outcome, looking, question], **quietly)
        ask_button.click(
            ask,
            [question, form, running],
            outcome,
            js=_REMEMBER,
            api_visibility="private",
            show_progress="hidden",
            concurrency_limit=None,
        )
        stop_button.click(stop, running, None, **quietly)
    page.queue(max_size=64, api_open=False)
    page.state_session_capacity = 200
    return page
