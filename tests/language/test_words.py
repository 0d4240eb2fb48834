"""Tests of appliance.language.words: inflected forms known again, and other words not taken for them."""

import pytest

from appliance.language.words import alike, words


@pytest.mark.parametrize(
    ("lang", "base", "word"),
    [
        ("en", "net", "nets"), ("en", "bleach", "bleaches"), ("en", "baby", "babies"), ("en", "ICU", "ICUs"),
        ("sw", "tone", "matone"), ("sw", "chandarua", "vyandarua"), ("sw", "kichupa", "vichupa"),
        ("fr", "vaccin", "vaccins"), ("ru", "вакцина", "вакцины"), ("hi", "बुखार", "बुखार"), ("ar", "لقاح", "اللقاح"),
        ("am", "ክትባት", "የክትባት"), ("ha", "allura", "allurar"),
    ],
)  # fmt: skip
def test_an_inflected_form_is_known_again(lang, base, word):
    assert alike(word, base, lang)


@pytest.mark.parametrize(
    ("lang", "base", "word"),
    [
        ("en", "ash", "wash"), ("en", "store", "stored"), ("en", "WHO", "who"), ("en", "net", "neat"),
        ("sw", "maji", "haji"), ("sw", "homa", "hoja"), ("fr", "milligramme", "millilitre"), ("ru", "вода", "водка"),
    ],
)  # fmt: skip
def test_another_word_is_not_taken_for_it(lang, base, word):
    assert not alike(word, base, lang)


def test_marks_stay_with_their_letters_and_places_are_exact():
    text = "पानी उबालें — COVID-19, mother's"
    found = words(text)
    assert [word.text for word in found] == ["पानी", "उबालें", "COVID-19", "mother's"]
    assert all(text[word.start : word.end] == word.text for word in found)
