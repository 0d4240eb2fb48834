"""Paragraphs and tables that open and close, as in HTML, Word and OpenDocument, on their way into a draft. Pure."""

from dataclasses import dataclass, field

from appliance.knowledge.draft import BLOCK, LINE, Draft, one_line, table_lines

ITEM = "- "
_RAISED = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
_LONG_CELL = 1_000
"""Characters from which a cell is a column of a layout and no entry of a table."""
_MOST_CELLS = 400_000


@dataclass(slots=True, kw_only=True)
class _Cell:
    span: int
    header: bool
    blocks: list[tuple[int, str]] = field(default_factory=list)
    """(level of a heading or 0, text)"""

    @property
    def text(self) -> str:
        return " ".join(text for _, text in self.blocks)


class Flow:
    """What a reader of markup says as it goes: text, paragraph ends, cells."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self._lines: list[list[str]] = [[]]
        self._tables: list[list[list[_Cell]]] = []
        self._raised = 0
        self._after_item = False
        self._cells = 0

    def text(self, data: str) -> None:
        """Words of the paragraph that is open. Raised digits stay raised: 10³ is not 103."""
        self._lines[-1].append(data.translate(_RAISED) if self._raised else data)

    def raised(self, by: int) -> None:
        """Superscript begins (1) or ends (-1)."""
        self._raised = max(0, self._raised + by)

    def nest(self) -> None:
        """A paragraph opens inside another, as in a text box or a note."""
        self._lines.append([])

    def end_nested(self) -> str:
        """The nested paragraph's text, which is then no part of anything."""
        return one_line("".join(self._lines.pop())) if len(self._lines) > 1 else ""

    def end(self, level: int = 0, *, item: bool = False) -> None:
        """The open paragraph ends; it is a heading of that level, or an item of a list."""
        words = one_line("".join(self._lines[-1]))
        self._lines[-1].clear()
        if not words:
            return
        if item and not level:
            words = ITEM + words
        if self._tables and self._tables[-1] and self._tables[-1][-1]:
            self._tables[-1][-1][-1].blocks.append((level, words))
        elif level:
            self.draft.heading(level, words)
        else:
            self.draft.add(words, LINE if item and self._after_item else BLOCK)
            self._after_item = item
            return
        self._after_item = False

    def start_table(self) -> None:
        self.end()
        self._tables.append([])

    def start_row(self) -> None:
        self.end()
        if self._tables:
            self._tables[-1].append([])

    def start_cell(self, *, span: int = 1, header: bool = False) -> None:
        self.end()
        if self._tables and self._cells < _MOST_CELLS:
            if not self._tables[-1]:
                self._tables[-1].append([])
            span = min(max(1, span), 50)
            self._cells += span
            self._tables[-1][-1].append(_Cell(span=span, header=header))

    def end_table(self) -> None:
        self.end()
        if not self._tables:
            return
        rows = self._tables.pop()
        self._after_item = False
        cells = [cell for row in rows for cell in row]
        if not self._tables and (
            max((len(row) for row in rows), default=0) < 2
            or any(level for cell in cells for level, _ in cell.blocks)
            or any(len(cell.text) > _LONG_CELL for cell in cells)
        ):
            for cell in cells:  # a table that only places text on the page
                for level, words in cell.blocks:
                    if level:
                        self.draft.heading(level, words)
                    else:
                        self.draft.add(words)
            return
        # A cell over several columns stands once, in the first of them.
        texts = [[words for cell in row for words in (cell.text, *[""] * (cell.span - 1))] for row in rows]
        header = True if rows and rows[0] and all(cell.header for cell in rows[0]) else None
        if not self._tables:
            self.draft.table(texts, header=header)
        elif self._tables[-1] and self._tables[-1][-1]:
            inner = self._tables[-1][-1][-1].blocks
            inner.extend((0, line) for line in table_lines(texts, header=header))
