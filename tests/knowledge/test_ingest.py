"""appliance.knowledge.ingest: text as it stands, kinds told apart, a limited child, a reason for each refusal."""

import os
import unicodedata
from pathlib import Path

import pytest

from appliance.errors import KnowledgeError
from appliance.knowledge import ingest
from appliance.knowledge.ingest import MAX_OTHER, Reader, read_documents
from appliance.knowledge.parse_text import headings
from tests.knowledge.reading import Read, put
from tests.support.office import docx, paragraph
from tests.support.pdf import Line, pdf


def test_the_text_stays_and_line_ends_and_composition_become_uniform(read: Read) -> None:
    raw = "# Water\r\n\r\nCafe\u0301 **bold**\ttab\rend\n"
    found = read("guide.md", b"\xef\xbb\xbf" + raw.encode())
    assert found.title == "Water"
    assert found.text == "# Water\n\nCaf\u00e9 **bold**\ttab\nend\n"
    assert unicodedata.is_normalized("NFC", found.text)


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("a.md", "# Safe water #\n", "Safe water"),
        ("a.md", "intro\n\n## Sub\n# Late title\n", "Late title"),
        ("a.md", "```\n# a comment\n```\n# Real\n", "Real"),
        ("safe-water_2.md", "no heading", "safe water 2"),
        ("notes.txt", "# not Markdown\n", "notes"),
        ("a.md", "#hash tag\n", "a"),
        ("a.md", "# C#\n", "C#"),
    ],
)
def test_the_title_is_the_first_top_heading_or_the_file_name(read: Read, name: str, text: str, title: str) -> None:
    assert read(name, text.encode()).title == title


@pytest.mark.parametrize(
    ("text", "title", "left"),
    [
        ("---\n# A card\nlang: es\ntitle: 'La basura'\n---\n### Moscas\n", "La basura", "### Moscas\n"),
        ("---\nlang: es\n---\n# Moscas\n", "Moscas", "# Moscas\n"),
        ("---\ntitle: never closed\n# Moscas\n", "Moscas", None),
        ("---\n\n# Moscas\n\n---\n", "Moscas", None),
        ("# Moscas\n---\ntitle: x\n---\n", "Moscas", None),
        ("---\n" + "  a: b\n" * 300 + "# Moscas\n", "Moscas", None),
    ],
    ids=["title", "no-title", "never-closed", "two-rules", "in-the-middle", "endless"],
)
def test_front_matter_gives_the_title_and_is_no_text(read: Read, text: str, title: str, left: str | None) -> None:
    document = read("card.md", text.encode())
    assert document.title == title
    assert document.text == (text if left is None else left)


def test_headings_know_their_place() -> None:
    text = "# A\ntext\n### B ##\n~~~\n# no\n~~~\n####### seven\n## \n"
    found = headings(text)
    assert [(h.level, h.text) for h in found] == [(1, "A"), (3, "B"), (2, "")]
    assert [text[h.start : h.end] for h in found] == ["# A\n", "### B ##\n", "## \n"]


@pytest.mark.parametrize("data", [b"\x00\x01", b"text\0text", b"\xff\xfeU\x00\x00", b"\x89PNG\r\n", b"caf\xe9"])
def test_binary_and_other_encodings_are_refused_by_name(read: Read, data: bytes) -> None:
    with pytest.raises(KnowledgeError, match=r"guide\.md"):
        read("guide.md", data)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("x.exe", b"MZ", "no document of a known kind"),
        ("x.docx", pdf([[Line(text="x")]]), "is a PDF, not what its ending"),
        ("x.pdf", docx(paragraph("x")), "is a zip archive"),
        ("x.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an old Word"),
        ("x.txt", b"{\\rtf1 x}", "an RTF file"),
        ("x.md", b"\x7fELF", "a program"),
        ("x.epub", b"hello", "not what its ending"),
        ("x.pdf", b"", "is empty"),
        ("x.txt", b"  \n", "holds no text"),
    ],
)
def test_a_file_that_is_not_what_its_ending_says_is_refused(read: Read, name: str, data: bytes, why: str) -> None:
    with pytest.raises(KnowledgeError, match=why) as refused:
        read(name, data)
    assert refused.value.todo or refused.value.needed


def test_missing_files_folders_and_giants_are_refused(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "folder.md").mkdir()
    with (tmp_path / "giant.md").open("wb") as giant:
        giant.truncate(MAX_OTHER + 1)
    for name, why in (("none.md", "none"), ("folder.md", "folder"), ("giant.md", "larger")):
        with pytest.raises(KnowledgeError, match=why):
            reader.read(tmp_path / name, name=name, lang="en")


