"""The page's words, one JSON file a language in ``locales/``, and what installed langpacks say in ``strings/``.

English is complete; another may lack some, and then says them in English. ``FIELDPOST_MARK_MISSING=1``, which the tests
set, shows those in ⟦brackets⟧. A key that begins with ``_`` is for the catalogue's readers. A key that ends in a plural
category of CLDR (``wait_minutes.few``) is one form of a phrase that counts: see ``counted``.
"""

import html
import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from appliance.exchange import AUTO
from appliance.web.plurals import CATEGORIES, category

_FOLDER = Path(__file__).parent / "locales"
FALLBACK = "en"
RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur"})
_PLACE = re.compile(r"\{\w*\}")
_MARKUP = re.compile(r"[<>&\"]")
_BRACE = re.compile("[{}]")
_MARK_MISSING = os.environ.get("FIELDPOST_MARK_MISSING") == "1"
_learnt: dict[str, dict[str, str]] = {}
"""Of the langpacks of the release that this process serves, by language."""


def languages() -> tuple[str, ...]:
    """Languages that the page itself speaks."""
    return tuple(sorted(_shipped() | _learnt.keys()))


def learn(paths: Iterable[Path]) -> None:
    """Take the words of installed langpacks, ``strings/so.json``, in place of those taken before.

    A word that the page does not have, that has other placeholders than the English one, a brace of its own or markup
    is left out: a page with an English word on it is better than none. English itself stays as it is.
    """
    english = own(FALLBACK)
    _learnt.clear()
    for path in paths:
        if path.stem == FALLBACK:
            continue
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            continue
        taken = {
            key: text
            for key, text in (said.items() if isinstance(said, dict) else ())
            if isinstance(text, str) and _fits(key, text, english)
        }
        if taken:
            _learnt.setdefault(path.stem, {}).update(taken)
    words.cache_clear()


@cache
def words(lang: str) -> Mapping[str, str]:
    """All strings for one language, English where it has none."""
    said = own(lang)
    english = {k: f"⟦{v}⟧" if _MARK_MISSING and lang != FALLBACK else v for k, v in own(FALLBACK).items()}
    return {**english, "name": lang, **said}


def own(lang: str) -> dict[str, str]:
    """What a language says itself: its file here, bettered by the langpacks."""
    path = _FOLDER / f"{lang}.json"
    ours = json.loads(path.read_text(encoding="utf-8")) if lang in _shipped() else {}
    return {key: text for key, text in {**ours, **_learnt.get(lang, {})}.items() if not key.startswith("_")}


def missing(lang: str) -> tuple[str, ...]:
    """The keys that a language does not say itself."""
    return tuple(sorted(own(FALLBACK).keys() - own(lang).keys()))


def counted(lang: str, key: str, count: int) -> str:
    """The phrase ``key`` for a number of things, in the plural form that the language has for that number."""
    said = words(lang)
    return said.get(f"{key}.{category(lang, count)}", said[f"{key}.other"]).format(count=count)


def _fits(key: str, text: str, english: Mapping[str, str]) -> bool:
    if _MARKUP.search(text) or _BRACE.search(_PLACE.sub("", text)):
        return False
    places = sorted(_PLACE.findall(text))
    stem, dot, form = key.rpartition(".")
    if dot and form in CATEGORIES and f"{stem}.other" in english:  # "two minutes" may be a word of its own
        return set(places) <= set(_PLACE.findall(english[f"{stem}.other"]))
    return key in english and places == sorted(_PLACE.findall(english[key]))


@cache
def _shipped() -> frozenset[str]:
    return frozenset(path.stem for path in _FOLDER.glob("*.json"))


def own_name(lang: str) -> str:
    """What a language calls itself, or its tag where the page does not know it."""
    return words(lang)["name"]


def direction(lang: str) -> str:
    """``rtl`` or ``ltr``."""
    return "rtl" if lang in RIGHT_TO_LEFT else "ltr"


def attributes(lang: str) -> str:
    """``lang`` and ``dir`` for the markup around a text; escaped, because a document says its language itself."""
    if lang == AUTO:  # not told yet
        return 'dir="auto"'
    return f'lang="{html.escape(lang)}" dir="{direction(lang)}"'


def preferred(accept_language: str, offered: tuple[str, ...]) -> str:
    """The visitor's language among those offered: the first of the browser's list that the site has, else the site's
    first."""
    weighted = []
    for position, part in enumerate(accept_language.split(",")):
        tag, _, weight = part.strip().partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        weighted.append((-quality, position, tag.split("-")[0].lower()))
    for _, _, lang in sorted(weighted):
        if lang in offered:
            return lang
    return offered[0]
