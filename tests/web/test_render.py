"""Tests of appliance.web.render: nothing that a person or a document says becomes markup."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.web import render
from appliance.web.jobs import Snapshot
from tests.support.scripted import passage

HOSTILE = "<script>alert(1)</script>\"'&"


def snapshot(**changes):
    facts = {"id": "1", "lang": "en", "question": "?", "state": "answering"} | changes
    return Snapshot(**facts)


def test_citations_link_to_the_passage_in_its_document():
    shown = render.answer(snapshot(answer="Boil it. [1] Or not. [7]", passages=(passage("Boil it."),)))
    assert 'href="/source/guides/water.md?start=0&amp;end=8&amp;lang=en#passage"' in shown
    assert "[7]</a>" not in shown


def test_a_source_shows_its_page_where_the_document_has_pages():
    with_page = snapshot(passages=(replace(passage("Boil it."), page=3),))
    assert "page 3" in render.sources(with_page)
    assert "page" not in render.sources(snapshot(passages=(passage("Boil it."),)))


@given(st.text())
def test_texts_are_escaped_everywhere(text):
    hostile = text + HOSTILE
    shot = snapshot(
        lang="sw",
        answer=hostile,
        answer_working=hostile,
        question_working=hostile,
        error=hostile,
        passages=(passage(hostile, title=hostile, heading=hostile),),
    )
    for part in (render.answer(shot), render.original(shot, "en"), render.sources(shot), render.title(hostile)):
        assert "<script" not in part
    assert "&lt;script&gt;" in render.sources(shot)


def test_the_original_is_shown_only_in_another_language():
    shot = snapshot(lang="en", question_working="How long?", answer_working="Boil it.")
    assert render.original(shot, "en") == ""
    assert "Boil it." in render.original(snapshot(lang="sw", question_working="?", answer_working="Boil it."), "en")
