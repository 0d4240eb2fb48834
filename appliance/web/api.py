"""The routes that FastAPI owns: questions as jobs, documents, the door. The Gradio page is one client of the jobs."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from appliance.box import Box
from appliance.errors import FieldpostError, KnowledgeError, Paused
from appliance.exchange import Question
from appliance.web import pages
from appliance.web.door import Door
from appliance.web.identity import COOKIE, asker, give_cookie, of
from appliance.web.jobs import Job, Jobs, Snapshot
from appliance.web.strings import words
from appliance.web.visitor import offered, shown

MOST_CHARACTERS = 2000
"""Of a question; some pages of a letter, and still a prompt that a small model holds."""

NOTICES, BILL = "NOTICES.txt", "bom.cdx.json"
"""What the installer keeps in a release's folder, as it was signed."""


class Ask(BaseModel):
    """Body of ``POST /api/ask``."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=MOST_CHARACTERS)
    lang: str
    adapter: str | None = None


def routes(box: Box, jobs: Jobs, door: Door | None) -> APIRouter:
    """All routes but the Gradio page's."""
    router = APIRouter()

    def find(job_id: str, request: Request) -> Job:
        job = jobs.get(job_id, of(request).owner)
        if job is None:
            raise HTTPException(404, "No such question, or it was asked more than half an hour ago.")
        return job

    @router.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok", "bundle": box.release.bundle, "version": box.release.version}

    @router.post("/api/ask")
    def ask(request: Request, body: Ask) -> dict[str, str]:
        try:
            box.check(lang=body.lang, adapter=body.adapter)
            job = jobs.start(
                Question(text=body.text, lang=body.lang, adapter=body.adapter, asker=asker(request)), of(request).owner
            )
        except FieldpostError as error:
            raise HTTPException(503 if isinstance(error, Paused) else 422, str(error)) from error
        return {"id": job.snapshot.id}

    @router.get("/api/jobs/{job_id}")
    def show(request: Request, job_id: str) -> JSONResponse:
        return JSONResponse(plain(find(job_id, request).snapshot))

    @router.get("/api/jobs/{job_id}/stream")
    def stream(request: Request, job_id: str) -> StreamingResponse:
        """Server-sent events, each the whole snapshot, so that a phone may come back at any time."""
        job = find(job_id, request)

        async def lines() -> AsyncIterator[str]:
            async for snapshot in job.watch():
                yield f"data: {json.dumps(plain(snapshot), ensure_ascii=False)}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @router.post("/api/jobs/{job_id}/stop")
    def stop(request: Request, job_id: str) -> dict[str, str]:
        find(job_id, request).stop()
        return {"id": job_id}

    @router.get("/source/{docpack}/{document:path}")
    def source(
        request: Request,
        docpack: str,
        document: str,
        start: Annotated[int, Query(ge=0)],
        end: Annotated[int, Query(ge=0)],
    ) -> HTMLResponse:
        try:
            title, text, text_lang = box.retriever.document(docpack, document)
        except KnowledgeError as error:
            raise HTTPException(404, str(error)) from error
        if not start <= end <= len(text):
            raise HTTPException(404, "The document has no such place.")
        lang = _lang(request)
        return HTMLResponse(
            pages.document(title=title, text=text, text_lang=text_lang, start=start, end=end, lang=lang)
        )

    @router.get("/cards")
    def cards(request: Request, lang: str = "") -> HTMLResponse:
        """What is installed, in its makers' own words."""
        parts = [(f"{c.kind} {c.name} {c.version}, {c.licence}, {c.publisher}", c.card) for c in box.release.components]
        notices = box.release.folder / NOTICES
        if notices.is_file():
            parts.append((NOTICES, notices.read_text(encoding="utf-8", errors="replace")))
        title = f"{box.release.title} {box.release.version}"
        chosen = lang if lang in offered(box.release.languages) else _lang(request)
        return HTMLResponse(pages.cards(title=title, shown=parts, lang=chosen))

    @router.get("/cards/bom.cdx.json")
    def bill_of_materials() -> FileResponse:
        """What is installed, file by file, for machines: CycloneDX."""
        path = box.release.folder / BILL
        if not path.is_file():
            raise HTTPException(404, "This release came without a bill of materials.")
        return FileResponse(path, media_type="application/vnd.cyclonedx+json", filename=BILL)

    @router.get("/enter")
    def door_page(request: Request, to: str = "") -> Response:
        if door is None:
            return RedirectResponse(_wanted(to), 303)
        return HTMLResponse(pages.door(lang=_lang(request), lite=to == "lite"))

    @router.post("/enter")
    def enter(request: Request, code: Annotated[str, Form(max_length=40)], to: str = "") -> Response:
        if door is None:
            return RedirectResponse(_wanted(to), 303)
        text = words(_lang(request))
        wait = door.wait_s()
        token = door.enter(code)
        if token is None:
            message = text["code_wait"].format(seconds=int(wait) + 1) if wait else text["code_wrong"]
            return HTMLResponse(pages.door(lang=_lang(request), message=message, lite=to == "lite"), 403)
        answer = RedirectResponse(_wanted(to), 303)
        give_cookie(answer, COOKIE, token, request=request)
        return answer

    def _lang(request: Request) -> str:
        return shown(request.headers, box.release.languages)

    return router


def _wanted(to: str) -> str:
    # One of our own two pages: an address from outside would be a way to send people elsewhere.
    return "/lite" if to == "lite" else "/"


def plain(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as JSON-ready values."""
    return asdict(snapshot)
