"""The passages of one index that a question's words find, and how well each fits.

A few dozen are gathered, by the rarest of the question's terms and pieces and by name, and only those are looked at
with care (``rank``). What vectors find, and the order of all indexes together, is left to ``retrieve``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.exchange import Passage
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.rank import Asked, score
from appliance.knowledge.words import asked, name, stemmed, terms
from bundles.format.index_file import grams, key

CANDIDATES = 48
"""Passages of an index that are ranked with care."""

READ = 60_000
"""Entries of FTS5's lists that one question may read in an index: bounds its time whatever the index's size. Rare terms
come first; in an index of a few thousand passages nothing is left out."""

LEAST, LEAST_UNSTEMMED = 0.12, 0.08
"""Where no passage fits so much, all were found by chance. The second is for languages whose endings are not known:
there a question shares fewer whole words with its passage. Of XQuAD's, AfriQA's and Amharic QA's questions whose
passage is there about 1 in 100 or fewer fall below it; of questions about other things half in an index of hundreds,
most in a small one."""

UNTRANSLATED_LEAST = 0.03
"""The same for a question in another language than the documents'."""

STORY = 8
"""Telling terms from which a question is a story: most of it is in no document, and less fit must do."""

NAMED, TITLED = 1.0, 2.0
"""Fit that is added where a section, or a whole document, of the question's name begins: more than words give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A passage, and how it fits."""

    number: int
    fit: float
    """From 0 to about 1; more where the question is its name."""
    enough: bool
    """Whether it fits better than by chance."""
    passage: Passage


def question_in(index: OpenIndex, text: str) -> tuple[Asked, list[int]]:
    """The question as it is weighed in this index, and the passages that share most with it, best first."""
    telling = asked(text, index.lang)
    pieces = [key(gram) for term in dict.fromkeys(telling) for gram in grams(term)]
    frequency = index.frequency([*dict.fromkeys([*telling, *pieces])])
    return Asked(telling, index.corpus, frequency), index.matching(_affordable(frequency), CANDIDATES)


def matches(index: OpenIndex, text: str, *, also: Sequence[int], translated: bool = True) -> list[Match]:
    """The passages that the words find, in no order.

    Args:
        also: numbers of passages to look at besides.
        translated: whether the question is in the documents' language; of another, only names and numbers are shared.
    """
    question, matching = question_in(index, text)
    named = index.named(name(text), [*dict.fromkeys(terms(text, index.lang))])
    found = index.stored([*dict.fromkeys([*named, *matching, *also])])
    least = UNTRANSLATED_LEAST
    if translated:
        least = LEAST if stemmed(index.lang) else LEAST_UNSTEMMED
    least *= min(1.0, STORY / max(1, len(question.weight)))
    fits = {number: score(question, stored.candidate) for number, stored in found.items()}
    for number in found.keys() & named.keys():
        fits[number] += TITLED if named[number] else NAMED
    return [
        Match(number=number, fit=fits[number], enough=fits[number] >= least, passage=stored.passage)
        for number, stored in found.items()
    ]


def _affordable(frequency: Mapping[str, int]) -> list[str]:
    """The rarest terms, as many as may be read."""
    chosen: list[str] = []
    left = READ
    for term, passages in sorted(frequency.items(), key=lambda item: (item[1], item[0])):
        left -= passages
        if left < 0 and chosen:
            break
        chosen.append(term)
    return chosen
