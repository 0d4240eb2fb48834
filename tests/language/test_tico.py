"""TICO-19's terms, numbers and units through the demo's pack; nothing is lost unseen."""

import pytest

from appliance.language.translate import Translator
from tests.benchmarks import language


@pytest.mark.needs_shared
def test_every_term_survives_and_no_number_or_unit_changes_unflagged(tmp_path):
    glossary = language.tico_glossary()
    with Translator(language.demo_packs(tmp_path), glossary=glossary) as translator:
        cases = language.through(translator, glossary, language.tico_sentences(40))
    assert len(cases["terms"]) > 20 and all(cases["terms"])
    assert len(cases["told"]) == 20 and all(cases["told"])
