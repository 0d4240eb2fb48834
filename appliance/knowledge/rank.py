"""How well a passage fits a question, by its words: the second, careful look at a few candidates. Pure.

A passage's score is a weighted sum of

- BM25 over terms and over pieces of words (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009),
- the best stretch of about a sentence: the share of the question that stands close together,
- terms that follow each other in the question and stand near each other here (after Metzler and Croft, "A Markov
  Random Field Model for Term Dependencies", 2005),
- the title or heading: the share of it that the question names, times the share of the question that it names,

each divided by what a perfect passage would get, so that scores of different questions and indexes can be compared.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bundles.format.index_file import grams, key

K1, B = 1.2, 0.75
WINDOW = 20
"""Terms in a stretch: about a sentence."""

WORDS, PIECES, STRETCH, NEAR, ABOUT = 1.0, 1.5, 0.6, 0.6, 0.6
"""Weights of the parts; chosen on half of the questions of ``tests/benchmarks/knowledge.py``, which shows the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A passage as terms."""

    terms: Sequence[str]
    """Of title, heading and text, in order."""
    title: Sequence[str]
    heading: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What is known of an index as a whole."""

    passages: int
    mean_terms: float
    """Terms in a passage, on average."""


class Asked:
    """A question against one index: its terms and their pieces, and how telling each is there."""

    def __init__(self, terms: Sequence[str], corpus: Corpus, frequency: Mapping[str, int]) -> None:
        """Weigh.

        Args:
            terms: in the question's order; the same one may stand twice.
            frequency: passages that have a term, or under its ``key`` a piece of one; those not named are in none.
        """
        self.terms = terms
        self.corpus = corpus
        self._frequency = frequency
        self.weight = {term: self.telling(term) for term in dict.fromkeys(terms)}
        self.pieces = {gram: self.telling(key(gram)) for term in self.weight for gram in grams(term)}

    def telling(self, term: str) -> float:
        """Inverse document frequency, never negative: in a small index every word may be common.

        A term that is nowhere counts as one that is once, or in a small index it would outweigh all that is there.
        """
        there = self._frequency.get(term, 1)
        return math.log(1 + (self.corpus.passages - there + 0.5) / (there + 0.5))


def score(asked: Asked, candidate: Candidate) -> float:
    """How well the candidate fits, from 0 to about 1."""
    total = sum(asked.weight.values())
    if not total:
        return 0.0
    places = [(place, term) for place, term in enumerate(candidate.terms) if term in asked.weight]
    damping = K1 * (1 - B + B * len(candidate.terms) / asked.corpus.mean_terms)
    counts = Counter(term for _, term in places)
    words = sum(asked.weight[term] * _often(count, damping) for term, count in counts.items()) / total
    text = f" {' '.join(candidate.terms)} "
    pieces = sum(
        telling * _often(count, damping) for gram, telling in asked.pieces.items() if (count := text.count(gram))
    ) / sum(asked.pieces.values())
    fit = (
        WORDS * words
        + PIECES * pieces
        + STRETCH * _stretch(asked.weight, places) / total
        + NEAR * _near(asked, places) / total
        + ABOUT * max(_about(asked, total, candidate.title), _about(asked, total, candidate.heading))
    )
    return fit / (WORDS + PIECES + STRETCH + NEAR + ABOUT)


def _often(count: int, damping: float) -> float:
    """BM25's part for how often a term is there, from 0 to 1: a second time tells less than the first."""
    return count / (count + damping)


def _stretch(weight: Mapping[str, float], places: Sequence[tuple[int, str]]) -> float:
    """The most weight of different terms within any ``WINDOW`` terms."""
    best = here = 0.0
    inside: Counter[str] = Counter()
    first = 0
    for place, term in places:
        inside[term] += 1
        if inside[term] == 1:
            here += weight[term]
        while place - places[first][0] >= WINDOW:
            gone = places[first][1]
            inside[gone] -= 1
            if not inside[gone]:
                here -= weight[gone]
            first += 1
        best = max(best, here)
    return best


def _near(asked: Asked, places: Sequence[tuple[int, str]]) -> float:
    """Weight of the question's neighbours that are neighbours here too, less the further apart they stand."""
    where: dict[str, list[int]] = {}
    for place, term in places:
        where.setdefault(term, []).append(place)
    near = 0.0
    for one, two in zip(asked.terms, asked.terms[1:], strict=False):
        if one != two and one in where and two in where:
            # the other way round counts as one further
            gap = min(b - a if b > a else a - b + 1 for a in where[one] for b in where[two])
            near += min(asked.weight[one], asked.weight[two]) / gap
    return near


def _about(asked: Asked, total: float, title: Sequence[str]) -> float:
    named = set(title)
    if not named:
        return 0.0
    shared = sum(asked.weight.get(term, 0.0) for term in named)
    whole = sum(asked.weight.get(term) or asked.telling(term) for term in named)
    return (shared / total) * (shared / whole) if whole else 0.0
