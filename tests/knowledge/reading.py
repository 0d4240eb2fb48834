"""What the tests of all parsers share: one process that parses, for the whole run of a file of tests."""

from collections.abc import Callable
from pathlib import Path

from appliance.knowledge.document import Document

Read = Callable[..., Document]
"""``read(name, data, lang="en")``: the file's document; raises KnowledgeError."""


def marks(document: Document) -> list[tuple[int, str]]:
    """Its headings, after making sure that each lies where it says."""
    for heading in document.headings:
        assert " ".join(document.text[heading.start : heading.end].lstrip("#").split()) == heading.text
    return [(heading.level, heading.text) for heading in document.headings]


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path
