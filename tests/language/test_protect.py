"""Tests of appliance.language.protect: each rung of the ladder with a package that fails in one way."""

import pytest

from appliance.language.glossary import Term
from appliance.language.protect import harm, translated

BLEACH = Term(source=("bleach",), target=("klorini",))


class Package:
    """Says what it is told for a text, and itself for any other; forces a term by writing it at the end."""

    def __init__(self, said, forces=True):
        self.said, self.forces, self.asked = said, forces, []

    def sentence(self, text):
        self.asked.append(text)
        return self.said.get(text, text)

    def forced(self, text, term, draft):
        return [f"{draft} {term}"] if self.forces else []


def through(text, package, *terms):
    return translated(text, "en", "sw", terms, package)


def test_a_term_that_came_by_itself_costs_nothing():
    package = Package({"Add bleach.": "Weka klorini."})
    out = through("Add bleach.", package, BLEACH)
    assert (out.text, out.flags) == ("Weka klorini.", ())
    assert package.asked == ["Add bleach."]


def test_a_missing_term_is_forced():
    out = through("Add bleach.", Package({"Add bleach.": "Weka dawa."}), BLEACH)
    assert (out.text, out.flags) == ("Weka dawa. klorini", ())


def test_a_forced_translation_that_loses_a_number_is_not_taken():
    class Loses(Package):
        def forced(self, text, term, draft):
            return [f"Weka {term}.", f"Weka {term} mara 2."]

    out = through("Add bleach 2 times.", Loses({"Add bleach 2 times.": "Weka dawa mara 2."}), BLEACH)
    assert (out.text, out.flags) == ("Weka klorini mara 2.", ())


def test_what_cannot_be_forced_is_marked_by_a_number_and_put_back():
    package = Package(
        {"Bleach water 7 times.": "Dawa maji mara 7.", "4 water 7 times.": "Maji 4 mara 7."}, forces=False
    )
    out = through("Bleach water 7 times.", package, BLEACH)
    assert (out.text, out.flags) == ("Maji Klorini mara 7.", ())


def test_the_last_rung_keeps_the_term_and_says_that_it_is_rough():
    package = Package(
        {"Add bleach now.": "Weka dawa.", "Add": "Weka", "now.": "sasa.", "Add 7 now.": "Weka."}, forces=False
    )
    out = through("Add bleach now.", package, BLEACH)
    assert (out.text, out.flags) == ("Weka klorini sasa.", ("pieced",))


def test_a_number_that_nothing_mends_is_flagged_and_never_pieced():
    package = Package({"Boil for 3 days.": "Chemsha."}, forces=False)
    package.sentence = lambda text: "Chemsha."
    out = through("Boil for 3 days.", package)
    assert "numbers-differ" in out.flags and "pieced" not in out.flags


def test_a_lost_quantity_is_forced_with_its_unit_as_the_language_writes_it():
    out = through("Give 20 milligrams.", Package({"Give 20 milligrams.": "Mpe."}))
    assert (out.text, out.flags) == ("Mpe. miligramu 20", ())


@pytest.mark.parametrize(
    ("text", "said", "flags"),
    [
        ("See https://example.org/a now.", "Ona https://example.org/a sasa.", ()),
        ("See https://example.org/a now.", "Ona example sasa.", ("terms-missing",)),
        ("Write to ops@example.org.", "Andika kwa ops example.org.", ("terms-missing",)),
        ("Give 20 mg.", "Mpe 20 ml.", ("units-differ",)),
        ("Give 20 mg.", "Mpe mg 2.", ("numbers-differ",)),
    ],
)
def test_harm_is_told_by_name(text, said, flags):
    assert harm(text, "en", said, "sw") == flags


def test_a_name_that_is_gone_is_told():
    kept = through("Ask Otieno in March.", Package({"Ask Otieno in March.": "Muulize Otieno mwezi Machi."}))
    assert kept.flags == ()
    lost = through("Ask Otieno in March.", Package({"Ask Otieno in March.": "Muulize mwezi Machi."}))
    assert lost.flags == ("names-differ",)
