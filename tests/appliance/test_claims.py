"""Tests of appliance.claims: what supports a sentence, in several languages, and exactly where it stands."""

from dataclasses import replace

import pytest

from appliance.claims import quotes, support
from tests.support.scripted import passage

WATER = "Boil the water for 1 minute. Do not drink it hot. Is it safe then? Let it cool with the lid on.\nUse 2 drops."


@pytest.mark.parametrize(
    ("said", "enough"),
    [
        ("Boil the water for 1 minute.", True),
        ("Boiling water for 1 minute", True),
        ("Boil the water for 10 minutes.", False),
        ("Drink it hot.", False),
        ("Do not drink it hot.", True),
        ("Do not boil the water.", False),
        ("Let it cool with its lid.", True),
        ("It is safe.", False),
        ("Give the child paracetamol.", False),
        ("Use 2 drops.", True),
    ],
)
def test_a_sentence_is_supported_by_its_words_numbers_and_negation(said, enough):
    place = support(said, [passage(WATER)], "en")
    assert place is not None and place.enough is enough


@pytest.mark.parametrize(
    ("lang", "text", "said", "other"),
    [
        ("sw", "Usinywe maji machafu. Chemsha maji kwa dakika 1.", "Chemsha maji dakika 1.", "Kunywa maji machafu."),
        (
            "fr",
            "Faites bouillir l'eau 1 minute. Ne buvez pas l'eau sale.",
            "Bouillir l'eau 1 minute.",
            "Buvez l'eau sale.",
        ),
        ("es", "Hierva el agua 1 minuto. No beba agua sucia.", "Hervir: hierva agua 1 minuto.", "Beba agua sucia."),
        ("zh", "把水煮沸1分钟。不要喝脏水。", "水煮沸1分钟。", "喝脏水。"),
        ("ar", "اغلي الماء لمدة 1 دقيقة. لا تشرب الماء القذر.", "اغلي الماء 1 دقيقة.", "تشرب الماء القذر."),
    ],
)
def test_a_lost_negation_is_no_support_in_any_of_these_languages(lang, text, said, other):
    quoted = replace(passage(text), lang=lang)
    assert support(said, [quoted], lang).enough
    assert not support(other, [quoted], lang).enough


def test_a_chinese_sentence_may_leave_signs_out():
    quoted = replace(passage("洗手前请先用干净的水冲洗双手，再用肥皂搓洗至少二十秒。"), lang="zh")
    assert support("洗手请先用净的水冲双手，用肥皂搓至少十秒。", [quoted], "zh").enough
    assert not support("秒十二少至洗搓皂肥用再，手双洗冲水的净干用先请前手洗。", [quoted], "zh").enough


def test_the_place_is_the_sentence_itself():
    at = replace(passage(WATER), start=100, end=100 + len(WATER))
    place = support("Let it cool with the lid on.", [passage("Wash your hands."), at], "en")
    assert place.number == 2
    assert WATER[place.start - 100 : place.end - 100] == "Let it cool with the lid on."


def test_two_sentences_said_as_one_stand_in_two():
    place = support("Boil it for 1 minute and let it cool.", [passage("Boil it for 1 minute. Let it cool.")], "en")
    assert place.enough and place.end - place.start == len("Boil it for 1 minute. Let it cool.")


def test_only_cited_passages_are_looked_at_and_no_words_have_no_place():
    assert not support("Use 2 drops.", [passage("Wash your hands."), passage(WATER)], "en", cited=(1,)).enough
    assert support("…", [passage(WATER)], "en") is None
    assert support("Use 2 drops.", [], "en") is None


def test_the_nearest_sentences_are_quoted_one_a_passage_and_none_that_shares_no_word():
    passages = [passage("Wash your hands. Use soap."), passage(WATER), passage("Store maize dry.")]
    assert quotes("How long must the water boil?", passages, "en", 3) == [("Boil the water for 1 minute.", 2)]
    assert quotes("Is soap or water better?", passages, "en", 1) in (
        [("Use soap.", 1)],
        [("Boil the water for 1 minute.", 2)],
    )
