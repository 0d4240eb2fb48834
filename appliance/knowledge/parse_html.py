"""HTML: its headings, paragraphs, lists and tables; menus, scripts and forms are left out.

The standard library's parser reads any markup, however broken, in one pass and without a tree.
"""

import codecs
import re
from html.parser import HTMLParser
from typing import BinaryIO

from appliance.knowledge.draft import Draft, Progress, Unreadable, one_line
from appliance.knowledge.flow import Flow
from appliance.knowledge.parse_text import decode

_SILENT = frozenset(
    "script style noscript template svg math nav footer select button textarea iframe object canvas audio video".split()  # noqa: SIM905
)
_BLOCKS = frozenset(
    """address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure form header
    hgroup hr legend main ol option p pre section summary ul""".split()  # noqa: SIM905
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_VOID = frozenset(
    {"br", "hr", "img", "input", "meta", "link", "col", "wbr", "area", "base", "embed", "source", "track"}
)
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.I)
_FEED = 1 << 16


def parse_html(file: BinaryIO, progress: Progress) -> Draft:
    """A page of HTML.

    Raises:
        Unreadable: it is no text in an encoding that it names, or in UTF-8.
    """
    draft = Draft()
    read_html(decode_html(file.read()), draft, progress)
    return draft


def decode_html(raw: bytes) -> str:
    """A page's text: by its mark, by the encoding it declares, or as UTF-8. Raises as ``parse_html``."""
    declared = _CHARSET.search(raw[:4096])
    if declared and raw[:3] != codecs.BOM_UTF8 and raw[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        name = declared[1].decode("ascii")
        try:
            if codecs.lookup(name).name != "utf-8":
                return raw.decode(name, "replace").replace("\0", "")
        except (LookupError, OSError) as error:  # its code would be loaded from a file, which is shut
            raise Unreadable(f"is written in an encoding that is not known, {name}", "Save it as UTF-8.") from error
    return decode(raw)


def read_html(text: str, draft: Draft, progress: Progress | None = None) -> None:
    """Append a page to a draft. Its title and language become the draft's where that has none."""
    reader = _Reader(draft)
    for at in range(0, len(text), _FEED):
        reader.feed(text[at : at + _FEED])
        if progress:
            progress(min(at + _FEED, len(text)), len(text))
    reader.close()
    reader.finish()


class _Reader(HTMLParser):
    def __init__(self, draft: Draft) -> None:
        super().__init__(convert_charrefs=True)
        self._draft = draft
        self._flow = Flow(draft)
        self._silent: list[str] = []
        self._level = 0
        self._items = 0
        self._in_title = False
        self._pre = 0
        self._page_title = ""
        self._first_heading = len(draft.headings)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "html" and not self._draft.lang:
            self._draft.lang = next((value or "" for name, value in attrs if name in ("lang", "xml:lang")), "")
        if self._silent:
            if tag == self._silent[-1]:
                self._silent.append(tag)
            return
        if tag in _SILENT:
            self._silent.append(tag)
        elif tag == "title":
            self._in_title = True
        elif tag == "br":
            self._break()
        elif tag in _HEADINGS:
            self._end()
            self._level = _HEADINGS[tag]
        elif tag in _BLOCKS:
            self._end()
            self._pre += tag == "pre"
        elif tag == "li":
            self._end()
            self._items = 1
        elif tag == "sup":
            self._flow.raised(1)
        elif tag == "table":
            self._end()
            self._flow.start_table()
        elif tag == "tr":
            self._flow.start_row()
        elif tag in ("td", "th"):
            span = dict(attrs).get("colspan") or "1"
            self._flow.start_cell(span=int(span) if span.isdecimal() and len(span) < 4 else 1, header=tag == "th")

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            if tag == self._silent[-1]:
                self._silent.pop()
            elif tag in ("body", "html"):  # it was never closed
                self._silent.clear()
            return
        if tag == "title":
            self._in_title = False
        elif tag in _HEADINGS or tag in _BLOCKS or tag == "li":
            self._end()
            self._pre = max(0, self._pre - (tag == "pre"))
        elif tag == "sup":
            self._flow.raised(-1)
        elif tag == "table":
            self._end()
            self._flow.end_table()
        elif tag in ("td", "th", "tr"):
            self._end()

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if self._in_title:
            self._page_title += data[:500]
        elif self._pre and "\n" in data:
            first, *others = data.split("\n")
            self._flow.text(first)
            for line in others:
                self._flow.end()
                self._flow.text(line)
        else:
            self._flow.text(data)

    def finish(self) -> None:
        """What is still open at the end of the text."""
        self._end()
        for _ in range(50):
            self._flow.end_table()
        own = self._draft.headings[self._first_heading :]
        title = next((h.text for h in own if h.level == 1), "") or one_line(self._page_title)
        self._draft.title = self._draft.title or title

    def _break(self) -> None:
        if self._level:
            self._flow.text(" ")
        else:
            self._end()

    def _end(self) -> None:
        self._flow.end(self._level, item=bool(self._items))
        self._level = self._items = 0
