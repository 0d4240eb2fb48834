"""appliance.knowledge.ingest: text as it stands, its title and headings; what is no text is refused by name."""

import unicodedata
from pathlib import Path

import pytest

from appliance.errors import KnowledgeError
from appliance.knowledge.ingest import MAX_BYTES, headings, read_document


def read(tmp_path: Path, data: bytes, name: str = "guide.md") -> tuple[str, str]:
    (tmp_path / name).write_bytes(data)
    document = read_document(tmp_path / name, name=name, lang="en")
    return document.title, document.text


def test_the_text_stays_and_line_ends_and_composition_become_uniform(tmp_path: Path) -> None:
    raw = "# Water\r\n\r\nCafe\u0301 **bold**\ttab\rend\n"
    title, text = read(tmp_path, b"\xef\xbb\xbf" + raw.encode())
    assert title == "Water"
    assert text == "# Water\n\nCaf\u00e9 **bold**\ttab\nend\n"
    assert unicodedata.is_normalized("NFC", text)


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
def test_the_title_is_the_first_top_heading_or_the_file_name(tmp_path: Path, name: str, text: str, title: str) -> None:
    assert read(tmp_path, text.encode(), name)[0] == title


def test_headings_know_their_place() -> None:
    text = "# A\ntext\n### B ##\n~~~\n# no\n~~~\n####### seven\n## \n"
    found = headings(text)
    assert [(h.level, h.text) for h in found] == [(1, "A"), (3, "B"), (2, "")]
    assert [text[h.start : h.end] for h in found] == ["# A\n", "### B ##\n", "## \n"]


@pytest.mark.parametrize("data", [b"\x00\x01", b"text\0text", b"\xff\xfeU\x00", b"\x89PNG\r\n", b"caf\xe9"])
def test_binary_and_other_encodings_are_refused_by_name(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(KnowledgeError, match=r"guide\.md"):
        read(tmp_path, data)


def test_other_kinds_missing_files_and_giants_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match=r"x\.pdf"):
        read(tmp_path, b"%PDF", "x.pdf")
    with pytest.raises(KnowledgeError, match=r"none\.md"):
        read_document(tmp_path / "none.md", name="none.md", lang="en")
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(KnowledgeError, match=r"folder\.md"):
        read_document(tmp_path / "folder.md", name="folder.md", lang="en")
    with (tmp_path / "giant.md").open("wb") as giant:
        giant.truncate(MAX_BYTES + 1)
    with pytest.raises(KnowledgeError, match="larger"):
        read_document(tmp_path / "giant.md", name="giant.md", lang="en")
