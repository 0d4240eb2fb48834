"""Plain pages beside the Gradio one: a document with one passage marked, and the door. No scripts, no other files."""

import html
from collections.abc import Sequence
from pathlib import Path

from appliance.web.strings import attributes, words

ICON = (
    '<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22 viewBox=%220 0 16 16%22%3E'
    "%3Crect width=%2216%22 height=%2216%22 rx=%223%22 fill=%22%230f5c4d%22/%3E"
    '%3Cpath d=%22M5 13V3h7M5 8h5%22 fill=%22none%22 stroke=%22%23fff%22 stroke-width=%222%22/%3E%3C/svg%3E">'
)
"""In the page itself: a favicon of its own would be a request more."""
_SHARED = (Path(__file__).parent / "static" / "page.css").read_text(encoding="utf-8")
_STYLE = """
body{font:18px/1.5 system-ui,"Noto Sans",sans-serif;margin:0 auto;max-width:42em;padding:16px;color:var(--fp-text);
background:var(--fp-back);text-align:start}
h1{font-size:26px;line-height:1.25;margin:16px 0 8px}
pre{white-space:pre-wrap;font:inherit;overflow-wrap:anywhere}
mark{background:var(--fp-mark);color:var(--fp-on-mark);padding:2px 0;scroll-margin-block:30vh}
a{color:var(--fp-link)}
.go,.big{font:inherit;font-size:20px;padding:8px 16px;margin:4px 0;min-height:48px;max-width:100%;box-sizing:border-box;
border:2px solid var(--fp-main);border-radius:8px}
.go{background:var(--fp-main);color:var(--fp-on-main);font-weight:600;cursor:pointer}
.big{background:var(--fp-back);color:var(--fp-text);font-size:24px}
"""


def document(*, title: str, text: str, text_lang: str, start: int, end: int, lang: str) -> str:
    """The document's text as it is, with ``text[start:end]`` marked and scrolled to by ``#passage``."""
    body = (
        f"{html.escape(text[:start])}<mark id='passage'>{html.escape(text[start:end])}</mark>{html.escape(text[end:])}"
    )
    return page(
        title=title,
        lang=lang,
        body=f"<h1 {attributes(text_lang)}>{html.escape(title)}</h1><pre {attributes(text_lang)}>{body}</pre>",
    )


def door(*, lang: str, message: str = "", lite: bool = False) -> str:
    """The form that asks for the access code; it leads to the page that was wanted."""
    text = words(lang)
    title = html.escape(text["code_title"])
    wrong = f'<p class="fp-error" role="alert">{html.escape(message)}</p>' if message else ""
    return page(
        title=text["code_title"],
        lang=lang,
        body=f"""<h1>{title}</h1><p>{html.escape(text["code_help"])}</p>{wrong}
<form method="post" action="/enter{"?to=lite" if lite else ""}">
<input class="big" name="code" inputmode="numeric" autocomplete="off" required aria-label="{title}">
<button class="go">{html.escape(text["code_go"])}</button></form>""",
    )


def cards(*, title: str, shown: Sequence[tuple[str, str]], lang: str) -> str:
    """Everything installed with what its maker says of it: (heading, card). Cards are shown as they were written."""
    parts = (f"<h2>{html.escape(name)}</h2><pre>{html.escape(card)}</pre>" for name, card in shown)
    bill = '<p><a class="fp-open" href="/cards/bom.cdx.json">bom.cdx.json</a></p>'
    body = f"<h1>{html.escape(title)}</h1><div {attributes('en')}>{''.join(parts)}</div>{bill}"
    return page(title=title, lang=lang, body=body)


def page(*, title: str, lang: str, body: str, style: str = "") -> str:
    """A whole page of our own. ``body`` and ``style`` are markup already."""
    return (
        f'<!doctype html><html {attributes(lang)}><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{ICON}<title>{html.escape(title)}</title>'
        f"<style>{_SHARED}{_STYLE}{style}</style></head><body><main>{body}</main></body></html>"
    )
