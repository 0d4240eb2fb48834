"""The page's words, one JSON file a language in ``locales/``, and what installed langpacks say in ``strings/``.

English is complete; another may lack some.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "locales"
FALLBACK = "en"
RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur"})
_PLACE = re.compile(r"\{\w*\}")
_MARKUP = re.compile(r"[<>&\"]")
_BRACE = re.compile("[{}]")
_learnt: dict[str, dict[str, str]] = {}
"""Of the langpacks of the release that this process serves, by language."""


def languages() -> tuple[str, ...]:
    """Languages that the page itself speaks."""
    return tuple(sorted({path.stem for path in _FOLDER.glob("*.json")} | _learnt.keys()))


def learn(paths: Iterable[Path]) -> None:
    """Take the words of installed langpacks, ``strings/so.json``, in place of those taken before.

    A word that the page does not have, that has other placeholders than the English one, a brace of its own or markup
    is left out: a page with an English word on it is better than none. English itself stays as it is.
    """
    english = words(FALLBACK)
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
            if isinstance(text, str) and key in english and not _MARKUP.search(text)
            if sorted(_PLACE.findall(text)) == sorted(_PLACE.findall(english[key]))
            if not _BRACE.search(_PLACE.sub("", text))
        }
        if taken:
            _learnt.setdefault(path.stem, {}).update(taken)
    words.cache_clear()


@cache
def words(lang: str) -> Mapping[str, str]:
    """All strings for one language, English where it has none."""
    english: dict[str, str] = json.loads((_FOLDER / f"{FALLBACK}.json").read_text(encoding="utf-8"))
    path = _FOLDER / f"{lang}.json"
    if lang == FALLBACK or lang not in languages():
        return english
    ours = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"name": lang}
    return {**english, **ours, **_learnt.get(lang, {})}


def own_name(lang: str) -> str:
    """What a language calls itself, or its tag where the page does not know it."""
    return words(lang)["name"] if lang in languages() else lang


def direction(lang: str) -> str:
    """``rtl`` or ``ltr``."""
    return "rtl" if lang in RIGHT_TO_LEFT else "ltr"


def attributes(lang: str) -> str:
    """``lang`` and ``dir`` for the markup around a text; escaped, because a document says its language itself."""
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
