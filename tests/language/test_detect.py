"""Tests of appliance.language.detect: short questions, another language, and too little to tell."""

import pytest

from appliance.language.detect import detect


@pytest.mark.parametrize(
    ("text", "languages", "lang"),
    [
        ("Nichemshe maji kwa muda gani?", ["en", "sw"], "sw"),
        ("How long should I boil water?", ["en", "sw"], "en"),
        ("Ya kamata a tafasa ruwa tsawon lokaci nawa?", ["en", "ha", "fr"], "ha"),
        ("Pendant combien de temps faut-il bouillir ?", ["en", "ha", "fr"], "fr"),
        ("ውሃ ለምን ያህል ጊዜ ይፈላል?", ["en", "am"], "am"),
        ("Pendant combien de temps faut-il faire bouillir l'eau ?", ["en", "sw"], None),
        ("12?", ["en", "sw"], None),
        ("Boil the water", ["xx"], None),
    ],
)
def test_which_language_a_question_is_in(text, languages, lang):
    assert detect(text, languages) == lang
