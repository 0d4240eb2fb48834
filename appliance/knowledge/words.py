"""Words of a question as a search takes them. Pure: the one place that knows stop words and FTS5's syntax."""

import unicodedata

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
"""By language: words that are in every text and tell nothing. A language without a list searches for all words."""

STEMMED = frozenset({"en"})
"""Languages whose word ends are cut by SQLite's porter stemmer, which knows English only."""


def words(text: str) -> list[str]:
    """The words and numbers of a text, folded, in order. Signs and quotes separate them; marks belong to letters."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in folded).split()


def tokenizer(lang: str) -> str:
    """FTS5's ``tokenize`` option for documents in a language."""
    plain = "unicode61 remove_diacritics 2"
    return f"porter {plain}" if lang in STEMMED else plain


def match_query(text: str, lang: str) -> str:
    """An FTS5 query that finds any of the question's telling words; empty when it has none.

    Each word is quoted, so that nothing a person types is read as FTS5's syntax.
    """
    stop = STOP_WORDS.get(lang, frozenset())
    # A single letter is what an apostrophe leaves over; single digits and ideographs tell something.
    telling = [w for w in words(text) if w not in stop and not (len(w) == 1 and w.isascii() and w.isalpha())]
    return " OR ".join(f'"{word}"' for word in list(dict.fromkeys(telling))[:MAX_WORDS])
