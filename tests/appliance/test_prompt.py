"""Tests of appliance.prompt: the wording, the token budget, and reading an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import prompt
from appliance.engine.protocol import Message
from appliance.errors import PromptTooLong
from tests.support.scripted import passage


def count(messages: tuple[Message, ...]) -> int:
    return sum(len(m.content.split()) for m in messages)


def test_passages_are_numbered_with_their_place():
    messages = prompt.build("How long?", [passage("Boil it."), passage("Cool it.", heading="Cooling")])
    assert [m.role for m in messages] == ["system", "user"]
    assert messages[1].content == (
        "[1] Safe water > Boiling\nBoil it.\n\n[2] Safe water > Cooling\nCool it.\n\nQuestion: How long?"
    )


def test_without_passages_the_question_is_sent_alone():
    assert prompt.build("How long?", []) == (Message(role="user", content="How long?"),)


def test_the_worst_passages_are_dropped_until_the_answer_has_room():
    passages = [passage("word " * 40, number=n) for n in (1, 2, 3)]
    _, kept, room = prompt.fit("How long?", passages, context=180, answer=40, count=count)
    assert [p.id for p in kept] == ["guides/water.md#1", "guides/water.md#2"]
    assert room == 40


def test_a_question_that_never_fits_says_how_long_it_may_be():
    with pytest.raises(PromptTooLong, match="of the model's 60 tokens"):
        prompt.fit("word " * 200, [], context=60, answer=40, count=count)


def test_documents_are_never_dropped_altogether():
    with pytest.raises(PromptTooLong):
        prompt.fit("How long?", [passage("word " * 400)], context=200, answer=40, count=count)


def test_only_passages_that_exist_are_cited():
    assert prompt.citations("Boil it. [2] Cool it. [1] Again. [2] What? [9]", 2) == (2, 1)


@pytest.mark.parametrize(
    "said",
    ["These documents don't tell.", " These documents don’t tell", prompt.ABSTENTION, f"1. {prompt.ABSTENTION}"],
)
def test_an_abstention_is_recognised(said):
    assert prompt.is_abstention(said)


def test_an_answer_is_no_abstention():
    assert not prompt.is_abstention("These documents don't tell how long, but [1] says to boil it.")
    assert not prompt.is_abstention("Boil the water for 1 minute. [1]")


def test_marks_stay_with_their_sentence_and_numbers_lead_theirs():
    answer = "1. Boil it for 1.5 minutes. [1]\n2. Cool it. [1] [2] Then drink."
    assert prompt.sentences(answer) == ["1. Boil it for 1.5 minutes. [1]\n", "2. Cool it. [1] [2] ", "Then drink."]


@given(st.text(alphabet="ab .?!\n[]12", max_size=60))
def test_sentences_lose_nothing(answer):
    assert "".join(prompt.sentences(answer)) == answer


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Let the water cool. [1]", "Let the water cool. [2]"),
        ("2. Let the water cool.\n", "2. Let the water cool. [2]\n"),
        ("Let the water cool. [2]", "Let the water cool. [2]"),
        ("Let the  water\ncool. [1] ", "Let the  water\ncool. [2] "),
        ("Cool the water first. [1]", "Cool the water first. [1]"),
        ("Boil it. [2]", "Boil it. [2]"),
    ],
)
def test_a_quoted_sentence_cites_the_passage_it_stands_in(said, shown):
    passages = [passage("Boil it. Above 2000 metres, boil it longer."), passage("Let the water cool. Then drink.")]
    assert prompt.sourced(said, passages) == shown


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("Boil it for 1 minute. [1]", False),
        ("Boil it for 15 minutes. [1]", True),
        ("Boil it for 15 minutes |\nand cool it. [1]", True),
        ("1. Boil it for 1 minute. [1]\n2. Cool it. [2]", False),
        ("Wait 30 minutes. [1]", True),
        ("Wait 30 minutes. [2]", False),
        ("Wait 99 minutes.", False),
    ],
)
def test_a_number_must_stand_in_a_passage_that_is_cited(said, found):
    passages = [passage("Boil it for 1 minute."), passage("Cool it. Wait 30 minutes.")]
    assert prompt.numbers_without_source(said, passages) is found


def test_a_sentence_is_taken_apart_for_the_translator():
    part = prompt.take_apart("2. Boil it. [1]\n")
    assert (part.before, part.text, part.after) == ("2. ", "Boil it.", " [1]\n")
