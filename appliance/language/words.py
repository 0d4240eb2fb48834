"""Words of a text, and whether one is another in an inflected form: enough to know a glossary's term again. Pure.

No stemmer covers the languages that we meet, so this goes by what their words have in common: most inflect at the end,
Bantu words at the beginning too ("tone", "matone"), Semitic ones take on small words in front ("ال").
"""

import re
import unicodedata
from dataclasses import dataclass
from math import ceil

BANTU = frozenset({"bem", "kik", "lg", "ln", "lua", "mer", "nd", "nr", "nso", "ny", "rn", "rw", "sn", "ss", "st", "sw",
                   "tn", "ts", "ve", "xh", "zu"})  # fmt: skip
"""Languages whose words also change at their beginning."""
_SEMITIC = frozenset({"am", "ar", "he", "ti"})
TWO_ENDED = BANTU | _SEMITIC
"""Languages whose words are known again by what they have in common anywhere."""
UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "zh"})
"""Languages that write no spaces between words: there a term is looked for as it is."""

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_ENGLISH = ("", "s", "es", "'s", "’s")
_SHORTEST = 4
"""Letters that two words must have in common to be taken for one."""
_COMMON = {True: 0.6, False: 0.72}
"""The share of the longer word that both must have in common: with and without changes at the beginning."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text and where it stands, in characters."""

    text: str
    start: int
    end: int


def words(text: str) -> list[Word]:
    """The words of a text, marks with their letters."""
    # A combining mark is no letter for a regular expression; a letter in its place keeps the word together.
    even = "".join("x" if unicodedata.category(c) in ("Mn", "Mc", "Cf") else c for c in text)
    return [Word(text[m.start() : m.end()], m.start(), m.end()) for m in _WORD.finditer(even)]


def alike(word: str, base: str, lang: str) -> bool:
    """Whether ``word`` is ``base`` or, as far as one can tell by its letters, an inflected form of it."""
    if base.isupper() and len(base) > 1:
        return word.rstrip("s") == base if word[:-1].isupper() else word == base  # "WHO" is not "who", "ICUs" is "ICU"
    a, b = word.casefold(), base.casefold()
    if a == b:
        return True
    if lang == "en":
        return any(a == b + ending for ending in _ENGLISH) or (b.endswith("y") and a == b[:-1] + "ies")
    if b.isdecimal() or a.isdecimal():
        return False
    longer = max(len(a), len(b))
    front = _common(a, b)
    if lang in TWO_ENDED:
        least = 3 if lang in _SEMITIC else _SHORTEST
        return _share_a_run(a, b, max(least, _COMMON[True] * longer))
    return front >= max(_SHORTEST, _COMMON[False] * longer)


def resembles(word: str, name: str) -> bool:
    """Whether a name is still to be known in a word: most languages bend names a little."""
    return _share_a_run(name.casefold(), word.casefold(), 0.6 * len(name))


def _common(a: str, b: str) -> int:
    """Letters that both begin with."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _share_a_run(a: str, b: str, least: float) -> bool:
    """Whether a run of at least so many letters stands in both."""
    length = ceil(least)
    return length <= len(b) and any(a[at : at + length] in b for at in range(len(a) - length + 1))
