"""Which language a visitor sees the page in, and filling it into the page that Gradio serves to all alike.

A visitor may choose any language that the page speaks; the box answers in those of the site. The choice is kept in a
cookie of the phone, so that nothing about a person is kept on the box.
"""

import json
import re
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.exchange import AUTO
from appliance.web import pages
from appliance.web.strings import direction, languages, preferred

COOKIE = "fieldpost-lang"
KEPT_S = 365 * 24 * 3600
_TOKEN = re.compile(r"@@([a-z_-]+)@@")
_PAGES = ("/", "/config")
_HTML = '<html\n\tlang="en"'
_UNUSED = re.compile(
    r"<script>(?:(?!</script>).)*iframeResizer\.contentWindow(?:(?!</script>).)*</script>"
    r'|<link rel="manifest"[^>]*>|<meta\s+(?:property="og:|name="twitter:)[^>]*>',
    re.DOTALL,
)
"""What Gradio's page has for hosts that show it inside a page of theirs or link to it: here only requests and bytes."""


def offered(site: tuple[str, ...]) -> tuple[str, ...]:
    """The languages a visitor may see the page in: the site's first, then all others that the page speaks."""
    return (*site, *(lang for lang in languages() if lang not in site))


def shown(headers: Headers, site: tuple[str, ...]) -> str:
    """The visitor's language: the one they chose, else the first of the browser's list, else the site's first."""
    known = offered(site)
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        cookie = None
    if cookie is not None and cookie.value in known:
        return cookie.value
    return preferred(headers.get("accept-language", ""), known)


def answered(lang: str, site: tuple[str, ...]) -> str:
    """The language of the answer for a visitor who sees the page in ``lang``: that one if the site has it, else the
    question's own, as far as the box can tell."""
    return lang if lang in site else AUTO


class Speaks:
    """ASGI middleware that puts the visitor's words, language and direction into the Gradio page.

    Gradio builds its page once for everybody; ours has ``@@key@@`` where words belong. So the first thing that a phone
    shows is in its language, without a second request.
    """

    def __init__(self, app: ASGIApp, *, site: tuple[str, ...], say: Callable[[str, str], str], style: str) -> None:
        """``say`` gives the text or markup for a key in a language; an unknown key is a KeyError."""
        self._app = app
        self._site = site
        self._say = say
        self._style = style

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in _PAGES:
            await self._app(scope, receive, send)
            return
        lang = shown(Headers(scope=scope), self._site)
        start: Message = {}
        body = b""

        async def send_filled(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            filled = self._filled(body.decode("utf-8"), lang).encode()
            headers = MutableHeaders(raw=start["headers"])
            headers["Content-Length"] = str(len(filled))
            headers["Vary"] = "Cookie, Accept-Language"
            headers["Cache-Control"] = "no-store"
            await send(start)
            await send({"type": "http.response.body", "body": filled})

        await self._app(scope, receive, send_filled)

    def _filled(self, page: str, lang: str) -> str:
        # Inside a script, so that no text can end it: "<" is written as JavaScript and JSON may write it.
        def fill(match: re.Match[str]) -> str:
            return json.dumps(self._say(match[1], lang))[1:-1].replace("<", "\\u003c")

        page = _TOKEN.sub(fill, _UNUSED.sub("", page))
        # Gradio takes the language of its own few words from the browser.
        speaks = (
            f"<script>for (const [key, value] of [['language', '{lang}'], ['languages', ['{lang}']]])"
            " Object.defineProperty(navigator, key, {get: () => value})</script>"
        )
        page = page.replace(_HTML, f'<html lang="{lang}" dir="{direction(lang)}"', 1)
        page = page.replace("<head>", f"<head>{pages.ICON}{speaks}", 1)
        # At the end, because Gradio adds its own rules to the head, and of two equal ones the later wins.
        before, end, after = page.rpartition("</body>")
        return f"{before}<style>{self._style}</style>{end}{after}" if end else page
