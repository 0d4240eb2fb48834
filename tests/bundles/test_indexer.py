"""bundles.indexer: the box's own command reads documents of every kind; what it refuses or notes reaches the person."""

import sqlite3
from pathlib import Path

import pytest

from bundles.errors import IndexFailed
from bundles.indexer import fieldpost_index
from tests.support.office import docx, paragraph
from tests.support.pdf import Line, pdf


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_office_files_and_pdfs_are_indexed_and_copies_noted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = [
        put(tmp_path, "a.docx", docx(paragraph("Boil it."))),
        put(tmp_path, "b.pdf", pdf([[Line(text="Wash hands.")], [Line(text="Dry them.")]])),
        put(tmp_path, "c.md", b"# Boil it.\n"),
    ]
    out = tmp_path / "index.sqlite"
    fieldpost_index(files, docpack="guides", language="en", out=out)
    with sqlite3.connect(out) as connection:
        rows = connection.execute("select document, page, text from passage order by number").fetchall()
    connection.close()
    assert rows == [("a.docx", None, "Boil it."), ("b.pdf", 1, "Wash hands.\n\nDry them.")]
    assert "docpack/guides: Note: c.md says the same as a.docx" in capfd.readouterr().err


def test_every_document_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    files = [put(tmp_path, "a.pdf", pdf([None])), put(tmp_path, "b.docx", b"PK\x03\x04x"), put(tmp_path, "c.md", b"x")]
    with pytest.raises(IndexFailed, match=r"(?s)2 of 3.*a\.pdf is scanned.*b\.docx is damaged"):
        fieldpost_index(files, docpack="guides", language="en", out=tmp_path / "index.sqlite")
