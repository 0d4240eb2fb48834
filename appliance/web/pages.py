"""Plain pages beside the Gradio one: a document with one passage marked, and the door. No scripts, no other files."""

import html
from collections.abc import Sequence

from appliance.web.strings import attributes, words

_STYLE = """
body{font:18px/1.5 system-ui,sans-serif;margin:0 auto;max-width:42em;padding:16px;color:#1b1f23;background:#fff}
pre{white-space:pre-wrap;font:inherit}mark{background:#fff0a8;padding:2px 0}
a,button{display:inline-block;min-height:48px;line-height:48px;font-size:18px}
input,button{font-size:24px;padding:4px 12px;margin:4px 0;min-height:48px;max-width:100%;box-sizing:border-box}
.wrong{color:#a40000}
"""


def document(*, title: str, text: str, text_lang: str, start: int, end: int, lang: str) -> str:
    """The document's text as it is, with ``text[start:end]`` marked and scrolled to by ``#passage``."""
    body = (
        f"{html.escape(text[:start])}<mark id='passage'>{html.escape(text[start:end])}</mark>{html.escape(text[end:])}"
    )
    return page(
        title=title,
        lang=lang,
        body=f"<pre {attributes(text_lang)}>{body}</pre>",
    )


def door(*, lang: str, message: str = "", lite: bool = False) -> str:
    """The form that asks for the access code; it leads to the page that was wanted."""
    text = words(lang)
    title = html.escape(text["code_title"])
    wrong = f'<p class="wrong" role="alert">{html.escape(message)}</p>' if message else ""
    return page(
        title=text["code_title"],
        lang=lang,
        body=f"""<h1>{title}</h1><p>{html.escape(text["code_help"])}</p>{wrong}
<form method="post" action="/enter{"?to=lite" if lite else ""}">
<input name="code" inputmode="numeric" autocomplete="off" required aria-label="{title}">
<button>{html.escape(text["code_go"])}</button></form>""",
    )


def cards(*, title: str, shown: Sequence[tuple[str, str]], lang: str) -> str:
    """Everything installed with what its maker says of it: (heading, card). Cards are shown as they were written."""
    parts = (f"<h2>{html.escape(name)}</h2><pre>{html.escape(card)}</pre>" for name, card in shown)
    bill = '<p><a href="/cards/bom.cdx.json">bom.cdx.json</a></p>'
    return page(title=title, lang=lang, body=f"<h1>{html.escape(title)}</h1>{''.join(parts)}{bill}")


def page(*, title: str, lang: str, body: str, style: str = "") -> str:
    """A whole page of our own. ``body`` and ``style`` are markup already."""
    return (
        f'<!doctype html><html {attributes(lang)}><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}{style}</style></head><body>{body}</body></html>"
    )
