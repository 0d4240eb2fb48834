"""Terms that a site wants translated its way, and whole sentences that people translated: the glossary of a langpack.

A CSV file: the first line names two languages (``en,sw``), each further one gives a term in both; more columns are
notes for people. A cell may hold several forms, ``tone|matone``: the first is the one that is put in, all are taken as
the term. A row that is a whole text is translation memory: that text is never left to the translator. Reading and
finding only; what is done about a term is ``protect``'s.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from appliance.errors import LanguageError
from appliance.language.words import UNSPACED, Word, alike, words

_TELLING = 3
"""Letters from which a word of a term says something; shorter ones agree with their neighbours in many languages."""
_BETWEEN = 2
"""Words that may stand between a term's words in a translation."""
_ENDS = " .!?。？！؟۔।።"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A term and how it is to be said."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    """The first is the one that is put in."""
    note: str = ""
    """What people should know about it; empty where the glossary says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A term where it stands in a text, in characters."""

    start: int
    end: int
    term: Term


class Glossary:
    """The terms of all installed langpacks, both ways."""

    def __init__(self, rows: Iterable[tuple[str, ...]] = ()) -> None:
        """From rows of (language, cell, other language, other cell, perhaps a note). Of two rows for one term the first
        counts."""
        self._terms: dict[tuple[str, str], list[Term]] = {}
        self._known: dict[tuple[str, str], dict[str, str]] = {}
        for lang, cell, other, other_cell, *notes in rows:
            here, there = _forms(cell), _forms(other_cell)
            note = "".join(notes).strip()
            if here and there:
                self._add((lang, other), Term(source=here, target=there, note=note))
                self._add((other, lang), Term(source=there, target=here, note=note))

    @classmethod
    def read(cls, paths: Iterable[Path]) -> "Glossary":
        """From files.

        Raises:
            LanguageError: a file is no glossary.
        """
        return cls(row for path in paths for row in _rows(path))

    def terms(self, source: str, target: str) -> Sequence[Term]:
        """The terms of one direction, those of most words first."""
        return self._terms.get((source, target), ())

    def noted(self, lang: str) -> Sequence[Term]:
        """The terms of one language about which the glossary says something, whatever they are translated to."""
        return [term for (source, _), terms in self._terms.items() if source == lang for term in terms if term.note]

    def whole(self, text: str, source: str, target: str) -> str | None:
        """The translation of the text as a whole, if somebody gave one."""
        found = self._known.get((source, target), {}).get(_folded(text))
        if found is None:
            return None
        end = text.rstrip()[-1:]
        return found + end if end in _ENDS and found[-1:] not in _ENDS and end.strip() else found

    def _add(self, pair: tuple[str, str], term: Term) -> None:
        known = self._known.setdefault(pair, {})
        fresh = [form for form in term.source if _folded(form) not in known]
        known.update({_folded(form): term.target[0] for form in fresh})
        if fresh:
            terms = self._terms.setdefault(pair, [])
            terms.append(replace(term, source=tuple(fresh)))
            terms.sort(key=lambda t: -max(len(words(form)) for form in t.source))


def find(text: str, terms: Sequence[Term], lang: str) -> list[Found]:
    """Where terms stand in a text, in its order; of two that overlap the one of more words."""
    found: list[Found] = []
    taken: set[int] = set()
    inside = words(text)
    for term in terms:
        for form in term.source:
            for start, end in _places(text, inside, form, lang):
                if taken.isdisjoint(range(start, end)):
                    taken.update(range(start, end))
                    found.append(Found(start=start, end=end, term=term))
    return sorted(found, key=lambda f: f.start)


def holds(text: str, forms: Sequence[str], lang: str) -> bool:
    """Whether one of the forms stands in the text, perhaps inflected, perhaps with a word or two between its words:
    "pakiti 4 za barafu" is "pakiti ya barafu"."""
    inside = words(text)
    return any(True for form in forms for _ in _places(text, inside, form, lang)) or (
        lang not in UNSPACED and any(_spread([word.text for word in inside], form, lang) for form in forms)
    )


def _spread(said: list[str], form: str, lang: str) -> bool:
    """Whether the form's words of three letters and more stand there in order, near each other."""
    wanted = [word.text for word in words(form) if len(word.text) >= _TELLING]
    if len(wanted) < 2:
        return False
    for first in range(len(said)):
        at = first
        for base in wanted:
            near = range(at, min(len(said), at + _BETWEEN + 1 if base is not wanted[0] else at + 1))
            at = next((n + 1 for n in near if alike(said[n], base, lang)), -1)
            if at < 0:
                break
        else:
            return True
    return False


def _places(text: str, inside: Sequence[Word], form: str, lang: str) -> Iterable[tuple[int, int]]:
    if lang in UNSPACED:
        at = text.casefold().find(form.casefold())
        while at >= 0:
            yield at, at + len(form)
            at = text.casefold().find(form.casefold(), at + len(form))
        return
    wanted = words(form)
    for first in range(len(inside) - len(wanted) + 1):
        run = inside[first : first + len(wanted)]
        if wanted and all(alike(word.text, base.text, lang) for word, base in zip(run, wanted, strict=True)):
            gaps = (text[a.end : b.start] for a, b in pairwise(run))
            if all(len(gap) <= 3 and not set(gap) & set(".!?;:\n") for gap in gaps):
                yield run[0].start, run[-1].end


def _rows(path: Path) -> Iterable[tuple[str, ...]]:
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
        one, other = (cell.strip() for cell in rows[0][:2])
    except (OSError, UnicodeDecodeError, csv.Error, IndexError, ValueError) as error:
        raise LanguageError(
            f"The glossary {path.name} cannot be read: {error}.",
            needed="A CSV file in UTF-8 whose first line names two languages, such as en,sw, is needed.",
            todo="Install the stick again.",
        ) from error
    for row in rows[1:]:
        if len(row) >= 2:
            yield one, row[0], other, row[1], *row[2:3]


def _forms(cell: str) -> tuple[str, ...]:
    return tuple(form.strip() for form in cell.split("|") if form.strip())


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).strip(_ENDS)
