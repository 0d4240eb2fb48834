"""Copies and near copies are found, whatever kind of file they came from; different documents are not."""

from pathlib import Path

from appliance.knowledge.document import Document
from appliance.knowledge.duplicates import find_same, in_words
from appliance.knowledge.index import build_index
from tests.knowledge.reading import put
from tests.support.office import docx, paragraph

SENTENCES = [f"Sentence number {n} tells something about water and health in place {n * 7}." for n in range(50)]


def document(path: str, text: str) -> Document:
    return Document(path=path, title=path, lang="en", text=text)


def test_the_same_words_in_other_lines_and_signs_are_a_copy() -> None:
    (same,) = find_same([document("a.md", "# Boil it!\n\nNow."), document("b.pdf", "BOIL  it now")])
    assert (same.first, same.second, same.copy) == ("a.md", "b.pdf", True)
    assert in_words(same) == "b.pdf says the same as a.md and is left out."


def test_an_edition_with_some_changes_is_nearly_the_same() -> None:
    second = [*SENTENCES[:45], "Something entirely new was written here in the year after."]
    (same,) = find_same([document("a", " ".join(SENTENCES)), document("b", "\n".join(second))])
    assert 0.9 < same.share < 1 and not same.copy
    assert "nearly the same as a" in in_words(same)


def test_documents_that_share_some_sentences_or_other_numbers_are_not() -> None:
    assert find_same([document("a", " ".join(SENTENCES[:40])), document("b", " ".join(SENTENCES[20:]))]) == []
    assert find_same([document("a", "Give 10 ml of it each day."), document("b", "Give 20 ml of it each day.")]) == []


def test_other_scripts() -> None:
    text = "把水烧开并至少保持一分钟，然后让它自然冷却。洗手时要用肥皂，并至少洗二十秒钟，再用清水冲净。"
    (same,) = find_same([document("a", text), document("b", text + "最后把水倒进干净并且盖好盖子的容器里面。")])
    assert (same.second, same.copy, same.share) == ("b", False, 1.0)


def test_an_index_leaves_copies_out_and_says_so(tmp_path: Path) -> None:
    files = [put(tmp_path, "a.md", b"Boil it."), put(tmp_path, "b.docx", docx(paragraph("Boil it.")))]
    notes: list[str] = []
    out = tmp_path / "i.sqlite"
    assert build_index(files, docpack="p", language="en", out=out, note=notes.append) == 1
    assert notes == ["b.docx says the same as a.md and is left out."]
