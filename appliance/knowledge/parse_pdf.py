"""PDF: text in reading order with its pages, paragraphs put together again, headings by outline or size of print.

The sole importer of pypdfium2. A page that is only a picture has no text here; it is told apart and reported.
"""

import ctypes
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import pypdfium2
import pypdfium2.raw as pdfium

from appliance.borders import CLOSERS, ENDS, WIDE_ENDS
from appliance.knowledge.draft import BLOCK, LINE, WORD, Draft, Progress, Unreadable, one_line

MAX_PAGES = 5_000
_DPI = 200
_MOST_PIXELS = 4_000
_LEVELS = 4
_HEADING = 150
"""Characters a heading has at most."""
_LARGER = 1.12
"""A line printed this much larger than most of the text is a heading."""
_BOLD = re.compile(rb"bold|black|heavy|demi|cm(ss)?bx", re.I)
"""Names of fonts that are bold; the weight that PDFs declare is often wrong."""
_FONT_NAME = 80
_EDGE = 2
"""Lines at the top and at the foot of a page that may be running heads."""
_WIDE_STEP = 1.9
"""Lines further apart than this many heights of print belong to different paragraphs."""
_HYPHEN = "\ufffe\x02\xad"
"""How PDFium shows a hyphen that only breaks a word at the line's end."""

_ITEM = re.compile(r"(?:[•·▪▫◦●○■□►➢✓*\uf0b7–—-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)])\s")
_END = re.compile(rf"[.…:{ENDS}{WIDE_ENDS}][{CLOSERS}]*$")
_DIGITS = re.compile(r"\d+")
_LETTER = re.compile(r"[^\W\d_]")
_UNMAPPED = re.compile(r"[\ufffd\ue000-\uf8ff]")
_NO_TITLE = re.compile(
    r"untitled|microsoft \w+ - |\.(docx?|pdf|indd|qxd|pptx?|xlsx?|odt|tex)$|^layout \d|^document\d*$", re.I
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One printed line. Lengths in points, upwards from the page's lower left."""

    text: str
    left: float
    right: float
    top: float
    last_top: float
    """Of its last letter: PDFium puts some printed lines together."""
    height: float
    bold: bool
    broken: bool
    """Its last word goes on in the next line."""


def parse_pdf(file: BinaryIO, progress: Progress) -> Draft:
    """Read a PDF.

    Raises:
        Unreadable: it is damaged, locked, scanned, or says not which letters it shows.
    """
    try:
        document = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        raise _refusal(str(error)) from error
    count = len(document)
    if count > MAX_PAGES:
        raise Unreadable(f"has {count:,} pages; at most {MAX_PAGES:,} are read", "Split it.")
    pages: list[list[_Line]] = []
    silent: list[int] = []
    pictures = 0
    for number in range(count):
        lines, picture = _read_page(document, number)
        pages.append(lines)
        if not lines:
            silent.append(number + 1)
            pictures += picture
        progress(number + 1, count)
    if len(silent) == count:
        raise _no_text(count, pictures)
    _refuse_unmapped(pages)
    draft = _assemble(pages, document)
    draft.lang = _language(document)
    if silent and pictures:
        draft.notes.append(f"Pages without text, perhaps scanned: {_listed(silent)}.")
    return draft


def draw_page(file: BinaryIO, number: int) -> bytes:
    """One page, from 0, as a grey picture in the PGM format, with the count of all pages in its comment.

    Raises:
        Unreadable: there is no such page, or it cannot be drawn.
    """
    try:
        document = pypdfium2.PdfDocument(file)
        page = document[number]
        scale = min(_DPI / 72, _MOST_PIXELS / max(page.get_size()))
        bitmap = page.render(scale=scale, grayscale=True, may_draw_forms=False)
    except (pypdfium2.PdfiumError, IndexError) as error:
        raise _refusal(str(error)) from error
    rows = bytes(bitmap.buffer)
    lines = (rows[at : at + bitmap.width] for at in range(0, bitmap.stride * bitmap.height, bitmap.stride))
    return b"P5\n# %d\n%d %d\n255\n" % (len(document), bitmap.width, bitmap.height) + b"".join(lines)


def _refusal(words: str) -> Unreadable:
    if "password" in words.lower():
        return Unreadable("is locked with a password", "Save it without a password.")
    return Unreadable(f"is no PDF that can be opened ({words[:100]})", "Get it again from its source.")


def _no_text(count: int, pictures: int) -> Unreadable:
    if pictures:
        return Unreadable(
            f"is scanned: {count} pages of pictures without any text",
            "Take the file that it was printed from, or, on a box: fieldpost documents add --ocr",
            scanned=True,
        )
    return Unreadable("holds no text", "Look at it in a PDF reader: it may be empty.")


def _read_page(document: pypdfium2.PdfDocument, number: int) -> tuple[list[_Line], bool]:
    """The page's lines, and whether a page without any shows a picture."""
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        return [], True  # a damaged page; the others may be whole
    try:
        text_page = page.get_textpage()
        try:
            lines = list(_lines(text_page))
        finally:
            text_page.close()
        picture = not lines and any(True for _ in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3))
    except pypdfium2.PdfiumError:
        return [], True
    finally:
        page.close()
    return lines, picture


