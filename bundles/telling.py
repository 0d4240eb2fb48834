"""What the commands share: how they tell sizes and tables to people, and where they keep what was fetched."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

_REORDERING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def size(count: int) -> str:
    """Bytes for people: ``1.2 MB``."""
    if count < 1000:
        return f"{count} B"
    power = min(4, (len(str(count)) - 1) // 3)
    return f"{count / 1000**power:.1f} {' kMGT'[power]}B"


def plain(text: str) -> str:
    """A text from elsewhere without what a terminal obeys instead of showing: escapes, and reversed writing."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _obeyed(c) else c for c in text)


def one_line(text: str) -> str:
    """The same on one line, so that it cannot pass for further lines of ours."""
    return " ".join(plain(text).splitlines())


def _obeyed(character: str) -> bool:
    control = unicodedata.category(character) == "Cc" and character not in "\n\t"
    return control or unicodedata.bidirectional(character) in _REORDERING


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Rows under their heads, in columns."""
    rows = [tuple(one_line(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows))
    return "\n".join(line.rstrip() for line in lines)


def default_cache() -> Path:
    """Fetched files and unfinished uploads."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fieldpost"
