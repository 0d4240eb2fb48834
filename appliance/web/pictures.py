"""Sixteen pictures to sign in with, drawn by us: an old phone has no fonts for emoji, and none may be fetched."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "static" / "pictures"


@cache
def svg(name: str) -> str:
    """The picture as inline SVG that says nothing by itself; the name beside or around it does."""
    return (_FOLDER / f"{name}.svg").read_text(encoding="utf-8")