def _lines(text_page: pypdfium2.PdfTextPage) -> Iterator[_Line]:
    text = text_page.get_text_range()
    box, font, flags = pdfium.FS_RECTF(), (ctypes.c_char * _FONT_NAME)(), ctypes.c_int()

    def index(at: int) -> int:
        return int(pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, at))

    def place(at: int) -> tuple[float, float, float, float]:
        pdfium.FPDFText_GetLooseCharBox(text_page, index(at), box)
        return box.left, box.right, box.top, box.top - box.bottom

    at = 0
    for raw in text.split("\n"):
        start, end = at, at + len(raw)
        at = end + 1
        broken = raw.rstrip().endswith(tuple(_HYPHEN))
        # PDFium puts some broken words together itself and leaves the sign of the hyphen within.
        shown = one_line(re.sub(f"[{_HYPHEN}]", "", raw))
        if not shown:
            continue
        start += len(raw) - len(raw.lstrip())
        end -= len(raw) - len(raw.rstrip())
        left, _, top, height = place(start)
        pdfium.FPDFText_GetFontInfo(text_page, index(start), font, _FONT_NAME, flags)
        _, right, last_top, last_height = place(end - 1)
        size = max(height, last_height)
        yield _Line(
            text=shown,
            left=left,
            right=right,
            top=top,
            last_top=last_top,
            height=size,
            bold=bool(_BOLD.search(font.value)),
            broken=broken,
        )


def _refuse_unmapped(pages: Sequence[Sequence[_Line]]) -> None:
    """Old fonts of Ethiopic, Indic and other scripts draw letters without saying which; such text finds nothing."""
    text = "".join(line.text for page in pages for line in page)
    if len(_UNMAPPED.findall(text)) * 4 > len(text):
        raise Unreadable(
            "does not say which letters its fonts show", "Add the original file, or one saved with Unicode fonts."
        )


def _assemble(pages: Sequence[Sequence[_Line]], document: pypdfium2.PdfDocument) -> Draft:
    body = _body_height(pages)
    pages = _without_running_heads(pages, body)
    levels = _by_outline(document, pages) or _by_print(pages, body)
    draft = Draft()
    before: _Line | None = None
    growing, level = "", 0
    for number, page in enumerate(pages):
        draft.page()
        edges = _edges(page)
        first = True
        for at, line in enumerate(page):
            own = levels.get((number, at), 0)
            if growing and own != level:
                draft.heading(level, growing)
                growing, before = "", None
            if own:  # a heading may take several lines
                growing, level = f"{growing} {line.text}", own
            else:
                draft.add(line.text, _between(before, line, edges, turned=first))
                before, first = line, False
        draft.heading(level, growing)
        if growing:
            growing, before = "", None
    draft.title = _title(document, pages, body)
    return draft


