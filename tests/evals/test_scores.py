"""Tests of appliance.evals.scores: answers in several scripts held against each other."""

import pytest

from appliance.evals import scores
from appliance.evals.chrf import chrf


@pytest.mark.parametrize(
    ("text", "lang", "tokens"),
    [
        ("The water, boiled for 1 minute!", "en", ["water", "boiled", "for", "1", "minute"]),
        ("The net", "sw", ["the", "net"]),
        ("1,000 ml or 1.5 l", "en", ["1000", "ml", "or", "1.5", "l"]),
        ("20mg", "en", ["20", "mg"]),
        ("把水煮沸1分钟。", "zh", ["把", "水", "煮", "沸", "1", "分", "钟"]),
        ("पानी उबालें", "hi", ["पानी", "उबालें"]),
        ("٢٠ ملغ", "ar", ["20", "ملغ"]),
        ("ውሃ ፳፭ ደቂቃ", "am", ["ውሃ", "25", "ደቂቃ"]),
        ("Ｆｕｌｌ width", "en", ["full", "width"]),
        ("…", "en", []),
    ],
)
def test_what_is_compared(text, lang, tokens):
    assert scores.tokens(text, lang) == tokens


def test_f1_counts_each_word_as_often_as_it_stands_there():
    assert scores.f1("boil boil water", "boil water", "en") == pytest.approx(2 * 2 / 5)
    assert scores.f1("", "", "en") == 1
    assert scores.f1("", "boil", "en") == 0


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("Bring the water to a rolling boil for 1 minute.", True),
        ("1. Bring the water to a rolling boil for 1 minute. 2. Let it cool.", True),
        ("Bring water to the rolling boil, for 1 minute long", True),
        ("Bring the water to a rolling boil for 10 minutes.", False),
        ("Bring the water to a rolling boil.", False),
        ("Let it cool.", False),
        ("", False),
    ],
)
def test_an_answer_is_right_word_for_word_or_in_like_words_with_its_numbers(answer, is_right):
    assert scores.right(answer, ["Bring the water to a rolling boil for 1 minute."], "en") is is_right


def test_words_are_held_only_one_after_the_other():
    assert scores.holds("Let the water cool down.", "water cool", "en")
    assert not scores.holds("Let the water cool down.", "cool water", "en")


def test_an_answer_without_words_of_its_own_is_not_held_by_everything():
    assert not scores.holds("Let the water cool down.", "A", "en")  # articles are not compared
    assert not scores.right("Let the water cool down.", ["A"], "en")


def test_chrf_is_one_for_the_same_text_and_falls_with_what_differs():
    assert chrf("Chemsha maji.", "Chemsha maji.") == pytest.approx(1)
    assert 0 < chrf("Chemsha maziwa.", "Chemsha maji.") < 1
