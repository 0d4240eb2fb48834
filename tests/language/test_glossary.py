"""Tests of appliance.language.glossary: reading, finding terms, and sentences that people translated."""

import pytest

from appliance.errors import LanguageError
from appliance.language.glossary import Glossary, find, holds


@pytest.fixture
def glossary(tmp_path):
    path = tmp_path / "glossary.csv"
    path.write_text(
        "\ufeffen,sw,note\nwater,maji,\nsafe water,maji salama,\ndrop,tone|matone,plural matone\n,,\nWHO,WHO,\n"
        "Is the water safe?,Je maji ni salama?,a whole sentence\nwater,uji,a second row for it\n"
    )
    return Glossary.read([path])


def found(glossary, text, source="en", target="sw"):
    return [(text[f.start : f.end], f.term.target[0]) for f in find(text, glossary.terms(source, target), source)]


def test_the_longest_term_is_found_inflected_and_in_capitals_only_as_it_is(glossary):
    assert found(glossary, "Add drops to Safe Water, said the WHO; who drinks water?") == [
        ("drops", "tone"), ("Safe Water", "maji salama"), ("WHO", "WHO"), ("water", "maji"),
    ]  # fmt: skip


def test_a_term_does_not_run_over_a_full_stop(glossary):
    assert found(glossary, "Keep it safe. Water is life.") == [("Water", "maji")]


def test_a_glossary_works_both_ways_and_any_form_counts(glossary):
    assert found(glossary, "Weka matone mawili ya maji", "sw", "en") == [("matone", "drop"), ("maji", "water")]


def test_a_translation_holds_a_term_inflected_or_spread(glossary):
    assert holds("Weka matone 4", ["tone"], "sw")
    assert holds("Weka pakiti 4 za barafu", ["pakiti ya barafu"], "sw")
    assert not holds("Weka pakiti 4 za chumvi", ["pakiti ya barafu"], "sw")
    assert holds("请把水煮沸", ["煮沸"], "zh") and not holds("请喝水", ["煮沸"], "zh")


def test_a_whole_sentence_is_remembered_with_the_askers_full_stop(glossary):
    assert glossary.whole("is the  water safe", "en", "sw") == "Je maji ni salama?"
    assert glossary.whole("Water.", "en", "sw") == "maji."
    assert glossary.whole("Is the milk safe?", "en", "sw") is None


@pytest.mark.parametrize("text", ["", "en\n", "\xff"])
def test_what_is_no_glossary_is_refused(tmp_path, text):
    path = tmp_path / "glossary.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(LanguageError, match=r"glossary\.csv"):
        Glossary.read([path])
