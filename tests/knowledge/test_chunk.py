"""appliance.knowledge.chunk: exact spans, nothing lost, nothing twice, sections kept apart."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.borders import ENDS, WIDE_ENDS
from appliance.knowledge.chunk import LIMIT, passages
from appliance.knowledge.document import Document
from appliance.knowledge.ingest import Reader
from appliance.knowledge.parse_text import headings

DOCS = Path(__file__).resolve().parents[2] / "bundles" / "demo" / "docs"

LINES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(["# Title", "## Part", "### Deep part", "## Sources", "", "| a | b |", "| --- | --- |", "```"]),
    st.text("अआ। ", max_size=120),
    st.text("水をわかす。！", max_size=120),
    st.lists(st.sampled_from(["Boil it.", "Wait", "e.g.", "10", "minutes!", "x" * 90]), max_size=40).map(" ".join),
)
TEXTS = st.lists(LINES, max_size=30).map("\n".join)


def document(text: str, *, markdown: bool = True) -> Document:
    return Document(
        path="d.md", title="Title", lang="en", text=text, headings=tuple(headings(text)) if markdown else ()
    )


def prose(text: str) -> str:
    """What must be in a passage: the text, without the sections of sources and without headings that have one below."""
    kept, at, skip = "", 0, 0
    marks = headings(text)
    for number, mark in enumerate([*marks, None]):
        end = mark.start if mark else len(text)
        kept += "" if skip else text[at:end]
        if mark:
            at = mark.end
            skip = mark.level if mark.text == "Sources" else (skip if skip and mark.level > skip else 0)
            after = marks[number + 1] if number + 1 < len(marks) else None
            below = text[mark.end : after.start if after else len(text)]
            if not skip and mark.text and not below.strip() and not (after and after.level > mark.level):
                kept += text[mark.start : mark.end]
    return kept


def size(text: str) -> int:
    return sum(1 + (sign >= "\u0800") for sign in text)


@given(TEXTS, st.integers(20, LIMIT))
def test_passages_are_exact_ordered_spans_that_lose_nothing(text: str, limit: int) -> None:
    found = passages(document(text), docpack="p", limit=limit)
    end = 0
    for passage in found:
        assert passage.text == text[passage.start : passage.end]
        assert passage.text == passage.text.strip() != ""
        assert size(passage.text) <= limit
        assert passage.start >= end
        end = passage.end
    assert re.sub(r"\s", "", "".join(p.text for p in found)) == re.sub(r"\s", "", prose(text))
    assert [p.id for p in found] == [f"p/d.md#{n}" for n in range(1, len(found) + 1)]


@given(TEXTS)
def test_plain_text_has_no_headings(text: str) -> None:
    found = passages(document(text, markdown=False), docpack="p")
    assert {p.heading for p in found} <= {""}
    assert re.sub(r"\s", "", "".join(p.text for p in found)) == re.sub(r"\s", "", text)


def test_a_section_is_one_passage_under_its_path() -> None:
    text = "# Title\nIntro.\n\n## Boiling\nBoil it.\n\nWait.\n\n### High up\nLonger.\n\n## Cooling\n\nCool it.\n"
    found = [(p.heading, p.text) for p in passages(document(text), docpack="p")]
    assert found == [
        ("", "Intro."),
        ("Boiling", "Boil it.\n\nWait."),
        ("Boiling > High up", "Longer."),
        ("Cooling", "Cool it."),
    ]


def test_sources_are_no_passage_and_neither_is_what_stands_below_them() -> None:
    text = "# Title\n## A\nText.\n## Sources\n- WHO\n### Books\nB.\n## B\nMore.\n"
    assert [p.text for p in passages(document(text), docpack="p")] == ["Text.", "More."]


def test_long_sections_are_cut_between_paragraphs_then_sentences() -> None:
    sentence = "Boil the water for one whole minute. "
    paragraph = (sentence * 10).strip()
    found = passages(document(f"## A\n{paragraph}\n\n{paragraph}\n\n{sentence * 40}"), docpack="p")
    assert [p.text for p in found[:2]] == [paragraph, paragraph]
    assert len(found) > 4
    assert all(p.text.endswith(".") and p.text.startswith("Boil") for p in found)
    assert all(len(p.text) > LIMIT // 2 for p in found[:-1])


def test_a_long_table_is_cut_between_rows() -> None:
    rows = [f"| dose {n} | {n * 5} millilitres |" for n in range(60)]
    found = passages(document("## Doses\n" + "\n".join(rows)), docpack="p")
    assert [line for p in found for line in p.text.splitlines()] == rows


def test_a_cut_table_names_its_columns_again() -> None:
    rows = [f"| {n} kg | {n * 5} millilitres |" for n in range(60)]
    text = "## Doses\nFirst.\n\n" + "\n".join(["| Weight | Dose |", "| --- | :-: |", *rows]) + "\n\nAfter it."
    first, *others = passages(document(text), docpack="p")
    assert first.heading == "Doses"
    assert len(others) > 2
    assert (others[0].heading, others[0].text[:6]) == ("Doses", "| Weig")
    assert {p.heading for p in others[1:] if p.text.startswith("|")} == {"Doses > Weight | Dose"}
    assert all(p.heading == "Doses" for p in others if not p.text.startswith("|"))
    alone = passages(document("\n".join(rows)), docpack="p")
    assert {p.heading for p in alone} == {""}


def test_a_heading_with_nothing_below_it_is_found_too() -> None:
    found = passages(document("# Title\n## Give 10 ml\n## Then\n### wait\n"), docpack="p")
    assert [(p.heading, p.text) for p in found] == [("Give 10 ml", "## Give 10 ml"), ("Then > wait", "### wait")]


def test_scripts_without_spaces_are_cut_between_sentences() -> None:
    sentence = "把水烧开并至少保持一分钟。"
    found = passages(document(sentence * 100, markdown=False), docpack="p")
    assert all(p.text.startswith("把水") and p.text.endswith("。") for p in found)
    assert all(LIMIT // 4 < len(p.text) <= LIMIT // 2 for p in found[:-1])
    thai = passages(document("ต้มน้ำให้เดือด" * 200, markdown=False), docpack="p")
    assert all(size(p.text) <= LIMIT for p in thai)


def test_the_demo_guides_keep_their_tables_and_leave_their_sources() -> None:
    with Reader(idle=False) as reader:
        guides = {path: reader.read(path, name=path.name, lang="en") for path in sorted(DOCS.glob("*.md"))}
    assert guides
    for path, guide in guides.items():
        found = passages(guide, docpack="field-guides")
        assert any("| --- |" in p.text for p in found), path
        assert not any(p.heading == "Sources" or "World Health Organization" in p.text for p in found), path
        assert all(guide.text[p.start : p.end] == p.text for p in found)


@pytest.mark.parametrize("sign", [".", "…", *ENDS, *WIDE_ENDS])
def test_a_long_section_is_cut_where_its_scripts_sentences_end(sign: str) -> None:
    space = "" if sign in WIDE_ENDS else " "
    text = space.join(["\u201cten letters" + sign + "\u201d"] * 20)
    found = passages(document(text), docpack="p", limit=70)
    assert len(found) > 3
    assert all(passage.text.endswith(sign + "\u201d") for passage in found)
