"""A text as terms and pieces: in every script, and the same for documents and questions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.knowledge.words import MAX_WORDS, asked, terms, words
from bundles.format.index_file import grams, key


def test_marks_belong_to_letters_and_signs_separate() -> None:
    assert words("पानी उबालें। पानी, को!") == ["पानी", "उबालें", "पानी", "को"]
    assert words("l'eau 2.5 ml/kg") == ["l", "eau", "2", "5", "ml", "kg"]


@pytest.mark.parametrize(
    ("lang", "one", "other"),
    [
        ("en", "boiling", "boiled"),
        ("en-KE", "boiling", "boiled"),
        ("fr", "maladies", "maladie"),
        ("es", "vacunación", "vacunacion"),
        ("ru", "болезни", "болезнь"),
        ("am", "ሀይል", "ኃይል"),
        ("am", "ፀሐይ", "ጸሀይ"),
        ("yo", "ìlera", "ilera"),
    ],
)
def test_what_means_the_same_is_one_term(lang: str, one: str, other: str) -> None:
    assert terms(one, lang) == terms(other, lang)


def test_scripts_without_spaces_are_cut_in_pairs() -> None:
    assert terms("洗手30秒", "zh") == ["洗手", "30", "秒"]
    assert terms("饮用水", "zh") == ["饮用", "用水"]
    assert terms("น้ำ", "th") == ["น้", "้ำ"]


def test_a_language_that_is_not_known_keeps_its_words_whole() -> None:
    assert terms("Majini salama", "sw") == ["majini", "salama"]
    assert set(grams("maji")) & set(grams("majini"))


def test_pieces_know_where_a_word_begins_and_ends() -> None:
    assert grams("boil") == (" boi", "boil", "oil ")
    assert grams("a") == (" a ",)
    assert grams("ውሃ") == (" ውሃ", "ውሃ ")
    assert grams("用水") == ("用", "水")
    assert key(" boi") == "__boi"


def test_a_question_keeps_its_telling_words_in_order() -> None:
    assert asked("It's 5 o'clock, how do I wash 5 hands?", "en") == ["5", "clock", "wash", "5", "hand"]
    assert asked("how what the of", "en") == []
    assert asked("Is there a vaccine against hepatitis A?", "en")[-1] == "a", "a letter that names one of several"
    assert "e" in asked("Hépatite E", "fr")
    assert "k" in asked("vitamin-K for newborns", "en")
    assert asked("A child that I bathe; plan b", "en") == ["child", "bath", "plan"]
    assert len(asked(" ".join(f"word{n}" for n in range(500)), "sw")) == 2 * MAX_WORDS


@given(st.text(max_size=60), st.sampled_from(["en", "ar", "zh", "am", "tr", "xx"]))
def test_terms_hold_nothing_that_fts5_or_a_line_could_read_otherwise(text: str, lang: str) -> None:
    for term in terms(text, lang):
        assert term
        assert not set(term) & set(" \n\"'*:^-()_")
