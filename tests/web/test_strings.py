"""Tests of appliance.web.strings: the page's words."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.web import strings
from appliance.web.plurals import CATEGORIES, category

FOLDER = Path(strings.__file__).parent / "locales"


LANGUAGES = ("am", "ar", "en", "es", "fr", "ha", "hi", "pt", "sw", "ur")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_says_every_string_itself_with_every_placeholder(lang):
    assert strings.missing(lang) == ()
    english, ours = strings.own("en"), strings.own(lang)
    for key, text in ours.items():
        stem, dot, form = key.rpartition(".")
        like = english[f"{stem}.other" if dot and form in CATEGORIES else key]
        assert sorted(re.findall(r"{\w*}", text)) == sorted(re.findall(r"{\w*}", like)), f"{lang} {key}"


def test_no_other_language_is_there_and_each_says_who_has_read_it():
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == list(LANGUAGES)
    for lang in set(LANGUAGES) - {"en"}:
        catalogue = json.loads((FOLDER / f"{lang}.json").read_text(encoding="utf-8"))
        assert catalogue["_review"].startswith(("not yet reviewed by a speaker", "reviewed by "))
        assert "_review" not in strings.words(lang)


def test_a_language_has_every_plural_form_that_its_grammar_asks_for():
    for lang in LANGUAGES:
        phrases = {key.rpartition(".")[0] for key in strings.own(lang) if key.endswith(".other")}
        forms = {category(lang, count) for count in range(201)} - {"zero", "many"}  # nobody waits for 11 hours
        for phrase in phrases:
            assert {f"{phrase}.{form}" for form in forms} <= strings.own(lang).keys(), (lang, phrase)


@pytest.mark.parametrize(
    ("lang", "count", "said"),
    [
        ("en", 1, "About 1 minute to wait."),
        ("en", 2, "About 2 minutes to wait."),
        ("fr", 1, "Environ 1 minute d’attente."),
        ("ar", 2, "الانتظار نحو دقيقتين (2)."),
        ("ar", 3, "الانتظار نحو 3 دقائق."),
        ("ar", 30, "الانتظار نحو 30 دقيقة."),
    ],
)
def test_a_phrase_that_counts_follows_the_languages_grammar(lang, count, said):
    assert strings.counted(lang, "wait_minutes", count) == said


def test_an_unknown_language_falls_back_to_english_and_a_test_sees_it():
    assert strings.words("xx")["ask"] == "⟦Ask⟧"
    assert strings.own_name("xx") == "xx"


def test_users_never_see_the_brackets():
    code = "from appliance.web.strings import words; print(words('xx')['ask'])"
    env = {key: value for key, value in os.environ.items() if key != "FIELDPOST_MARK_MISSING"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "Ask\n"


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
    assert strings.words("so")["stop"] == "⟦Stop⟧"


def test_a_langpack_may_bring_plural_forms_that_english_lacks(learnt):
    learnt("so", {"wait_minutes.one": "hal daqiiqo", "wait_minutes.few": "{sum}", "ask.few": "x"})
    assert strings.counted("so", "wait_minutes", 1) == "hal daqiiqo"
    assert "wait_minutes.few" not in strings.own("so")
    assert "ask.few" not in strings.own("so")


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
