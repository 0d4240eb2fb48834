"""Tests of appliance.web.render: nothing that a person or a document says becomes markup."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.exchange import Claim, Exchange, Usage
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


def test_each_sentence_opens_at_its_own_place_and_what_no_document_says_is_underlined():
    water = passage("Boil it. Let it cool.")
    claims = (
        Claim(text="Iache ipoe. [1] ", text_working="Let it cool. [1] ", supported=True, passage=1, start=9, end=21),
        Claim(text="Kunywa <moto>.", text_working="Drink it hot.", supported=False, passage=1, start=0, end=8),
    )
    exchange = an_exchange(passages=(water,), claims=claims, answer="Iache ipoe. [1] Kunywa <moto>.")
    shown = render.answer(snapshot(answer=exchange.answer, passages=(water,), exchange=exchange, state="done"))
    assert "start=9&amp;end=21&amp;lang=en#passage" in shown
    assert '<span class="fp-unsupported">Kunywa &lt;moto&gt;.</span>' in shown
    assert 'fp-unsupported">Iache' not in shown


def test_another_language_is_offered_by_its_own_name():
    exchange = an_exchange(flags=("other-language",), looks_like="sw")
    assert "looks like Kiswahili" in render.answer(snapshot(exchange=exchange, state="done"))


def an_exchange(**changes):
    usage = Usage(prompt_tokens=0, generated_tokens=0, first_token_s=0, total_s=0, finish="stop")
    facts = {
        "id": "1", "lang": "en", "working_lang": "en", "question": "?", "question_working": "?", "answer": "Boil it.",
        "answer_working": "Boil it.", "passages": (), "cited": (), "abstained": False, "model": "m", "adapter": None,
        "usage": usage, "steps": (), "flags": (),
    }  # fmt: skip
    return Exchange(**facts | changes)
