"""How near one answer comes to another, in any language. Pure.

SQuAD's normalisation (Rajpurkar et al. 2016), as MLQA (Lewis et al. 2020) carried it to languages with other articles
and to scripts without spaces, and with numbers read in any script's digits.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from appliance.language.numbers import ascii_digits, numbers, plain_number

ALIKE = 0.7
"""The F1 from which an answer in other words counts as right, if it holds the expected numbers too."""

_ARTICLES = {
    "en": {"a", "an", "the"},
    "es": {"el", "la", "los", "las", "un", "una", "unos", "unas"},
    "fr": {"le", "la", "les", "l", "un", "une", "des"},
    "pt": {"o", "a", "os", "as", "um", "uma", "uns", "umas"},
    "de": {"der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "eines", "einer"},
}
# Han, kana, Thai, Lao, Tibetan, Burmese, Khmer: no spaces between words, so each sign counts as one.
_UNSPACED = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"\d+(?:[.,]\d+)*|[{_UNSPACED}]|[^\s\d.,{_UNSPACED}]+")


def tokens(text: str, lang: str) -> list[str]:
    """The words of a text as they are compared: folded, without signs and articles, numbers plain."""
    folded = unicodedata.normalize("NFKC", ascii_digits(text)).casefold()
    # Letters, their marks and numbers are compared; a mark is no letter for a regular expression, so signs go first.
    bare = "".join(c if c in ".," or unicodedata.category(c)[0] in "LMN" else " " for c in folded)
    found = (plain_number(word) if word[0].isdecimal() else word for word in _TOKEN.findall(bare))
    return [word for word in found if word not in _ARTICLES.get(lang, ())]


def f1(answer: str, expected: str, lang: str) -> float:
    """Harmonic mean of precision and recall of the words, each counted as often as it stands there; 0 to 1."""
    said, wanted = Counter(tokens(answer, lang)), Counter(tokens(expected, lang))
    shared = sum((said & wanted).values())
    if not said or not wanted:
        return float(said == wanted)
    return 2 * shared / (said.total() + wanted.total())


def exact(answer: str, expected: str, lang: str) -> bool:
    """Whether both are the same words in the same order."""
    return tokens(answer, lang) == tokens(expected, lang)


def holds(text: str, expected: str, lang: str) -> bool:
    """Whether the words of ``expected`` stand in ``text`` one after the other; without words, nothing does."""
    part = tokens(expected, lang)
    return bool(part) and _within(part, tokens(text, lang))


def right(answer: str, expected: Sequence[str], lang: str) -> bool:
    """Whether the answer says one of those expected: word for word, or in much the same words with all its numbers."""
    return any(
        holds(answer, one, lang) or (f1(answer, one, lang) >= ALIKE and numbers(one) <= numbers(answer))
        for one in expected
    )


def _within(part: Sequence[str], whole: Sequence[str]) -> bool:
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))
