"""Whether an answer's sentences stand in its passages, and exactly where. Pure; in the documents' language.

A sentence is held against each sentence of a passage, and each two that follow each other. What counts is how many of
its content words stand there, and that its numbers and its negation do: a dose that changed, or a "not" that came or
went, is no support however alike the rest. No model judges this: the same answer is marked the same way on every box.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from appliance.exchange import Passage
from appliance.language.numbers import numbers
from appliance.language.sentences import split
from appliance.language.words import TWO_ENDED, UNSPACED, alike, words

ENOUGH = 0.6
"""Share of content words from which a sentence counts as supported. ``scripts/bench claims`` says what passes there."""
_CONTENT = 4
"""Letters from which a word counts as content; where a sentence has none so long, all its words do."""
_NEGATIONS = {
    "en": {"not", "no", "never", "without", "nor", "neither", "none", "nothing", "cannot", "avoid"},
    "fr": {"ne", "n", "pas", "jamais", "sans", "aucun", "aucune", "ni"},
    "es": {"no", "nunca", "jamás", "sin", "ni", "ningún", "ninguna"},
    "pt": {"não", "nunca", "jamais", "sem", "nem", "nenhum", "nenhuma"},
    "sw": {"si", "bila", "kamwe", "hapana", "sio", "siyo"},
    "ar": {"لا", "لم", "لن", "ليس", "بدون", "غير", "دون"},
    "ru": {"не", "нет", "без", "никогда", "ни"},
    "hi": {"नहीं", "मत", "न", "बिना"},
    "ha": {"ba", "kada", "babu", "bai"},
    "so": {"maya", "aan", "la'aan"},
}
# Swahili says "do not" at the beginning of the verb.
_NEGATIVE_BEGINNINGS = {"sw": ("usi", "msi", "hau", "hai", "hawa", "hatu", "haku")}
_NEGATIVE_SIGNS = {"zh": "不没無无勿别未", "ja": "ないぬ", "th": "ไม่", "my": "မ"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The place that supports a sentence best."""

    number: int
    """Of the passage, from 1."""
    start: int
    end: int
    """In the passage's document, in characters."""
    share: float
    """Of the sentence's content words that stand there; 0 where a number or the negation does not."""

    @property
    def enough(self) -> bool:
        return self.share >= ENOUGH


def support(sentence: str, passages: Sequence[Passage], lang: str, cited: Sequence[int] = ()) -> Support | None:
    """The best place for a sentence without marks; None where there is no passage or the sentence has no words.

    Args:
        cited: numbers (from 1) of the passages that the sentence cites; none of them means all may support it.
    """
    claim = _Claim(sentence, lang)
    if not claim.content:
        return None
    best: Support | None = None
    for number in cited or range(1, len(passages) + 1):
        passage = passages[number - 1]
        for window in _windows(passage.text, lang):
            share = claim.share_in(window)
            if best is None or share > best.share:
                start, end = passage.start + window.start, passage.start + window.end
                best = Support(number=number, start=start, end=end, share=share)
    return best


def quotes(question: str, passages: Sequence[Passage], lang: str, most: int) -> list[tuple[str, int]]:
    """The sentences that come nearest to a question, best first, each with its passage's number: an answer without a
    model. At most one a passage, and none that shares no content word with the question."""
    asked = _Claim(question, lang)
    found = []
    for number, passage in enumerate(passages, start=1):
        ranked = [
            (asked.words_in(frozenset(_all_words(passage.text[a:b], lang))), -a, passage.text[a:b])
            for a, b in _sentences(passage.text)
        ]
        shared, _, text = max(ranked, default=(0, 0, ""))
        if shared:
            found.append((-shared, number, " ".join(text.split())))
    return [(text, number) for _, number, text in sorted(found)[:most]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A sentence of a passage, or two neighbours: where in the passage, and what is in it."""

    start: int
    end: int
    words: frozenset[str]
    numbers: frozenset[str]
    negations: int


class _Claim:
    """A sentence taken apart once, and then held against many."""

    def __init__(self, sentence: str, lang: str) -> None:
        self.lang = lang
        self.numbers = set(numbers(sentence))
        self.negations = _negations(sentence, lang)
        self.content = _content(sentence, lang)

    def share_in(self, window: "_Window") -> float:
        if not self.numbers <= window.numbers or self.negations != window.negations:
            return 0.0
        return self.words_in(window.words) / len(self.content)

    def words_in(self, said: frozenset[str]) -> int:
        return sum(word in said or any(_same(word, other, self.lang) for other in said) for word in self.content)


def _content(text: str, lang: str) -> list[str]:
    found = list(dict.fromkeys(_all_words(text, lang)))
    telling = [word for word in found if len(word) >= _CONTENT and not word.isdecimal()]
    return found if lang in UNSPACED or not telling else telling


def _all_words(text: str, lang: str) -> list[str]:
    if lang in UNSPACED:  # pairs of signs say more than single ones
        signs = [c for c in text if c.isalnum()]
        return [a + b for a, b in pairwise(signs)] or signs
    return [word.text.casefold() for word in words(text)]


def _apart(text: str, lang: str) -> list[str]:
    """Pairs of signs with one between them: they stand together in a sentence that leaves that one out."""
    if lang not in UNSPACED:
        return []
    signs = [c for c in text if c.isalnum()]
    return [a + b for a, b in zip(signs, signs[2:], strict=False)]


def _same(word: str, other: str, lang: str) -> bool:
    """The same word, perhaps bent; looser than for a glossary, because nothing is put in its place."""
    if lang in UNSPACED or word == other:
        return word == other
    if lang not in TWO_ENDED and word[:3] != other[:3]:  # most pairs end here
        return False
    shared = next((n for n, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    return shared >= max(_CONTENT, 0.6 * max(len(word), len(other))) or alike(word, other, lang)


def _negations(text: str, lang: str) -> int:
    """How often a text says no. A sentence with a "not" more than its source is no quotation of it."""
    if lang in _NEGATIVE_SIGNS:
        return sum(text.count(sign) for sign in _NEGATIVE_SIGNS[lang])
    beginnings = _NEGATIVE_BEGINNINGS.get(lang, ())
    known = _NEGATIONS.get(lang, set())
    return sum(
        word in known or word.endswith("n't") or (bool(beginnings) and word.startswith(beginnings) and len(word) > 5)
        for word in _all_words(text.replace("’", "'"), lang)
    )


@lru_cache(maxsize=64)  # every sentence of an answer is held against the same passages
def _windows(text: str, lang: str) -> tuple[_Window, ...]:
    """Each statement of a text, and each two neighbours that agree in negation. A question states nothing, so it
    supports nothing."""
    single = [(a, b) for a, b in _sentences(text) if text[a:b].rstrip("\"'”’) ")[-1:] not in ("?", "？", "؟")]
    double = [
        (a, d)
        for (a, b), (c, d) in pairwise(single)
        if not text[b:c].strip() and bool(_negations(text[a:b], lang)) == bool(_negations(text[c:d], lang))
    ]
    return tuple(
        _Window(
            start=start,
            end=end,
            words=frozenset([*_all_words(text[start:end], lang), *_apart(text[start:end], lang)]),
            numbers=frozenset(numbers(text[start:end])),
            negations=_negations(text[start:end], lang),
        )
        for start, end in (*single, *double)
    )


def _sentences(text: str) -> list[tuple[int, int]]:
    places, at = [], 0
    for piece in split(text):
        body = piece.strip()
        if any(c.isalnum() for c in body):
            start = at + piece.index(body)
            places.append((start, start + len(body)))
        at += len(piece)
    return places
