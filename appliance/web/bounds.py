"""A request's body within bounds: so many bytes, in so much time. Else a slow or endless sender would hold the box."""

import asyncio
import time
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAUSE_S = 15.0
"""Longest pause between two pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """For one kind of request."""

    most_bytes: int
    within_s: float


class _Broken(Exception):
    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


async def bounded(app: ASGIApp, scope: Scope, receive: Receive, send: Send, bounds: Bounds) -> None:
    """Run ``app`` on a body within ``bounds``; beyond them answer 413 or 408 and hang up."""
    headers = Headers(scope=scope)
    try:
        told = int(headers.get("content-length") or 0)
    except ValueError:
        told = bounds.most_bytes + 1
    if told > bounds.most_bytes:
        await _refuse(_too_large(bounds), scope, receive, send)
        return
    deadline = time.monotonic() + bounds.within_s
    came = 0
    whole = started = False
    broken: _Broken | None = None

    async def receive_bounded() -> Message:
        nonlocal came, whole, broken
        if broken:
            raise broken
        if whole:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), min(PAUSE_S, deadline - time.monotonic()))
        except TimeoutError:
            broken = _Broken(408, "The request came too slowly.")
            raise broken from None
        if message["type"] == "http.request":
            came += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if came > bounds.most_bytes:
                broken = _too_large(bounds)
                raise broken
        return message

    async def send_unless_broken(message: Message) -> None:
        nonlocal started
        if broken and not started:
            return  # the app took it for a client that went away, or for a form that it cannot read
        started = True
        await send(message)

    try:
        await app(scope, receive_bounded, send_unless_broken)
    except _Broken:
        if started:
            raise
    if broken and not started:
        await _refuse(broken, scope, receive, send)


def _too_large(bounds: Bounds) -> _Broken:
    return _Broken(413, f"That is too much: at most {bounds.most_bytes:,} bytes are taken here.")


async def _refuse(broken: _Broken, scope: Scope, receive: Receive, send: Send) -> None:
    response = PlainTextResponse(str(broken), broken.status, headers={"Connection": "close"})
    await response(scope, receive, send)
