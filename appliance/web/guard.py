"""What every request passes before a page or the API sees it: the right host, the door, closed paths, safe headers.

Plain ASGI, so that streams pass through untouched.
"""

import hashlib
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.web.door import Door

COOKIE = "fieldpost"
LITE = "lite"
"""What ``/enter?to=`` says when the plain page was wanted."""
CLOSED_PATHS = (
    "/proxy=",
    "/monitoring",
    "/run-history",
    "/dev/reload",
    "/vibe",
    "/process_recording",
    "/deep_link",
    "/profiling",
    "/openapi.json",
    "/gradio_api/info",
    "/gradio_api/openapi.json",
    "/gradio_api/file",
    "/gradio_api/upload",
)
"""Parts of Gradio that a box has no use for, and that would show or fetch what is nobody's business."""
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser sends our own forms as from nowhere
}


class Guard:
    """ASGI middleware around the whole app. ``door`` is ``None`` on a box that serves only itself."""

    def __init__(self, app: ASGIApp, *, names: frozenset[str], door: Door | None) -> None:
        self._app = app
        self._names = names
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # Gradio 6 needs no websocket; the lifespan messages of the server pass.
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        # Gradio builds its own address from this header; behind no proxy it can only be a lie.
        scope["headers"] = [(k, v) for k, v in scope["headers"] if not k.startswith(b"x-forwarded-")]

        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    out[name] = value
                if scope["path"].startswith(("/assets/", "/static/")):
                    out["Cache-Control"] = "public, max-age=31536000, immutable"
            await send(message)

        await self._app(scope, receive, send_safe)

    def _refusal(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        path: str = scope["path"]
        if not self._is_ours(headers.get("host", "")):
            return PlainTextResponse("This box does not answer to that name.", 400)
        if any(closed in path for closed in CLOSED_PATHS):
            return PlainTextResponse("Not found.", 404)
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin and urlsplit(origin).netloc != headers.get("host"):
            return PlainTextResponse("Asked from another page.", 403)
        # The API has keys of its own: programs have no use for a form.
        open_to_all = path in ("/enter", "/healthz", "/metrics") or path.startswith("/v1/")
        if self._door is None or open_to_all or self._door.admits(session(headers)):
            return None
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse(f"/enter?to={LITE}" if path.startswith("/lite") else "/enter", 303)
        return PlainTextResponse("Enter the access code first.", 401)

    def _is_ours(self, host: str) -> bool:
        """A name of ours or a bare address; another name means that a web page is steering this browser here."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def asker(headers: Mapping[str, str], host: str | None) -> str:
    """Tells this phone's questions from another's, without saying whose they are: by its session, else its address."""
    return hashlib.sha256(f"{session(headers) or host}".encode()).hexdigest()[:16]


def session(headers: Mapping[str, str]) -> str:
    """The session token of the request's cookie, or an empty string."""
    for part in headers.get("cookie", "").split(";"):  # leniently: another service's odd cookie is not our affair
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""
