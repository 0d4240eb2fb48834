"""Word (DOCX) and OpenDocument (ODT) texts: headings by their styles, lists, tables, notes, and pages where known."""

from collections.abc import Mapping
from typing import BinaryIO

from appliance.knowledge.archive import Archive
from appliance.knowledge.draft import Draft, Progress, Unreadable, one_line
from appliance.knowledge.flow import Flow
from appliance.knowledge.parse_xml import read_xml

_LEVELS = 6
_WORD = "word/document.xml"


def parse_docx(file: BinaryIO, progress: Progress) -> Draft:
    """A Word document.

    Raises:
        Unreadable: it is damaged, locked or dangerous.
    """
    archive = Archive(file)
    if _WORD not in archive:
        raise Unreadable(f"is no Word document: it lacks {_WORD}", "Save it again as .docx.")
    styles = _Styles()
    if "word/styles.xml" in archive:
        read_xml(archive.read("word/styles.xml"), styles, "word/styles.xml")
    progress(1, 3)
    draft = Draft()
    draft.page()
    reader = _Docx(draft, styles.levels())
    read_xml(archive.read(_WORD), reader, _WORD)
    progress(2, 3)
    if reader.notes and "word/footnotes.xml" in archive:
        notes = _Docx(draft, {}, notes=True)
        read_xml(archive.read("word/footnotes.xml"), notes, "word/footnotes.xml")
    if len(draft.pages) == 1:
        draft.pages.clear()  # Word left no mark of where its pages end
    draft.title = _declared_title(archive, "docProps/core.xml") or _first_title(draft)
    return draft


def parse_odt(file: BinaryIO, progress: Progress) -> Draft:
    """An OpenDocument text. Raises as ``parse_docx``."""
    archive = Archive(file)
    if "content.xml" not in archive:
        raise Unreadable("is no OpenDocument text: it lacks content.xml", "Save it again as .odt.")
    if "META-INF/manifest.xml" in archive and b"encryption-data" in archive.read("META-INF/manifest.xml"):
        raise Unreadable("is locked with a password", "Save it without a password.")
    draft = Draft()
    draft.page()
    read_xml(archive.read("content.xml"), _Odt(draft), "content.xml")
    progress(1, 1)
    if len(draft.pages) == 1:
        draft.pages.clear()
    draft.title = _declared_title(archive, "meta.xml") or _first_title(draft)
    return draft


def _first_title(draft: Draft) -> str:
    return next((heading.text for heading in draft.headings if heading.level == 1), "")


def _declared_title(archive: Archive, part: str) -> str:
    reader = _Property()
    if part in archive:
        read_xml(archive.read(part), reader, part)
    title = one_line(reader.title)[:150]
    # Word keeps the first words of the template or the old file's name here.
    return "" if title.casefold().startswith(("microsoft word", "document", "untitled")) else title


class _Property:
    """The dc:title of a file's properties."""

    def __init__(self) -> None:
        self.title = ""
        self._inside = False

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self._inside = name == "title"

    def end(self, _name: str) -> None:
        self._inside = False

    def text(self, data: str) -> None:
        if self._inside:
            self.title += data


class _Styles:
    """Which paragraph styles are headings, by outline level or by name, their own or inherited."""

    def __init__(self) -> None:
        self._own: dict[str, int] = {}
        self._parents: dict[str, str] = {}
        self._style = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        value = attributes.get("val", "")
        if name == "style":
            self._style = attributes.get("styleId", "")
        elif name == "basedOn":
            self._parents[self._style] = value
        elif name == "outlineLvl" and value.isdecimal() and int(value) < 9:
            self._own[self._style] = min(int(value) + 1, _LEVELS)
        elif name == "name":
            kind, _, number = value.casefold().partition(" ")
            if kind == "heading" and number.isdecimal():
                self._own.setdefault(self._style, min(int(number), _LEVELS))
            elif kind == "title" and not number:
                self._own.setdefault(self._style, 1)

    def end(self, name: str) -> None:
        pass

    def text(self, data: str) -> None:
        pass

    def levels(self) -> Mapping[str, int]:
        """Style id to level; the styles that are no headings are not in it."""
        found = {}
        for style in {*self._own, *self._parents}:
            at, steps = style, 0
            while at not in self._own and at in self._parents and steps < 20:
                at, steps = self._parents[at], steps + 1
            if at in self._own:
                found[style] = self._own[at]
        return found


