"""What every parser makes: a text that grows block by block, knowing its headings and pages. Pure.

Parsers run in a limited child; what they make crosses to us as JSON. Which parser reads what is ``parse_worker``'s.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from appliance.knowledge.document import Heading

MAX_TEXT = 10_000_000
"""Characters of text that one document may hold; the whole of a large handbook is about two million."""

Progress = Callable[[int, int], None]
"""Told how many pages or parts are done, and of how many."""

BLOCK, LINE, WORD = "\n\n", "\n", " "
"""What stands before a new paragraph, a new row or item, and a line that goes on."""

# Line ends other than ours, and control and private signs that no reader should meet; the joiners of Arabic and
# Indic scripts and the marks of direction stay.
_SPACES = re.compile(r"[^\S\n]+")
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufffe\uffff\ufeff\ud800-\udfff]")
# What Windows wrote where Unicode has control signs: quotes, dashes, the euro.
_C1 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
_MOST_HEADER = 80


class Unreadable(Exception):
    """Why a file cannot be read, as the rest of a sentence that begins with its name, and what to do about it."""

    def __init__(self, why: str, todo: str = "", *, scanned: bool = False) -> None:
        self.why = why
        self.todo = todo
        self.scanned = scanned
        """Its text is there, as pictures."""
        super().__init__(why)


class Draft:
    """A document's text as it grows."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self.title = ""
        self.lang = ""
        """As the file declares it; empty when it does not."""
        self.headings: list[Heading] = []
        self.pages: list[int] = []
        self.notes: list[str] = []
        """What whoever adds the document should know, in whole sentences."""

    @property
    def empty(self) -> bool:
        return not self._length

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def add(self, text: str, before: str = BLOCK) -> None:
        """Append one line of text, on one line and in NFC; ``before`` separates it from what is there.

        Raises:
            Unreadable: the document is too long.
        """
        text = one_line(text)
        if text:
            self._append((before if self._length else "") + text)

    def exact(self, text: str) -> None:
        """Append a text as it stands."""
        self._append(text)

    def heading(self, level: int, text: str) -> None:
        """Append a heading, and note where it lies."""
        text = one_line(text)
        if text:
            self._append((BLOCK if self._length else "") + text)
            start = self._length - len(text)
            self.headings.append(Heading(level=level, text=text, start=start, end=self._length))

    def page(self) -> None:
        """What follows is on the next page."""
        self.pages.append(self._length)

    def table(self, rows: Sequence[Sequence[str]], *, header: bool | None = None) -> None:
        """Append a table, a line a row; each names its columns, so that a row found alone can be understood.

        ``Age: 2 to 5 years; Dose: 10 ml`` where the first row is a header, else ``2 to 5 years | 10 ml``. Where
        nothing tells whether it is one, the words in it do.
        """
        lines = table_lines(rows, header=header)
        for number, line in enumerate(lines):
            self.add(line, LINE if number else BLOCK)

    def _append(self, text: str) -> None:
        self._length += len(text)
        if self._length > MAX_TEXT:
            raise Unreadable(f"holds more than {MAX_TEXT:,} characters of text", "Split it.")
        self._parts.append(text)


def plain(draft: Draft) -> dict[str, object]:
    """The draft as values for JSON."""
    return {
        "title": draft.title,
        "lang": draft.lang,
        "text": draft.text,
        "headings": [[h.level, h.text, h.start, h.end] for h in draft.headings],
        "pages": draft.pages,
        "notes": draft.notes,
    }


def one_line(text: str) -> str:
    """The text in NFC on one line, without control signs and doubled spaces."""
    text = _NO_TEXT.sub("", unicodedata.normalize("NFC", text.translate(_C1)))
    return _SPACES.sub(" ", text.replace("\n", " ")).strip()


def table_lines(rows: Sequence[Sequence[str]], *, header: bool | None = None) -> list[str]:
    """A table's rows as lines of text; empty rows and cells are left out."""
    cells = [row for row in ([one_line(cell) for cell in row] for row in rows) if any(row)]
    if not cells:
        return []
    if len(cells) < 2 or not (is_header(cells) if header is None else header):
        return [" | ".join(cell for cell in row if cell) for row in cells]
    names = cells[0]
    return [named_row(names, row) for row in cells[1:]]


def is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Does the first row name the columns: short words without numbers, over at least one more row?"""
    if len(rows) < 2 or len(rows[0]) < 2:
        return False
    named = [cell for cell in rows[0] if cell]
    return (
        len(named) * 2 > len(rows[0])
        and all(len(cell) <= _MOST_HEADER and not cell[:1].isdigit() for cell in named)
        and len(set(named)) == len(named)
    )


def named_row(names: Sequence[str], row: Sequence[str]) -> str:
    """One row, each cell after its column's name."""
    parts = []
    for at, cell in enumerate(row):
        name = names[at].rstrip(":") if at < len(names) else ""
        if cell:
            parts.append(f"{name}: {cell}" if name else cell)
    return "; ".join(parts)
