"""What may travel unencrypted, and the page that helps a phone trust this box.

Where the site encrypts, which is the default, an unencrypted request gets that page and nothing else: so does who types
the address without ``https``. The box itself, over loopback, sends nothing through the air.
"""

import html
import ipaddress
from collections.abc import Callable

import segno
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.accounts.people import People
from appliance.certificates import Certificates
from appliance.web import identity
from appliance.web.frame import page, told
from appliance.web.identity import LangOf
from appliance.web.strings import words

TRUST, CERTIFICATE = "/trust", "/trust/fieldpost.crt"


class Encrypted:
    """ASGI middleware: refuses what must not go unencrypted. Inside the guard, outside the gate."""

    def __init__(self, app: ASGIApp, *, people: People) -> None:
        self._app = app
        self._people = people

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._refuses(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer: Response = PlainTextResponse("This box speaks https. Begin the address with https://", 403)
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            answer = RedirectResponse(TRUST, 303)
        await answer(scope, receive, send)

    def _refuses(self, scope: Scope) -> bool:
        if scope["scheme"] == "https" or scope["path"] in (TRUST, CERTIFICATE, "/healthz") or local(scope):
            return False
        return self._people.transport == "https"


def local(scope: Scope) -> bool:
    """Whether a request came from this machine itself."""
    try:
        return ipaddress.ip_address((scope.get("client") or ("",))[0]).is_loopback
    except ValueError:
        return False


def bare(request: Request) -> bool:
    """Whether others on the network can read this request."""
    return request.url.scheme != "https" and not local(request.scope)


def routes(certificates: Certificates | None, lang_of: LangOf) -> APIRouter:
    """The page for phones, and the certificate that they take. Without one there is no such page."""
    router = APIRouter()

    @router.get(TRUST)
    def trust(request: Request) -> HTMLResponse:
        said = words(lang_of(request))
        if certificates is None:
            return HTMLResponse("This box serves only itself.", 404)
        host = request.headers.get("host", "")
        here = f"http://{host}{TRUST}"
        steps = "".join(f"<li>{html.escape(said[f'trust_{step}'])}</li>" for step in ("android", "iphone", "computer"))
        body = (
            f"<p>{html.escape(said['trust_why'])}</p>"
            f'<p><a class="button" href="{CERTIFICATE}">{html.escape(said["trust_get"])}</a></p><ul>{steps}</ul>'
            f'<p class="dim">{html.escape(said["trust_compare"])}</p>'
            f'<p class="code" dir="ltr"><code>{certificates.fingerprint}</code></p>'
            f'<p><a class="button" href="https://{html.escape(host)}/">{html.escape(said["trust_go"])}</a></p>'
            f'<p class="dim">{html.escape(said["trust_warned"])}</p>'
            f"<h2>{html.escape(said['trust_others'])}</h2>{qr(here)}"
            f'<p class="code" dir="ltr">{html.escape(here)}</p>'
        )
        return HTMLResponse(page(identity.of(request), title=said["trust_title"], body=body, lang=lang_of(request)))

    @router.get(CERTIFICATE)
    def certificate(request: Request) -> Response:
        if certificates is None:
            return PlainTextResponse("This box serves only itself.", 404)
        named = {"Content-Disposition": 'attachment; filename="fieldpost.crt"'}
        return Response(certificates.authority, media_type="application/x-x509-ca-cert", headers=named)

    return router


def qr(text: str) -> str:
    """A QR code as inline SVG, dark on white whatever the page's colours, as cameras want it."""
    drawn: str = segno.make(text, error="m").svg_inline(scale=6, border=4, dark="#000", light="#fff")
    return f'<div role="img" aria-label="QR: {html.escape(text)}" style="max-width:260px">{drawn}</div>'


def warning(request: Request, say: Callable[[str], str]) -> str:
    """What an unencrypted page lacks, as a box at its top; nothing where the page is encrypted."""
    return told(say("in_plain"), "note") if bare(request) else ""