def test_a_language_is_detected_or_declared_or_given(reader: Reader, tmp_path: Path) -> None:
    page = put(tmp_path, "a.html", b"<html lang=fr><p>Bonjour.")
    plain = put(tmp_path, "a.txt", b"Bonjour.")
    assert reader.read(page, name="a.html", lang="en").lang == "fr"
    assert reader.read(plain, name="a.txt", lang="en").lang == "en"
    for declared, lang in (("eng", "en"), ("pt-BR", "pt"), ("fil", "fil"), ("javascript:x", "de"), ("", "de")):
        page.write_bytes(b"<html lang='%s'><p>x" % declared.encode())
        assert reader.read(page, name="a.html", lang="de").lang == lang
    page.write_bytes(b"<html lang=fr><p>Bonjour.")
    with Reader(idle=False, detect=lambda text: "sw" if "Bonjour" in text else None) as detecting:
        assert detecting.read(page, name="a.html", lang="en").lang == "sw"


def test_all_files_that_cannot_be_read_are_named_at_once(tmp_path: Path) -> None:
    files = [put(tmp_path, "a.pdf", b"%PDF-"), put(tmp_path, "b.md", b"Fine."), put(tmp_path, "c.txt", b"\xff")]
    with pytest.raises(KnowledgeError, match=r"2 of 3") as refused:
        read_documents(files, lang="en")
    assert "a.pdf" in str(refused.value) and "c.txt" in str(refused.value)


def test_a_document_that_eats_memory_ends_its_child_and_not_the_reader(reader: Reader, tmp_path: Path) -> None:
    # A string for each line: far more of them than 300 MB hold.
    hungry = put(tmp_path, "hungry.md", b"x\n" * 4_990_000)
    reader.peak = 0
    with pytest.raises(KnowledgeError, match="memory"):
        reader.read(hungry, name="hungry.md", lang="en")
    assert reader.peak <= 300 << 20
    assert reader.read(put(tmp_path, "b.md", b"Fine."), name="b.md", lang="en").text == "Fine."


def test_a_document_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_CPU_S", 1)
    monkeypatch.setattr(ingest, "_CPU_S_MIB", 0)
    slow = put(tmp_path, "slow.html", b"<p>word</p>" * 900_000)
    with Reader(idle=False) as reader, pytest.raises(KnowledgeError, match="more than 1 s of processor time"):
        reader.read(slow, name="slow.html", lang="en")


def test_progress_is_told(reader: Reader, tmp_path: Path) -> None:
    pages = [[Line(text=f"line {line}") for line in range(50)] for _ in range(700)]
    told: list[tuple[int, int]] = []
    reader.read(
        put(tmp_path, "long.pdf", pdf(pages)), name="long.pdf", lang="en", told=lambda done, of: told.append((done, of))
    )
    assert told == sorted(told)
    assert {of for _, of in told} == {700}


def test_a_reading_process_that_was_killed_is_replaced(tmp_path: Path) -> None:
    file = put(tmp_path, "a.md", b"Fine.")
    with Reader(idle=False) as reader:
        reader.read(file, name="a.md", lang="en")
        assert reader._child is not None
        os.kill(reader._child.pid, 9)
        with pytest.raises(KnowledgeError, match="killed"):
            reader.read(file, name="a.md", lang="en")
        assert reader.read(file, name="a.md", lang="en").text == "Fine."


@pytest.mark.parametrize(
    "said",
    [
        b"{",
        b"[" * 100_000,
        b"3",
        b"{}",
        b'{"text": 3, "title": "", "lang": "", "pages": [], "headings": [], "notes": []}',
        b'{"text": "Fine.", "title": "", "lang": "", "pages": [0.0], "headings": [], "notes": []}',
        b'{"text": "Fine.", "title": "", "lang": "", "pages": [], "headings": [[1, "F", 0.0, 1.5]], "notes": []}',
        b'{"text": "Fine \\ud800.", "title": "", "lang": "", "pages": [], "headings": [], "notes": []}',
    ],
)
def test_a_child_that_was_taken_over_is_not_believed(tmp_path: Path, said: bytes) -> None:
    class TakenOver(Reader):
        def _run(self, *_: object, **__: object) -> str:
            self._out.write_bytes(said)
            return ""

    with TakenOver() as reader, pytest.raises(KnowledgeError, match="nonsense"):
        reader.read(put(tmp_path, "a.md", b"Fine."), name="a.md", lang="en")


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with Reader(idle=False) as reader:
        reader.read(put(tmp_path, "a.md", b"Fine."), name="a.md", lang="en")
        pid = reader._child.pid if reader._child else 0
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not Path(f"/proc/{pid}").exists()
