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

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from appliance.box import Box
from appliance.errors import FieldpostError
from appliance.exchange import Question
from appliance.web import render
from appliance.web.api import MOST_CHARACTERS
from appliance.web.guard import asker
from appliance.web.jobs import Jobs, Snapshot
from appliance.web.strings import own_name, preferred, words

# System fonts only: a font service cannot be reached, and waiting for one is the classic offline complaint.
_FONTS = ["system-ui", "Noto Sans", "Noto Naskh Arabic", "Noto Nastaliq Urdu", "Noto Sans Ethiopic", "sans-serif"]
_PLAIN = ""
_STATIC = Path(__file__).parent / "static"
# The tab names the question before it is sent: so the answer is found even when nothing but the question got through.
_REMEMBER = """(question, lang, form) => {
  const bytes = Array.from(crypto.getRandomValues(new Uint8Array(16)));
  const job = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  sessionStorage.setItem('fieldpost-job', job);
  sessionStorage.setItem('fieldpost-question', question);
  return [question, lang, form, job];
}"""
_RECALL = "() => ['fieldpost-job', 'fieldpost-question'].map((key) => sessionStorage.getItem(key) || '')"
_JOB = re.compile("[0-9a-f]{32}")


def mount(app: FastAPI, box: Box, jobs: Jobs) -> None:
    """Put the page at ``/``."""
    # Gradio would keep uploads and cached files in the shared temporary folder.
    temporary = box.home.data / "gradio"
    temporary.mkdir(mode=0o700, exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = str(temporary)
    font = gr.themes.utils.fonts.Font
    gr.mount_gradio_app(
        app,
        _page(box, jobs),
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
        css=(_STATIC / "page.css").read_text(encoding="utf-8"),
        js=(_STATIC / "page.js").read_text(encoding="utf-8"),
    )


def _page(box: Box, jobs: Jobs) -> Any:
    site = box.release.languages
    forms = list(box.release.adapters)
    start = words(site[0])

    def kinds(lang: str) -> list[tuple[str, str]]:
        text = words(lang)
        return [(text["plain"], _PLAIN), *((text.get(name, name), name) for name in forms)]

    with gr.Blocks(title="Fieldpost", analytics_enabled=False) as page:
        gr.HTML(render.title(box.release.title))
        notice = gr.HTML(elem_id="notice")
        language = gr.Radio(
            [(own_name(lang), lang) for lang in site],
            value=site[0],
            label=start["language"],
            elem_id="language",
        )
        question = gr.Textbox(
            label=start["question"],
            placeholder=start["placeholder"],
            lines=3,
            max_length=MOST_CHARACTERS,
            elem_id="question",
        )
        form = gr.Radio(
            kinds(site[0]), value=_PLAIN, label=start["form"], elem_id="form", visible=bool(forms), type="value"
        )
        with gr.Row():
            ask_button = gr.Button(start["ask"], variant="primary", elem_id="ask")
            stop_button = gr.Button(start["stop"], elem_id="stop")
        answer = gr.HTML(elem_id="answer")
        original = gr.HTML(elem_id="original")
        sources = gr.HTML(elem_id="sources")
        plain_page = gr.HTML(render.plain_page(site[0]))
        running = gr.Textbox("", visible="hidden", elem_id="running")  # a State would never reach the tab
        looking = gr.Timer(1.0, active=False)

        labels = [language, question, form, ask_button, stop_button, plain_page, notice]

        def relabel(lang: str) -> list[Any]:
            text = words(lang)
            return [
                gr.update(label=text["language"], value=lang),
                gr.update(label=text["question"], placeholder=text["placeholder"]),
                gr.update(label=text["form"], choices=kinds(lang)),
                gr.update(value=text["ask"]),
                gr.update(value=text["stop"]),
                render.plain_page(lang),
                render.notice(box.mode, lang),
            ]

        def greet(request: gr.Request) -> list[Any]:
            return relabel(preferred(request.headers.get("accept-language", ""), site))

        async def ask(
            text: str, lang: str, kind: str, job_id: str, request: gr.Request
        ) -> AsyncIterator[tuple[Any, Any, Any, Any]]:
            if not text.strip():
                yield f'<p class="fp-error">{words(lang)["empty"]}</p>', "", "", ""
                return
            try:
                box.check(lang=lang, adapter=kind or None)
                fresh = _JOB.fullmatch(job_id) and not jobs.get(job_id)
                who = asker(request.headers, request.client.host if request.client else None)
                asked = Question(text=text[:MOST_CHARACTERS], lang=lang, adapter=kind or None, asker=who)
                job = jobs.start(replace(asked, id=job_id) if fresh else asked)
            except FieldpostError as error:
                yield render.error(render.refusal(error, lang)), "", "", ""
                return
            shown = None
            async for snapshot in job.watch():
                whole = rendered(snapshot)
                # Unchanged sources are not sent again: a passage that a reader unfolded would fold.
                yield (*whole[:2], gr.skip() if whole[2] == shown else whole[2], snapshot.id)
                shown = whole[2]

        def rendered(snapshot: Snapshot) -> tuple[str, str, str]:
            return (
                render.answer(snapshot),
                render.original(snapshot, box.pipeline.working_lang),
                render.sources(snapshot),
            )

        def look(job_id: str, text: str = "") -> tuple[Any, ...]:
            """The tab is back: what its last question has come to, and whether to look again in a second.

            A question that never arrived is at least still in its field.
            """
            job = jobs.get(job_id)
            if job is None:
                return *[gr.skip()] * 4, gr.Timer(active=False), text or gr.skip()
            snapshot = job.snapshot
            return *rendered(snapshot), snapshot.id, gr.Timer(active=not snapshot.over), gr.skip()

        def stop(job_id: str) -> None:
            job = jobs.get(job_id)
            if job is not None:
                job.stop()

        # Past the queue: an answer asked for in the moment in which a queued event ends its stream is never shown.
        quietly: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
        page.load(greet, None, labels, **quietly)
        found = [answer, original, sources, running, looking, question]
        page.load(look, [running, question], found, js=_RECALL, **quietly)
        looking.tick(look, running, found, **quietly)
        language.input(relabel, language, labels, **quietly)
        ask_button.click(
            ask,
            [question, language, form, running],
            [answer, original, sources, running],
            js=_REMEMBER,
            api_visibility="private",
            show_progress="hidden",
            concurrency_limit=None,
        )
        stop_button.click(stop, running, None, **quietly)
    page.queue(max_size=64, api_open=False)
    page.state_session_capacity = 200
    return page
