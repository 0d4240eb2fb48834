"""Scanned PDFs: refused without OCR, read with it page by page, and told what is missing where something is."""

import io
import re
import shutil
from pathlib import Path

import pytest

from appliance.errors import KnowledgeError
from appliance.knowledge.ingest import Reader
from appliance.knowledge.parse_pdf import draw_page
from tests.knowledge.reading import put
from tests.support.pdf import Line, Picture, pdf

needs_tesseract = pytest.mark.skipif(not shutil.which("tesseract"), reason="needs Debian's tesseract-ocr")


def scanned(*pages: list[Line]) -> bytes:
    """The pages as a scanner would make them."""
    pictures = []
    for number in range(len(pages)):
        drawn = re.match(rb"P5\n# \d+\n(\d+) (\d+)\n255\n(.*)", draw_page(io.BytesIO(pdf(pages)), number), re.S)
        assert drawn
        pictures.append(Picture(width=int(drawn[1]), height=int(drawn[2]), pixels=drawn[3]))
    return pdf(pictures)


@needs_tesseract
def test_a_scanned_guide_is_read_with_its_pages(tmp_path: Path) -> None:
    first = [Line(text="Boil the water for one minute", size=20), Line(text="and let it cool.", size=20)]
    file = put(tmp_path, "scan.pdf", scanned(first, [Line(text="Keep it covered.", size=24)]))
    with Reader(idle=False) as plain, pytest.raises(KnowledgeError, match="is scanned: 2 pages"):
        plain.read(file, name="scan.pdf", lang="en")
    told: list[tuple[int, int]] = []
    with Reader(idle=False, ocr=True) as reader:
        found = reader.read(file, name="scan.pdf", lang="en", told=lambda done, of: told.append((done, of)))
    assert found.text == "Boil the water for one minute and let it cool.\n\nKeep it covered."
    assert found.page(found.text.index("Keep")) == 2
    assert found.notes == ("Its text was recognised in pictures: compare numbers with the original.",)
    assert told == [(1, 2), (2, 2)]


@needs_tesseract
def test_a_language_that_is_not_installed_is_named(tmp_path: Path) -> None:
    file = put(tmp_path, "scan.pdf", pdf([None]))
    with Reader(idle=False, ocr=True) as reader, pytest.raises(KnowledgeError, match="language xho") as refused:
        reader.read(file, name="scan.pdf", lang="xh")
    assert "apt install tesseract-ocr-xho" in refused.value.todo


def test_without_tesseract_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    file = put(tmp_path, "scan.pdf", pdf([None]))
    with Reader(idle=False, ocr=True) as reader, pytest.raises(KnowledgeError, match="not installed") as refused:
        reader.read(file, name="scan.pdf", lang="sw")
    assert "tesseract-ocr-swa" in refused.value.todo