class _Docx:
    """WordprocessingML. What was deleted with change tracking is not there; what was inserted is."""

    _SILENT = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText", "pict"})

    def __init__(self, draft: Draft, levels: Mapping[str, int], *, notes: bool = False) -> None:
        self._draft = draft
        self._flow = Flow(draft)
        self._levels = levels
        self._silent = 0
        self._shown = False
        self._open: list[tuple[int, bool]] = []
        """Level and being an item, of each paragraph that is open."""
        self._raised = False
        self._in_notes = notes
        self.notes = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._silent or name in self._SILENT:
            self._silent += 1
            return
        value = attributes.get("val", "")
        if name == "t":
            self._shown = True
        elif name == "p":
            if self._open:
                self._flow.nest()
            self._open.append((0, False))
        elif name == "pStyle" and self._open and value in self._levels:
            self._open[-1] = (self._levels[value], self._open[-1][1])
        elif name == "outlineLvl" and self._open and value.isdecimal() and int(value) < 9:
            self._open[-1] = (min(int(value) + 1, _LEVELS), self._open[-1][1])
        elif name == "numPr" and self._open:
            self._open[-1] = (self._open[-1][0], True)
        elif name == "vertAlign" and value == "superscript":
            self._raise(True)
        elif name == "r":
            self._raise(False)
        elif name in ("tab", "cr"):
            self._flow.text(" ")
        elif name == "noBreakHyphen":
            self._flow.text("-")
        elif name == "br":
            if attributes.get("type") != "page":
                self._flow.text(" ")
        elif name == "lastRenderedPageBreak":
            self._draft.page()
        elif name == "tbl":
            self._flow.start_table()
        elif name == "tr":
            self._flow.start_row()
        elif name == "tc":
            self._flow.start_cell()
        elif name == "footnoteReference":
            self.notes += 1
            self._note(attributes.get("id", ""))
        elif name == "footnote" and self._in_notes and attributes.get("id", "").isdecimal():
            self._note(attributes["id"])

    def end(self, name: str) -> None:
        if self._silent:
            self._silent -= 1
        elif name == "t":
            self._shown = False
        elif name == "p" and self._open:
            level, item = self._open.pop()
            if self._open:
                words = self._flow.end_nested()
                self._flow.text(f" {words} ")
            else:
                self._flow.end(level, item=item)
        elif name == "r":
            self._raise(False)
        elif name == "tbl":
            self._flow.end_table()

    def text(self, data: str) -> None:
        if self._shown and not self._silent:
            self._flow.text(data)

    def _note(self, number: str) -> None:
        self._flow.raised(1)
        self._flow.text(number)
        self._flow.raised(-1)
        if self._in_notes:
            self._flow.text(" ")

    def _raise(self, wanted: bool) -> None:
        if wanted != self._raised:
            self._raised = wanted
            self._flow.raised(1 if wanted else -1)


class _Odt:
    """OpenDocument text. Notes stand in brackets where they are called."""

    _SILENT = frozenset(
        {"tracked-changes", "note-citation", "annotation", "sequence-decls", "forms", "automatic-styles"}
    )

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._flow = Flow(draft)
        self._silent = 0
        self._open: list[int] = []
        self._items = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._silent or name in self._SILENT:
            self._silent += 1
        elif name in ("p", "h"):
            if self._open:
                self._flow.nest()
            level = attributes.get("outline-level", "1")
            self._open.append(min(int(level), _LEVELS) if name == "h" and level.isdecimal() else 0)
        elif name in ("s", "tab", "line-break"):
            self._flow.text(" ")
        elif name == "soft-page-break":
            self._draft.page()
        elif name == "list-item":
            self._items += 1
        elif name == "table":
            self._flow.start_table()
        elif name == "table-row":
            self._flow.start_row()
        elif name == "table-cell":
            span = attributes.get("number-columns-spanned", "1")
            self._flow.start_cell(span=int(span) if span.isdecimal() and len(span) < 4 else 1)

    def end(self, name: str) -> None:
        if self._silent:
            self._silent -= 1
        elif name in ("p", "h") and self._open:
            level = self._open.pop()
            if self._open:
                words = self._flow.end_nested()
                self._flow.text(f" ({words}) " if words else " ")
            else:
                self._flow.end(level, item=self._items > 0)
        elif name == "list-item":
            self._items -= 1
        elif name == "table":
            self._flow.end_table()

    def text(self, data: str) -> None:
        if self._open and not self._silent:
            self._flow.text(data)
