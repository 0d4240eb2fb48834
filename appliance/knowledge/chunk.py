"""A document as passages: pieces small enough for a prompt, each exactly a span of the document. Pure.

A passage is one section's text. A longer section is cut between paragraphs and table rows, then between sentences,
and only then between words. Where a table is cut, the passages after the first name its columns in their heading.
Storing and finding passages is left to ``index`` and ``retrieve``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.borders import CLOSERS, ENDS, WIDE_ENDS
from appliance.exchange import Passage
from appliance.knowledge.document import Document

LIMIT = 600
"""Characters a passage may have: about 150 tokens of English, so that three leave a small model room to answer.

A character of a script that takes three bytes in UTF-8 (Ethiopic, Indic, Thai, Chinese) counts twice: models cut it
into more tokens."""

_WIDE = re.compile("[\u0800-\U0010ffff]")
_MOST_ROWS = 1_000
"""Rows of a table that are looked back over for its columns."""
_RULE = re.compile(r"[|\s:-]+")

NOT_PROSE = frozenset({"sources", "references", "vyanzo", "marejeo"})
"""Headings of sections that hold nothing to answer from, nor do the sections below them."""

BETWEEN_SENTENCES = re.compile(rf"(?<=[.…{ENDS}])[{CLOSERS}]*\s+|(?<=[{WIDE_ENDS}])[{CLOSERS}]*\s*")

# Where a text may be cut, best first: between blocks, lines (rows of a table, items), sentences, words.
_BORDERS = (re.compile(r"\n[ \t]*(?=\n)"), re.compile(r"\n"), BETWEEN_SENTENCES, re.compile(r"\s+"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    heading: str
    start: int
    end: int


def passages(document: Document, *, docpack: str, limit: int = LIMIT) -> list[Passage]:
    """The document's passages in order, none longer than ``limit`` characters.

    Every word under a heading that is prose is in exactly one passage, and ``passage.text`` is
    ``document.text[passage.start : passage.end]``. A heading with nothing below it is a passage of its own: in what is
    printed large, it may be all that a page says.
    """
    found: list[Passage] = []
    for section in _sections(document):
        for start, end in _cut(document.text, section.start, section.end, limit):
            found.append(
                Passage(
                    id=f"{docpack}/{document.path}#{len(found) + 1}",
                    docpack=docpack,
                    document=document.path,
                    title=document.title,
                    heading=_with_columns(document.text, section, start),
                    lang=document.lang,
                    text=document.text[start:end],
                    start=start,
                    end=end,
                    page=document.page(start),
                )
            )
    return found


def _sections(document: Document) -> Iterator[_Section]:
    text = document.text
    marks = document.headings
    borders = [*(mark.start for mark in marks), len(text)]
    yield _Section(heading="", start=0, end=borders[0])
    path: dict[int, str] = {}
    title_seen = False
    for number, (mark, end) in enumerate(zip(marks, borders[1:], strict=True)):
        path = {level: words for level, words in path.items() if level < mark.level}
        if mark.level == 1 and not title_seen and mark.text == document.title:
            title_seen = True  # it is in every passage's title already
        else:
            path[mark.level] = mark.text
        if any(words.casefold().rstrip(":") in NOT_PROSE for words in path.values()):
            continue
        heading = " > ".join(words for _, words in sorted(path.items()) if words)
        below = marks[number + 1].level if number + 1 < len(marks) else 0
        alone = below <= mark.level and not text[mark.end : end].strip() and mark.text
        yield _Section(heading=heading, start=mark.start if alone else mark.end, end=end)


def _with_columns(text: str, section: _Section, start: int) -> str:
    """The section's heading, and the columns' names where the passage begins amid a Markdown table."""
    at = start
    for _ in range(_MOST_ROWS):
        line = text.rfind("\n", section.start, at - 1) + 1
        if at <= section.start or line < section.start or not text.startswith("|", line):
            break
        at = line
    if at == start or not text.startswith("|", start):
        return section.heading
    names, rule, *_ = [*text[at:start].split("\n"), ""]
    if not rule.strip() or not _RULE.fullmatch(rule):
        return section.heading
    columns = " | ".join(cell.strip() for cell in names.strip().strip("|").split("|") if cell.strip())
    return f"{section.heading} > {columns}" if section.heading else columns


def _size(text: str, start: int, end: int) -> int:
    return end - start + len(_WIDE.findall(text, start, end))


def _cut(
    text: str, start: int, end: int, limit: int, borders: tuple[re.Pattern[str], ...] = _BORDERS
) -> Iterator[tuple[int, int]]:
    """Spans of at most ``limit`` characters that cover all but white space between ``start`` and ``end``."""
    start, end = _trim(text, start, end)
    if start == end:
        return
    if _size(text, start, end) <= limit:
        yield start, end
        return
    if not borders:  # one word longer than a passage
        step = limit if _size(text, start, end) == end - start else max(1, limit // 2)
        for at in range(start, end, step):
            yield from _cut(text, at, min(at + step, end), limit)
        return
    packed = start
    for piece_start, piece_end in _pieces(text, start, end, borders[0]):
        if _size(text, packed, piece_end) <= limit:
            continue
        if packed < piece_start:
            yield from _cut(text, packed, piece_start, limit, borders[1:])
        packed = piece_start
        if _size(text, piece_start, piece_end) > limit:
            yield from _cut(text, piece_start, piece_end, limit, borders[1:])
            packed = piece_end
    yield from _cut(text, packed, end, limit, borders[1:])


def _pieces(text: str, start: int, end: int, border: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """The parts between borders, without trailing white space."""
    at = start
    for match in border.finditer(text, start, end):
        if match.end() > at:
            yield at, _trim(text, at, match.end())[1]
            at = match.end()
    if at < end:
        yield at, end


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
