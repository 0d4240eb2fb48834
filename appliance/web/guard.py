"""What every request passes first: the right host, not sent by another page, and safe headers on the way back.

Who may use which address is the gate's, inside. Plain ASGI, so that streams pass through untouched.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, *, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # Gradio 6 needs no websocket; the lifespan messages of the server pass.
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    out[name] = value
                if scope["path"].startswith(("/assets/", "/static/")):
                    out["Cache-Control"] = "private, max-age=31536000, immutable"
                else:
                    # On a shared phone neither the cache nor the back button may show what somebody saw before.
                    out["Cache-Control"] = "no-store"
            await send(message)

        refusal = self._refusal(scope, Headers(scope=scope))
        # Gradio builds its own address from this header; behind no proxy it can only be a lie.
        scope["headers"] = [(k, v) for k, v in scope["headers"] if not k.startswith(b"x-forwarded-")]
        await (refusal or self._app)(scope, receive, send_safe)

    def _refusal(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        if not self._is_ours(headers.get("host", "")):
            return PlainTextResponse("This box does not answer to that name.", 400)
        if scope["method"] not in ("GET", "HEAD") and not _from_here(scope, headers):
            return PlainTextResponse("Asked from another page.", 403)
        return None

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


def _from_here(scope: Scope, headers: Headers) -> bool:
    """Whether the sending page is ours, by what the browser says of it. Programs, and the oldest phones, say nothing:
    those have no cookie that another page could use, and forms carry a token besides."""
    here = (scope["scheme"], headers.get("host", ""))
    origin = headers.get("origin")
    if origin is not None:
        said = urlsplit(origin)
        return (said.scheme, said.netloc) == here
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    referrer = headers.get("referer")
    return referrer is None or (urlsplit(referrer).scheme, urlsplit(referrer).netloc) == here
