"""Words for made-up text: a closed list of everyday English, and invented words that no model can learn by heart.

Every content word is invented. The two splits share none: which one a word belongs to is decided by its spelling and a
seed, before anything is made from it. So no content word of a real document was ever trained on, but by chance.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

SPLIT_SEED = 20261124
TRAIN, HELD_OUT = "train", "held-out"
HELD_SHARE = 5
"""One invented word in so many is held out of training."""

TIMES = "second minute hour day week month year".split()  # noqa: SIM905
LENGTHS = "metre centimetre kilometre millimetre step".split()  # noqa: SIM905
UNITS = "litre gram kilogram millilitre milligram drop spoon cup bag box packet tablet piece bucket dose".split()  # noqa: SIM905
PLAIN_VERBS = "use give keep put take add make wait call check get store let leave hold start stop bring".split()  # noqa: SIM905
FILLER_WORDS = [
    "really",
    "usually",
    "here",
    "today",
    "now",
    "again",
    "please",
    "exactly",
    "right",
    "best",
    "safe",
    "safely",
    "need",
    "have",
    "done",
    "going",
    "people",
    "one",
    "somebody",
    "anyone",
    "always",
    "good",
    "correct",
    "first",
    "then",
    "also",
    "people",
    "thing",
    "way",
]

_ONSETS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "y",
    "z",
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "bl",
    "br",
    "ch",
    "cl",
    "cr",
    "dr",
    "fl",
    "fr",
    "gl",
    "gr",
    "pl",
    "pr",
    "qu",
    "sc",
    "sh",
    "sk",
    "sl",
    "sm",
    "sn",
    "sp",
    "st",
    "str",
    "sw",
    "th",
    "tr",
    "tw",
    "wh",
    *[""] * 9,  # many words begin with a vowel
]
_NUCLEI = "a e i o u a e i o u ai ea ee ie oa oi oo ou ow y".split()  # noqa: SIM905
_CODAS = [
    "b",
    "ck",
    "d",
    "ft",
    "g",
    "k",
    "l",
    "ll",
    "lt",
    "m",
    "mp",
    "n",
    "nd",
    "ng",
    "nk",
    "nt",
    "p",
    "r",
    "rd",
    "rk",
    "rm",
    "rn",
    "rt",
    "s",
    "sh",
    "sk",
    "ss",
    "st",
    "t",
    "tch",
    "th",
    "x",
    "ct",
    "n",
    "r",
    "l",
    "t",
    "s",
    "m",
    "d",
]
_ENDINGS = "e er le y et on in al ic or age ant ent ine ure ite ate ium ix um a o".split()  # noqa: SIM905


def held_out(word: str, seed: int = SPLIT_SEED) -> bool:
    """Whether an invented word belongs to the measured split."""
    return zlib.crc32(f"{seed} {word}".encode()) % HELD_SHARE == 0


def invented(rng: random.Random) -> str:
    """A word that looks like English and means nothing."""
    choice: Callable[[list[str]], str] = rng.choice
    pick = rng.random()
    if pick < 0.04:  # whatever letters: names and foreign words
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 7)))
    syllable = choice(_ONSETS) + choice(_NUCLEI)
    if pick < 0.5:
        return syllable + choice(_CODAS) + ("e" if rng.random() < 0.1 else "")
    middle = choice(_CODAS) if rng.random() < 0.45 else ""
    if pick < 0.82:
        return syllable + (middle or choice(_CODAS)) + choice(_ENDINGS)
    second = choice(_ONSETS) + choice(_NUCLEI) + (choice(_CODAS) if rng.random() < 0.6 else "")
    word = syllable + middle + second
    if pick > 0.93:  # a long one
        word += choice(_ONSETS) + choice(_NUCLEI) + choice(_CODAS)
    return word + choice(_ENDINGS) if pick > 0.9 and word[-1] not in "aeiouy" else word


class Lexicon:
    """Invented words of one split, each given out once in a while and never in the other split."""

    def __init__(self, rng: random.Random, split: str = TRAIN) -> None:
        self.rng, self.split = rng, split

    def word(self) -> str:
        """A word of three letters or more that is no everyday one."""
        while True:
            word = invented(self.rng)
            if len(word) > 2 and word not in CLOSED and held_out(word) == (self.split == HELD_OUT):
                return word


def plural(word: str) -> str:
    return word + ("es" if word[-1] in "sxz" or word[-2:] in ("sh", "ch") else "s")


def whole(rng: random.Random) -> int:
    """Mostly small numbers, as in instructions, and some larger ones."""
    pick = rng.random()
    if pick < 0.45:
        return rng.randint(2, 19)
    if pick < 0.8:
        return rng.randint(20, 99)
    return rng.choice((rng.randint(100, 999), rng.randint(10, 99) * 10, rng.randint(1000, 5000)))


def number(rng: random.Random) -> str:
    """A whole number, or now and then one with a decimal."""
    return str(whole(rng)) if rng.random() < 0.93 else f"{rng.randint(0, 20)}.{rng.randint(1, 9)}"


_SMALL_WORDS = """
    the and for are not with you your from each every into over under before after until when while about that this
    what where who why how long much many often far must should can may will does did has have one two all any some
    other than more most least once twice times passages question documents tell never always only
"""
CLOSED = frozenset([*_SMALL_WORDS.split(), *TIMES, *LENGTHS, *UNITS, *PLAIN_VERBS, *FILLER_WORDS])
"""Everyday words, which no invented word may be."""
