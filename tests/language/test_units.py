"""Tests of appliance.language.units: what stands beside a number, in several languages, and what became of it."""

import pytest

from appliance.language import units

MG = ["mass-milligram"]


@pytest.mark.parametrize(
    ("lang", "text", "found"),
    [
        ("en", "Give 20 milligrams, or 5 ml, for 10 to 14 days.", {*MG, "volume-milliliter", "duration-day"}),
        ("en", "Keep at 2-8 °C; 10 mg/kg; 1.5 litres", {"temperature-celsius", "mass-milligram", "volume-liter"}),
        ("en", "In 5 minutely stages; day 3", set()),
        ("sw", "Mpe miligramu 20 kwa siku 14, dakika 1", {"mass-milligram", "duration-day", "duration-minute"}),
        ("fr", "Donnez 20 milligrammes pendant 10 jours", {"mass-milligram", "duration-day"}),
        ("zh", "每天20毫克", {"mass-milligram"}),
        ("lg", "20 mg", {"mass-milligram"}),
    ],
)  # fmt: skip
def test_units_are_found_beside_their_numbers(lang, text, found):
    assert set(units.found(text, lang)) == found


@pytest.mark.parametrize(
    ("said", "survives"),
    [
        ("Mpe miligramu 20 kwa siku 14.", True),
        ("Mpe 20 mg kwa siku 14.", True),
        ("Mpe gramu 20 kwa siku 14.", False),
        ("Mpe miligramu 20 kwa wiki 14.", False),
        ("Mpe miligramu 20 kwa 14.", False),
    ],
)
def test_a_unit_that_was_lost_or_changed_is_noticed(said, survives):
    assert units.survives("Give 20 milligrams for 14 days.", "en", said, "sw") is survives


def test_where_a_language_has_no_names_only_signs_can_be_told():
    assert units.survives("Give 20 mg.", "en", "Wa 20 mg.", "lg") is True
    assert units.survives("Give 20 milligrams.", "en", "Wa miligulaamu 20.", "lg") is None


@pytest.mark.parametrize(
    ("number", "unit", "lang", "written"),
    [
        ("20", "mass-milligram", "sw", "miligramu 20"),
        ("1,5", "volume-liter", "fr", "1,5 litre"),
        ("20", "duration-minute", "zh", "20分钟"),
        ("20", "duration-minute", "lg", None),
        ("20", "mass-milligram", "lg", "20 mg"),
    ],
)
def test_a_quantity_is_written_as_the_language_writes_it(number, unit, lang, written):
    assert (units.written(number, unit, lang) or "").replace("\xa0", " ") == (written or "")
