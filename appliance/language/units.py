"""Units of measure beside numbers, in any language that CLDR describes: milligrams must stay milligrams. Pure.

The sole importer of babel, which carries the Unicode CLDR's names of units. Where CLDR has no names for a language,
only the international signs are known there.
"""

import re
from collections import Counter
from decimal import Decimal, InvalidOperation
from functools import cache

from babel import Locale, UnknownLocaleError
from babel.units import format_unit

from appliance.language.words import BANTU, UNSPACED, alike, words

UNITS = (
    "mass-microgram", "mass-milligram", "mass-gram", "mass-kilogram", "mass-tonne",
    "volume-milliliter", "volume-liter", "volume-cubic-meter", "volume-teaspoon", "volume-tablespoon", "volume-drop",
    "volume-cup", "length-millimeter", "length-centimeter", "length-meter", "length-kilometer",
    "duration-second", "duration-minute", "duration-hour", "duration-day", "duration-week", "duration-month",
    "duration-year", "temperature-celsius", "temperature-fahrenheit", "concentr-percent", "area-hectare",
)  # fmt: skip
"""Those that a guide gives doses, distances and times in; CLDR's identifiers."""
_SIGNS = {
    "mass-microgram": ("µg", "μg", "mcg"), "mass-milligram": ("mg",), "mass-gram": ("g",), "mass-kilogram": ("kg",),
    "volume-milliliter": ("ml", "mL", "cc"), "volume-liter": ("l", "L"), "volume-cubic-meter": ("m³", "m3"),
    "length-millimeter": ("mm",), "length-centimeter": ("cm",), "length-meter": ("m",), "length-kilometer": ("km",),
    "duration-hour": ("h",), "temperature-celsius": ("°C", "℃"), "temperature-fahrenheit": ("°F",),
    "concentr-percent": ("%", "٪", "％"), "area-hectare": ("ha",),
}  # fmt: skip
_AMOUNTS = (0, 1, 2, 3, 11, 100, Decimal("1.5"))  # reach every plural form of every language
_DIGITS = r"\d+(?:[.,٫٬]\d+)*"


def found(text: str, lang: str) -> Counter[str]:
    """The units that stand beside a number, and how often."""
    return Counter(unit for unit, _, _, _ in places(text, lang))


def places(text: str, lang: str) -> list[tuple[str, str, int, int]]:
    """Numbers with their units: (unit, the number as it is written, start, end), in the text's order."""
    pattern, units = _pattern(lang)
    places = []
    for match in pattern.finditer(text):
        unit = units[_folded(match["after"] or match["before"])]
        places.append((unit, match["n"] or match["m"], match.start(), match.end()))
    return places


def survives(text: str, lang: str, translation: str, target: str) -> bool | None:
    """Whether every unit of the text is in its translation and none took its place; None where CLDR cannot tell."""
    wanted = found(text, lang)
    said = found(translation, target)
    missing = [unit for unit in wanted if not said[unit] and not _mentioned(translation, unit, target)]
    if any(_named(unit, target) for unit in missing):
        return False
    stranger = {unit for unit in said if not wanted[unit] and not _mentioned(text, unit, lang)}
    if any(unit.partition("-")[0] in {w.partition("-")[0] for w in wanted} for unit in stranger):
        return False
    return None if missing else True


def written(number: str, unit: str, lang: str) -> str | None:
    """A number with its unit as the language writes it, the number's own spelling kept; None where CLDR cannot."""
    if not _named(unit, lang):
        return f"{number} {_SIGNS[unit][0]}" if unit in _SIGNS else None
    try:
        amount = Decimal(number.replace(",", "."))
    except InvalidOperation:
        amount = Decimal(2)
    # Babel does not follow CLDR's aliases, so that some languages lack a length or a plural of some units.
    for length in ("long", "short"):
        for plural in (amount, Decimal(1), Decimal(2)):
            text = format_unit(plural, unit, length, locale=_locale(lang))
            out, count = re.subn(_DIGITS, number, text)
            if count == 1 and unit not in out:
                return out
    return None


def _mentioned(text: str, unit: str, lang: str) -> bool:
    names = _names(lang).get(unit, frozenset()) | set(_SIGNS.get(unit, ()))
    if lang in UNSPACED:
        return any(name in text for name in names)
    inside = {word.text for word in words(text)}
    # A unit's first word tells it from the others of its kind, but for "tea spoon" in languages that put "spoon" first.
    return any(
        all(any(alike(word, part.text, lang) for word in inside) for part in words(name))
        if words(name)
        else name in text
        for name in names
    )


def _named(unit: str, lang: str) -> bool:
    """Whether CLDR has a name of the language's own for the unit, and not only the signs that all share."""
    return any(len(name) > 3 or not name.isascii() for name in _names(lang).get(unit, frozenset()))


@cache
def _pattern(lang: str) -> tuple[re.Pattern[str], dict[str, str]]:
    units = {_folded(sign): unit for unit, signs in _SIGNS.items() for sign in signs}
    units |= {_folded(name): unit for unit, names in _names(lang).items() for name in names}
    names = "|".join(re.escape(name) for name in sorted(units, key=len, reverse=True))
    end = "" if lang in UNSPACED else r"(?![^\W\d_])"
    pattern = rf"(?<![\d.,])(?P<n>{_DIGITS})[\s\-\u00a0]?(?P<after>{names}){end}"
    if lang in BANTU:  # "dakika 1"
        long = "|".join(re.escape(n) for n in sorted(units, key=len, reverse=True) if len(n) > 3 or n == "siku")
        pattern = rf"(?<![^\W\d_])(?P<before>{long})\s(?P<m>{_DIGITS})|{pattern}"
    else:
        pattern += "|(?P<before>(?!))(?P<m>)"
    return re.compile(pattern, re.IGNORECASE), units


@cache
def _names(lang: str) -> dict[str, frozenset[str]]:
    """What the language calls each unit; nothing for a unit that CLDR has no name for in it."""
    locale = _locale(lang)
    if locale is None:
        return {}
    locales = [locale, Locale("en", "GB")] if lang == "en" else [locale]
    names: dict[str, frozenset[str]] = {}
    for unit in UNITS:
        forms = set()
        for place in locales:
            for amount in _AMOUNTS:
                for length in ("long", "short"):
                    text = format_unit(amount, unit, length, locale=place)
                    name = re.sub(r"[\d.,٫٬\u200e\u200f]+", " ", text)
                    forms.add(" ".join(name.split()))
        names[unit] = frozenset(f for f in forms if f and f != unit and (len(f) > 1 or not f.isalpha()))
    return names


@cache
def _locale(lang: str) -> Locale | None:
    try:
        return Locale.parse(lang, sep="-")
    except (UnknownLocaleError, ValueError):
        return None


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
