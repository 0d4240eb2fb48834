"""A text as the terms that a search compares: words folded and cut to their stems, and pieces of words. Pure.

One way of cutting for documents and questions, chosen by the documents' language:

- languages with a Snowball stemmer: stems, so that *boils* finds *boiling*;
- all other alphabets: whole words; their endings and prefixes (Swahili *maji*, *majini*; Amharic *ውሃ*, *ውሃውን*) are met
  by pieces of words (character n-grams), which need no knowledge of a language: ``bundles.format.index_file.grams``;
- scripts without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese): overlapping pairs of characters.

Sources: Porter's Snowball stemmers; McNamee and Mayfield, "Character N-Gram Tokenization for European Language Text
Retrieval" (2004), for pieces of four letters; Nie et al. (2000) for pairs of characters in Chinese.
"""

import re
import threading
import unicodedata
from functools import lru_cache

import snowballstemmer

from bundles.format.index_file import NO_SPACES

MAX_WORDS = 32
"""Words of a question that are searched for; a longer one is mostly story."""

STOP_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset(
        """
        a about after all also am an and any are as at be because been before being both but by can could did do
        does doing done for from get give had has have having he her here hers him his how i if in into is it its
        just let long many may me might more most much must my need needs no not of on once one only or other our
        out over own same shall she should so some such tell than that the their them then there these they this
        those to too under until up us very was we were what when where which while who whom whose why will with
        would you your""".split()  # noqa: SIM905  (read by people)
    ),
}
"""By language: words that are in every text and tell nothing. Elsewhere being common makes them weigh little."""

_STEMMERS = {
    "ar": "Arabic", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "ga": "Irish",
    "hi": "Hindi", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "it": "Italian", "lt": "Lithuanian",
    "nb": "Norwegian", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sr": "Serbian", "st": "Sesotho", "sv": "Swedish", "ta": "Tamil",
    "tr": "Turkish", "yi": "Yiddish",
}  # fmt: skip

# Ethiopic letters that are said alike and written one for the other: ሐ ኀ as ሀ, ሠ as ሰ, ዐ as አ, ፀ as ጸ; ሃ as ሀ.
_ETHIOPIC = {
    ord(letter) + vowel: ord(usual) + (0 if (usual in "ሀአ" and vowel == 3) else vowel)
    for letter, usual in ("ሀሀ", "ሐሀ", "ኀሀ", "ሠሰ", "አአ", "ዐአ", "ፀጸ")
    for vowel in range(7)
} | {ord("ኻ"): ord("ሀ")}

_NAMING = re.compile(r"(?<=\w[ \u00a0-])([A-HJ-Z])(?![\w'’])")
"""A letter that names one of several: hepatitis A, vitamin K. Never the first word, and never an English I."""
_ACCENTED = re.compile("[\u00c0-\u052f\u1e00-\u1fff]")

_lock = threading.Lock()
_made: dict[str, "snowballstemmer.BaseStemmer"] = {}


def words(text: str) -> list[str]:
    """The words and numbers of a text, folded, in order. Signs and quotes separate them; marks belong to letters."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in folded).split()


def terms(text: str, lang: str) -> list[str]:
    """What a text is searched by, in order: stems, or pairs of characters where a script has no spaces.

    Args:
        lang: the language of the documents, as a BCP 47 tag; a question is cut as they are.
    """
    found: list[str] = []
    for word in words(text):
        for part in NO_SPACES.split(word) if NO_SPACES.search(word) else (word,):
            if not part:
                continue
            if NO_SPACES.match(part):
                found.extend([part[i : i + 2] for i in range(len(part) - 1)] or [part])
            else:
                found.append(_stem(part, lang))
    return found


def name(text: str) -> str:
    """A title or heading, or a question that may be one, so that the same words are the same name."""
    return " ".join(_fold(word) for word in words(text))


def stemmed(lang: str) -> bool:
    """Whether the endings of this language are known."""
    return lang.partition("-")[0] in _STEMMERS


def asked(text: str, lang: str) -> list[str]:
    """The telling terms of a question, in order, each as often as it is said; empty when it has none."""
    stop = STOP_WORDS.get(lang.partition("-")[0], frozenset())
    names = {letter.casefold() for letter in _NAMING.findall(text)}
    # Other single letters are what an apostrophe leaves over; single digits and ideographs tell something.
    telling = [
        w for w in words(text) if w in names or (w not in stop and not (len(w) == 1 and w.isascii() and w.isalpha()))
    ]
    return terms(" ".join(telling[: 2 * MAX_WORDS]), lang)


@lru_cache(maxsize=100_000)
def _stem(word: str, lang: str) -> str:
    name = _STEMMERS.get(lang.partition("-")[0])
    if name is None:
        return _fold(word)
    with _lock:  # a stemmer keeps the word it is at
        if name not in _made:
            _made[name] = getattr(snowballstemmer, f"{name}Stemmer")()
        return _fold(_made[name].stemWord(word))


def _fold(word: str) -> str:
    """Without accents, which people leave out when they type, and with one of each pair of Ethiopic homophones."""
    if _ACCENTED.search(word):
        word = "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
    return word.translate(_ETHIOPIC)
