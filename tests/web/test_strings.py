"""Tests of appliance.web.strings: the page's words."""

import json
from pathlib import Path

import pytest

from appliance.web import strings

FOLDER = Path(strings.__file__).parent / "locales"


def test_every_language_has_every_string_and_every_placeholder():
    english = json.loads((FOLDER / "en.json").read_text(encoding="utf-8"))
    for path in FOLDER.glob("*.json"):
        other = json.loads(path.read_text(encoding="utf-8"))
        assert other.keys() == english.keys(), path.name
        for key, text in english.items():
            assert text.count("{") == other[key].count("{"), f"{path.name} {key}"


def test_an_unknown_language_falls_back_to_english():
    assert strings.words("xx")["ask"] == "Ask"


@pytest.mark.parametrize(
    ("header", "lang"),
    [("sw-KE,sw;q=0.9,en;q=0.8", "sw"), ("fr,en;q=0.5", "en"), ("fr", "sw"), ("", "sw"), ("en;q=x,en;q=1", "en")],
)
def test_the_visitor_gets_the_first_language_that_the_site_has(header, lang):
    assert strings.preferred(header, ("sw", "en")) == lang


@pytest.fixture
def learnt(tmp_path):
    """Teaches the page words, and makes it forget them."""

    def teach(lang, said):
        path = tmp_path / f"{lang}.json"
        path.write_text(said if isinstance(said, str) else json.dumps(said))
        strings.learn([path])

    yield teach
    strings.learn([])


def test_a_langpack_teaches_the_page_a_language(learnt):
    learnt("so", {"name": "Soomaali", "ask": "Weydii", "original": "Asalka ({name})"})
    assert strings.own_name("so") == "Soomaali"
    assert strings.words("so")["ask"] == "Weydii"
    assert strings.words("so")["stop"] == "Stop"


def test_a_langpack_can_better_a_word_but_not_break_the_page(learnt):
    bad = {"stop": "<b>", "original": "({nam})", "nonsense": "x", "sources": 3, "failed": "a & b", "empty": "{"}
    bad |= {"flag_no-source": "{name.x}", "reload": "}{"}
    before = dict(strings.words("sw"))
    learnt("sw", {"ask": "Uliza sasa", **bad})
    assert strings.words("sw") == before | {"ask": "Uliza sasa"}
    for broken in ("{", "[]", '{"ask": 1}', "[" * 100_000):
        learnt("sw", broken)
        assert strings.words("sw") == before
    learnt("en", {"ask": "Demand"})
    assert strings.words("en")["ask"] == "Ask"
