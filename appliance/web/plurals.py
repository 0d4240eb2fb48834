"""Which plural form a language has for a number: the rules of Unicode's CLDR, by babel."""

from functools import cache

from babel import Locale, UnknownLocaleError

CATEGORIES = frozenset({"zero", "one", "two", "few", "many", "other"})


def category(lang: str, count: int) -> str:
    """One of ``CATEGORIES``; ``other`` in a language that CLDR does not describe."""
    locale = _locale(lang)
    return "other" if locale is None else str(locale.plural_form(count))


@cache
def _locale(lang: str) -> Locale | None:
    try:
        return Locale.parse(lang, sep="-")
    except (UnknownLocaleError, ValueError):
        return None
