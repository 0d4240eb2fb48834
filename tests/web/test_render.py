"""Tests of appliance.web.render: nothing that a person or a document says becomes markup."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.exchange import Claim, Exchange, Usage
from appliance.language.glossary import Term
from appliance.web import furniture, render, strings
from appliance.web.jobs import Snapshot
from appliance.web.topics import Topic
from tests.support.scripted import passage

HOSTILE = "<script>alert(1)</script>\"'&"


def snapshot(**changes):
    facts = {"id": "1", "lang": "en", "question": "?", "state": "answering"} | changes
    return Snapshot(**facts)


def test_citations_link_to_the_passage_in_its_document():
    shown = render.answer(snapshot(answer="Boil it. [1] Or not. [7]", passages=(passage("Boil it."),)), "en")
    assert 'href="/source/guides/water.md?start=0&amp;end=8#passage"' in shown
    assert "[7]</a>" not in shown


def test_a_source_shows_its_page_where_the_document_has_pages():
    with_page = snapshot(passages=(replace(passage("Boil it."), page=3),))
    assert "page 3" in render.sources(with_page, "en")
    assert "page" not in render.sources(snapshot(passages=(passage("Boil it."),)), "en")


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
    topics = [Topic(title={"sw": hostile}, questions={"sw": (hostile,)})]
    terms = (Term(source=("Boil",), target=(hostile,), note=hostile),)
    for part in (
        render.answer(shot, "sw", terms),
        render.original(shot, "sw", "en"),
        render.sources(shot, "sw"),
        furniture.title(hostile),
        furniture.topics(topics, "sw", ("sw",), links=True),
        furniture.topics(topics, "sw", ("sw",), links=False),
    ):
        assert "<script" not in part
    assert "&lt;script&gt;" in render.sources(shot, "sw")


def test_the_original_is_shown_only_in_another_language():
    shot = snapshot(lang="en", question_working="How long?", answer_working="Boil it.")
    assert render.original(shot, "en", "en") == ""
    shot = snapshot(lang="sw", question_working="?", answer_working="Boil it.")
    assert "Boil it." in render.original(shot, "sw", "en")


def test_a_person_in_need_is_not_shown_how_their_words_were_translated():
    shot = snapshot(lang="sw", question_working="Lay it toes", help=({"en": "Call 116"},))
    assert render.original(shot, "sw", "en") == ""


def test_each_sentence_opens_at_its_own_place_and_what_no_document_says_is_underlined():
    water = passage("Boil it. Let it cool.")
    claims = (
        Claim(text="Iache ipoe. [1] ", text_working="Let it cool. [1] ", supported=True, passage=1, start=9, end=21),
        Claim(text="Kunywa <moto>.", text_working="Drink it hot.", supported=False, passage=1, start=0, end=8),
    )
    exchange = an_exchange(passages=(water,), claims=claims, answer="Iache ipoe. [1] Kunywa <moto>.")
    shown = render.answer(snapshot(answer=exchange.answer, passages=(water,), exchange=exchange, state="done"), "en")
    assert "start=9&amp;end=21#passage" in shown
    assert '<span class="fp-unsupported">Kunywa &lt;moto&gt;.</span>' in shown
    assert 'fp-unsupported">Iache' not in shown


def test_another_language_is_offered_by_its_own_name():
    exchange = an_exchange(flags=("other-language",), looks_like="sw")
    assert "looks like Kiswahili" in render.answer(snapshot(exchange=exchange, state="done"), "en")


def test_a_finished_translation_stands_sentence_beside_sentence():
    claims = (
        Claim(text="Ichemshe. [1] ", text_working="Boil it. [1] ", supported=True, passage=1, start=0, end=8),
        Claim(text="Iache ipoe. ", text_working="Let it cool. ", supported=True, passage=1, start=9, end=21),
    )
    exchange = an_exchange(lang="sw", claims=claims, answer="Ichemshe. [1] Iache ipoe.")
    shown = render.original(snapshot(lang="sw", question_working="?", exchange=exchange, state="done"), "ar", "en")
    pair = '<p lang="sw" dir="ltr">Iache ipoe.</p><p lang="en" dir="ltr">Let it cool.</p>'
    assert pair in shown
    assert strings.words("ar")["beside"] in shown


def test_a_term_is_explained_once_where_it_first_stands():
    terms = (Term(source=("maji",), target=("water",), note="clean <or> not"),)
    shown = render.answer(snapshot(lang="sw", answer="Chemsha maji. Kunywa maji."), "sw", terms)
    assert shown.count('class="fp-term"') == 1
    assert (
        'Chemsha <label class="fp-term">maji<input type="checkbox"><span>water · clean &lt;or&gt; not</span>' in shown
    )


def test_the_page_speaks_the_visitors_language_and_the_answer_its_own():
    exchange = an_exchange(flags=("extractive",), hidden={"telephone": 2, "e-mail": 1})
    shown = render.answer(snapshot(answer="Boil it.", exchange=exchange, state="done"), "hi")
    said = strings.words("hi")
    assert said["flag_extractive"] in shown
    assert f"{said['hidden']} {said['kind_e-mail']}, {said['kind_telephone']} × 2" in shown
    assert '<div class="fp-answer" lang="en" dir="ltr"' in shown


@pytest.mark.parametrize(
    ("seconds", "said"), [(1, "About 5 seconds"), (12, "About 15 s"), (61, "About 2 minutes"), (60, "About 1 minute ")]
)
def test_waiting_is_told_as_people_say_it(seconds, said):
    shown = render.status(snapshot(position=3, wait_s=seconds), "en")
    assert "Your place in the queue: 3" in shown
    assert said in shown


def test_a_failure_is_told_in_the_visitors_words_and_the_technicians_beneath():
    shown = render.answer(snapshot(state="failed", error="16 tokens too many.", error_kind="too-long"), "fr")
    assert "La question est trop longue. Raccourcissez-la." in shown
    assert '<p lang="en" dir="ltr">16 tokens too many.</p>' in shown


def test_a_language_is_shown_by_its_own_name_in_its_own_direction_and_the_chosen_one_is_marked():
    shown = furniture.languages("ar", ("en", "sw"), lambda lang: f"/language/{lang}")
    assert '<a href="/language/ar" lang="ar" dir="rtl" hreflang="ar" aria-current="true">العربية</a>' in shown
    assert shown.index("English") < shown.index("العربية") < shown.index("<details>") < shown.index("Français")
    assert "يجيب هذا الصندوق باللغات: <bdi>English</bdi>, <bdi>Kiswahili</bdi>" in shown
    assert "<bdi>" not in furniture.languages("sw", ("en", "sw"), str)


def an_exchange(**changes):
    usage = Usage(prompt_tokens=0, generated_tokens=0, first_token_s=0, total_s=0, finish="stop")
    facts = {
        "id": "1", "lang": "en", "working_lang": "en", "question": "?", "question_working": "?", "answer": "Boil it.",
        "answer_working": "Boil it.", "passages": (), "cited": (), "abstained": False, "model": "m", "adapter": None,
        "usage": usage, "steps": (), "flags": (),
    }  # fmt: skip
    return Exchange(**facts | changes)
