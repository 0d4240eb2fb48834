"""Tables as files: CSV, and the sheets of XLSX, XLS and ODS. Every row becomes a line that names its columns.

The sole importer of python_calamine.
"""

import csv
import datetime
import io
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import python_calamine

from appliance.knowledge.archive import Archive
from appliance.knowledge.draft import Draft, Progress, Unreadable
from appliance.knowledge.parse_text import decode

MAX_ROWS = 200_000
_SIGNS = ",;\t|"


def parse_csv(file: BinaryIO, progress: Progress) -> Draft:
    """Values with commas, semicolons or tabs between them.

    Raises:
        Unreadable: it is no text in UTF-8, or no table.
    """
    text = decode(file.read())
    draft = Draft()
    try:
        _add_tables(draft, csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)))
    except csv.Error as error:
        raise Unreadable(f"is no table: {error}", "Save it again as CSV in UTF-8.") from error
    progress(1, 1)
    return draft


def _delimiter(text: str) -> str:
    """The sign that most of the first lines have, and equally often."""
    lines = [line for line in text[:20_000].splitlines()[:20] if line.strip()]
    counts = {sign: [line.count(sign) for line in lines] for sign in _SIGNS}
    return max(_SIGNS, key=lambda sign: (sum(n > 0 and n == counts[sign][0] for n in counts[sign]), sum(counts[sign])))


def parse_sheets(file: BinaryIO, progress: Progress) -> Draft:
    """A workbook.

    Raises:
        Unreadable: it is damaged, locked, dangerous or too large.
    """
    head = file.read(4)
    file.seek(0)
    if head == b"PK\x03\x04":
        Archive(file)
        file.seek(0)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(file.read()))
        names = [
            sheet.name for sheet in book.sheets_metadata if sheet.visible == python_calamine.SheetVisibleEnum.Visible
        ]
        draft = Draft()
        for done, name in enumerate(names, start=1):
            rows = book.get_sheet_by_name(name).to_python(skip_empty_area=True)
            if len(rows) > MAX_ROWS:
                raise Unreadable(f"has {len(rows):,} rows in {name!r}; at most {MAX_ROWS:,} are read", "Split it.")
            if len(names) > 1 and any(any(row) for row in rows):
                draft.heading(2, name)
            _add_tables(draft, ([_shown(cell) for cell in row] for row in rows))
            progress(done, len(names))
    except python_calamine.PasswordError as error:
        raise Unreadable("is locked with a password", "Save it without a password.") from error
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise Unreadable(
            f"is no workbook that can be opened ({str(error)[:100]})", "Save it again as .xlsx."
        ) from error
    return draft


def _add_tables(draft: Draft, rows: Iterable[Sequence[str]]) -> None:
    """A sheet may hold several tables with empty rows between, and titles of one cell above them."""
    table: list[Sequence[str]] = []
    for row in rows:
        filled = sum(bool(cell.strip()) for cell in row)
        if filled == 0 or (filled == 1 and len(row) > 1 and not table):
            draft.table(table)
            table = []
            if filled:
                draft.add(next(cell for cell in row if cell.strip()))
        else:
            table.append(row)
    draft.table(table)


def _shown(cell: Any) -> str:
    """A cell as it would be read: 5.0 is 5, and midnight of a date is no time."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        cell = cell.date()
    return cell if isinstance(cell, str) else str(cell)