def _between(before: _Line | None, line: _Line, edges: Mapping[int, float], *, turned: bool) -> str:
    """What separates a line from the one before it: nothing in a broken word, a space in a sentence that goes on."""
    if before is None:
        return BLOCK
    if before.broken:
        return ""
    if abs(before.height - line.height) > 0.15 * line.height:
        return BLOCK
    goes_on = not _END.search(before.text) and line.text[:1].islower()
    step = before.last_top - line.top
    if turned or step < -line.height:  # the next page, or the next column
        return WORD if goes_on else BLOCK
    if _ITEM.match(line.text):
        return LINE
    if step > _WIDE_STEP * line.height:
        return BLOCK
    # A line ended because its next word had no room, unless its paragraph ended there.
    word = len(line.text.partition(" ")[0]) * (line.right - line.left) / len(line.text)
    return WORD if goes_on or before.right + word > edges.get(_column(before), 0.0) else LINE


def _edges(page: Sequence[_Line]) -> Mapping[int, float]:
    """How far to the right the lines of each column reach."""
    edges: dict[int, float] = defaultdict(float)
    for line in page:
        edges[_column(line)] = max(edges[_column(line)], line.right)
    return edges


def _column(line: _Line) -> int:
    return int(line.left // 80)


def _without_running_heads(pages: Sequence[Sequence[_Line]], body: float) -> list[list[_Line]]:
    """Leave out what stands at the edge of many pages, page numbers apart: it would cut sentences in two.

    What is printed larger stays: chapters that each begin on a page of their own look like that. Words stay once,
    where they are met first; only numbers that count the pages go altogether.
    """

    def key(line: _Line, number: int) -> tuple[str, int]:
        # A page number differs from page to page by as much as the pages do; a dose does not.
        counted = _DIGITS.sub(lambda digits: f"#{int(digits[0]) - number}#", line.text.casefold())
        return counted, round(line.top / 4)

    def edges(page: Sequence[_Line]) -> tuple[Sequence[_Line], Sequence[_Line]]:
        return page[:_EDGE], page[: -_EDGE - 1 : -1]

    seen = Counter(
        k for number, page in enumerate(pages) for k in {key(line, number) for edge in edges(page) for line in edge}
    )
    often = {k for k, count in seen.items() if count >= max(3, 0.4 * len(pages))}
    met: set[str] = set()
    kept = []
    for number, page in enumerate(pages):
        gone = set()
        for edge in edges(page):
            for line in edge:
                if line.height >= _LARGER * body or key(line, number) not in often:
                    break  # what is further in belongs to the text
                if _letters(line.text) in met or not _letters(line.text):
                    gone.add(line)
                met.add(_letters(line.text))
        kept.append([line for line in page if line not in gone])
    return kept if any(kept) else [list(page) for page in pages]


def _body_height(pages: Sequence[Sequence[_Line]]) -> float:
    heights: Counter[float] = Counter()
    for page in pages:
        for line in page:
            heights[round(line.height, 1)] += len(line.text)
    return heights.most_common(1)[0][0] if heights else 0.0


def _by_outline(document: pypdfium2.PdfDocument, pages: Sequence[Sequence[_Line]]) -> dict[tuple[int, int], int]:
    """Levels of the lines that the PDF's own outline names; none when it names too few that are there."""
    levels: dict[tuple[int, int], int] = {}
    entries = missed = 0
    try:
        for item in document.get_toc(max_depth=_LEVELS):
            entries += 1
            where = item.get_dest()
            number = where.get_index() if where else None
            title = _letters(item.get_title() or "")
            if number is None or not title or number >= len(pages):
                missed += 1
                continue
            taken = {at for page, at in levels if page == number}
            lines = _lines_of(title, pages[number], taken)
            missed += not lines
            levels.update({(number, at): item.level + 1 for at in lines})
    except pypdfium2.PdfiumError:
        return {}
    return levels if missed * 2 < entries else {}


def _lines_of(title: str, page: Sequence[_Line], taken: set[int]) -> list[int]:
    """Which lines of the page, past those taken, spell the title, numbered or not."""
    for first, line in enumerate(page):
        spelled = _letters(line.text)
        if not spelled or first in taken:
            continue
        if len(line.text) <= _HEADING and spelled.endswith(title):
            return [first]
        rest, at = title, first
        while rest and at < len(page) and (part := _letters(page[at].text)) and rest.startswith(part):
            rest, at = rest[len(part) :], at + 1
        if not rest:
            return list(range(first, at))
    return []


def _letters(text: str) -> str:
    return "".join(_LETTER.findall(text)).casefold()


def _by_print(pages: Sequence[Sequence[_Line]], body: float) -> dict[tuple[int, int], int]:
    """Levels of the lines that are printed larger than most of the text, and of short bold ones below these."""
    found: dict[tuple[int, int], float] = {}
    length = bold = 0
    for number, page in enumerate(pages):
        for at, line in enumerate(page):
            length += len(line.text)
            bold += len(line.text) * line.bold
            if len(line.text) <= _HEADING and len(_LETTER.findall(line.text)) > 1 and line.text[-1] not in ".,;":
                if line.height >= _LARGER * body:
                    found[number, at] = round(line.height)
                elif line.bold and line.height >= 0.95 * body and _stands_alone(page, at):
                    found[number, at] = 0.0
    if bold * 3 > length:
        found = {place: size for place, size in found.items() if size}
    if sum(len(pages[number][at].text) for number, at in found) * 3 > length:
        return {}  # a poster or a form: sizes say nothing there
    sizes = sorted(set(found.values()), reverse=True)
    return {place: min(sizes.index(size) + 1, _LEVELS) for place, size in found.items()}


def _stands_alone(page: Sequence[_Line], at: int) -> bool:
    """Is the line's next neighbour plain text, below it?"""
    return at + 1 < len(page) and not page[at + 1].bold and page[at].top - page[at + 1].top > 0.5 * page[at].height


def _title(document: pypdfium2.PdfDocument, pages: Sequence[Sequence[_Line]], body: float) -> str:
    """The title that the file declares, if it stands on the first pages; else what is printed largest there."""
    first = [line for page in pages[:2] for line in page]
    declared = one_line(document.get_metadata_value("Title"))[:_HEADING]
    if declared and _letters(declared) and _letters(declared) in _letters(" ".join(line.text for line in first)):
        return declared
    largest = max((line.height for line in first if len(_letters(line.text)) > 2), default=0.0)
    if largest and largest >= 1.3 * body:
        at = next(n for n, line in enumerate(first) if line.height == largest and len(_letters(line.text)) > 2)
        same = [first[at]]
        while at + 1 < len(first) and abs(first[at + 1].height - largest) < 0.5:
            at += 1
            same.append(first[at])
        printed = " ".join(line.text for line in same)
        if len(printed) <= _HEADING:
            return printed
    return declared if " " in declared and not _NO_TITLE.search(declared) else ""


def _language(document: pypdfium2.PdfDocument) -> str:
    size = pdfium.FPDFCatalog_GetLanguage(document, None, 0)
    if not 2 < size <= 64:
        return ""
    buffer = (pdfium.FPDF_WCHAR * (size // 2))()
    pdfium.FPDFCatalog_GetLanguage(document, buffer, size)
    return bytes(buffer).decode("utf-16-le", "replace").rstrip("\0")


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:20]))
    return f"{shown} and {len(numbers) - 20} more" if len(numbers) > 20 else shown
