"""How much better than its words an index's vectors find, measured when it is built and without anybody's questions.

A sentence is taken out of a passage and asked; how early do words, and vectors, find what is left of the passage among
all others? So an English model beside French documents is heard little, and a good one more than words, whatever the
scale of its similarities. Source: the inverse cloze task (Lee, Chang and Toutanova, "Latent Retrieval for Weakly
Supervised Open Domain Question Answering", 2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from appliance.exchange import Passage
from appliance.knowledge.chunk import BETWEEN_SENTENCES
from appliance.knowledge.match import question_in
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.rank import Candidate, score
from appliance.knowledge.vectors import Embedder, Vector, embedded
from appliance.knowledge.words import terms

SAMPLE = 100
"""Passages that are tried, evenly spread over the index."""

SENTENCE = 30
"""Characters from which a sentence is worth asking; half as many in scripts without spaces."""

EXPECTED_WORDS, EXPECTED_VECTORS, CASES = 0.62, 0.74, 10
"""Mean reciprocal ranks of English documents with an English model, counted as so many cases: a small index has few of
its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    at: int
    """The passage's place, from 0."""
    sentence: str
    rest: Passage


def measured(index: OpenIndex, passages: Sequence[Passage], vectors: Vector, embedder: Embedder) -> float:
    """Mean reciprocal rank by vectors through that by words; 1 means that both find as well.

    Args:
        index: of these passages, in this order.
        vectors: theirs, shape (passages, dimension).
    """
    cases = _cases(passages)
    words, near = EXPECTED_WORDS * CASES, EXPECTED_VECTORS * CASES
    if cases:
        rests = embedder.passages([embedded(case.rest) for case in cases])
        for case, rest in zip(cases, rests, strict=True):
            words += 1 / _rank_by_words(index, case)
            asked = embedder.question(case.sentence)
            similar = vectors @ asked
            similar[case.at] = -np.inf
            near += 1 / (1 + int((similar > rest @ asked).sum()))
    return round(near / words, 4)


def _cases(passages: Sequence[Passage]) -> list[_Case]:
    found = []
    for at, passage in enumerate(passages):
        parts = [part for part in BETWEEN_SENTENCES.split(passage.text) if part.strip()]
        worth = [n for n, part in enumerate(parts) if len(part.encode()) >= SENTENCE]
        if len(parts) > 1 and worth:
            taken = worth[len(worth) // 2]
            rest = replace(passage, text=" ".join(parts[:taken] + parts[taken + 1 :]))
            found.append(_Case(at=at, sentence=parts[taken], rest=rest))
    return found[:: max(1, len(found) // SAMPLE)][:SAMPLE]


def _rank_by_words(index: OpenIndex, case: _Case) -> int:
    question, matching = question_in(index, case.sentence)
    title, heading, text = (terms(part, index.lang) for part in (case.rest.title, case.rest.heading, case.rest.text))
    own = score(question, Candidate(terms=[*title, *heading, *text], title=title, heading=heading))
    others = index.stored([number for number in matching if number != case.at + 1])
    return 1 + sum(score(question, other.candidate) > own for other in others.values())
