"""What our own plain pages look like: one column, large targets, no scripts, and no other file than themselves.

Texts are escaped where they are put into markup: by ``form``, ``table`` and the like, or by the page that writes them.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from appliance.web import pages
from appliance.web.identity import Identity, Level
from appliance.web.strings import words

STYLE = (Path(__file__).parent / "static" / "plain.css").read_text(encoding="utf-8")
_PLACES: tuple[tuple[str, str, Level], ...] = (
    ("/", "in_ask", Level.ASKER),
    ("/history", "in_history", Level.WORKER),
    ("/me", "in_me", Level.WORKER),
    ("/team", "in_team", Level.SUPERVISOR),
    ("/admin", "in_admin", Level.ADMIN),
    ("/sign-out", "in_sign_out", Level.WORKER),
)


def page(visitor: Identity, *, title: str, body: str, lang: str, here: str = "", style: str = "") -> str:
    """A whole page with the places that this visitor may go to; ``body`` is markup."""
    said = words(lang)
    links = "".join(
        f'<a href="{path}"{" aria-current=page" if path == here else ""}>{html.escape(said[key])}</a>'
        for path, key, level in _PLACES
        if visitor.person is not None and visitor.level >= level
    )
    top = f'<nav class="top">{links}</nav>' if links else ""
    inner = f"{top}<h1>{html.escape(title)}</h1>{body}"
    return pages.page(title=f"{title} · Fieldpost", lang=lang, body=inner, style=STYLE + style)


def form(
    visitor: Identity, action: str, body: str, *, hidden: Mapping[str, str] | None = None, upload: bool = False
) -> str:
    """A form that carries the visitor's token; ``body`` is markup."""
    kept = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in {"token": visitor.form_token, **(hidden or {})}.items()
    )
    kind = ' enctype="multipart/form-data"' if upload else ""
    return f'<form method="post" action="{html.escape(action)}"{kind}>{kept}{body}</form>'


def button(label: str, *, kind: str = "", name: str = "", value: str = "") -> str:
    """A button of a form; ``kind`` is ``quiet`` or ``harm``."""
    said = f' name="{html.escape(name)}" value="{html.escape(value)}"' if name else ""
    return f"<button{f' class={kind}' if kind else ''}{said}>{html.escape(label)}</button>"


def field(label: str, name: str, *, kind: str = "text", value: str = "", more: str = "") -> str:
    """A labelled input; ``more`` are further attributes, as markup."""
    told = f' value="{html.escape(value)}"' if value else ""
    return (
        f'<label for="{name}">{html.escape(label)}</label><input type="{kind}" id="{name}" name="{name}"{told} {more}>'
    )


def choice(label: str, name: str, options: Mapping[str, str], chosen: str = "") -> str:
    """A labelled list to choose from: value and what it says."""
    items = "".join(
        f'<option value="{html.escape(value)}"{" selected" if value == chosen else ""}>{html.escape(said)}</option>'
        for value, said in options.items()
    )
    return f'<label for="{name}">{html.escape(label)}</label><select id="{name}" name="{name}">{items}</select>'


def tick(label: str, name: str, *, on: bool = False) -> str:
    """A box to tick."""
    mark = " checked" if on else ""
    return f'<label class="tick"><input type="checkbox" name="{name}" value="1"{mark}> {html.escape(label)}</label>'


def told(message: str, kind: str = "wrong") -> str:
    """What happened, as a box at the top: ``wrong``, ``good`` or ``note``; nothing for no message."""
    role = "alert" if kind == "wrong" else "status"
    return f'<p class="{kind}" role="{role}">{html.escape(message)}</p>' if message else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()) -> str:
    """A table of texts; the columns in ``numbers`` stand at the end of their cells. No heads, no head row."""

    def cells(tag: str, values: Sequence[object]) -> str:
        return "".join(
            f"<{tag}{' class=number' if at in numbers else ''}>{html.escape(str(value))}</{tag}>"
            for at, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', heads)}</tr></thead>" if any(heads) else ""
    return f"<table>{head}<tbody>{body}</tbody></table>"
