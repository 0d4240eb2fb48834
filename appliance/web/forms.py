"""The small things that Ask and the plain page post: which language to show, and what became of an answer.

GET   /language/LANG?to=lite     remembers it on the phone and leads back
POST  /feedback/JOB              verdict (helped, wrong), reason, words -> the feedback stream, redacted
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse

from appliance.box import Box
from appliance.errors import LogError
from appliance.safety.redact import POLICY, redact
from appliance.web.identity import of
from appliance.web.jobs import Jobs
from appliance.web.render import MOST_WORDS, REASONS
from appliance.web.visitor import COOKIE, KEPT_S, offered

MOST_VERDICTS = 5
"""On one answer: minds change, and a disk is not to be filled."""


def routes(box: Box, jobs: Jobs) -> APIRouter:
    """The two routes above."""
    router = APIRouter()

    @router.get("/language/{lang}")
    def language(lang: str, to: str = "") -> RedirectResponse:
        answer = RedirectResponse("/lite" if to == "lite" else "/", 303)
        if lang in offered(box.release.languages):
            answer.set_cookie(COOKIE, lang, max_age=KEPT_S, httponly=True, samesite="lax")
        return answer

    @router.post("/feedback/{job_id}")
    def feedback(
        request: Request,
        job_id: str,
        verdict: Annotated[Literal["helped", "wrong"], Form()],
        reason: Annotated[str, Form(max_length=20)] = "",
        words: Annotated[str, Form(max_length=MOST_WORDS)] = "",
    ) -> RedirectResponse:
        job = jobs.get(job_id, of(request).owner)
        if job is None or job.snapshot.exchange is None:
            raise HTTPException(404, "That answer is not kept any more.")
        if reason and reason not in REASONS:
            raise HTTPException(422, f"The reason is {reason}. One of these is needed: {', '.join(REASONS)}.")
        if job.verdicts >= MOST_VERDICTS:
            raise HTTPException(429, "Enough was said about this answer.")
        redacted = redact(words.strip(), box.config.safety.phone_regions, box.pipeline.policy.names)
        body: dict[str, object] = {
            "v": 1,
            "id": job_id,
            "lang": job.snapshot.lang,
            "verdict": verdict,
            "reason": reason if verdict == "wrong" else "",
            "words": redacted.text,
            "policy": POLICY,
            "found": dict(redacted.found),
        }
        try:
            box.log.append("feedback", body)
        except LogError as error:
            raise HTTPException(507, str(error)) from error
        job.verdicts += 1
        return RedirectResponse(f"/lite/{job_id}?noted=1", 303)

    return router
