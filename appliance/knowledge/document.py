"""A document as every parser hands it on: its text, and where headings and pages begin in it. Pure.

Reading files is left to ``ingest``, cutting into passages to ``chunk``.
"""

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading and where its line lies in the text."""

    level: int
    """1 is the highest."""
    text: str
    start: int
    end: int
    """Just after the line's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a docpack."""

    path: str
    """Its name inside the docpack."""
    title: str
    lang: str
    """BCP 47 primary tag."""
    text: str
    headings: tuple[Heading, ...] = ()
    """In order; their spans do not overlap."""
    pages: tuple[int, ...] = ()
    """Where each page begins in the text, the first one first; empty for a document without pages."""
    notes: tuple[str, ...] = ()
    """What whoever adds the document should know, in whole sentences: pages that could not be read."""

    def page(self, at: int) -> int | None:
        """The page, from 1, on which the character ``at`` stands; None in a document without pages."""
        return max(1, bisect_right(self.pages, at)) if self.pages else None
