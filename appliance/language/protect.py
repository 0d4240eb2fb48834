"""What must come through a translation unharmed, and how it is brought through. Pure: the package is handed in.

No Argos package has a hook for a glossary, and decoding destroys placeholders: of 23 kinds tried on the demo's package
(42 sentences) letters never came back, a lone digit in 60 %, ``[1]`` in 57 %, two digits in 45 %. So a sentence goes up
a ladder, until nothing that matters is harmed:

    1 plain     the sentence as it is; a term may come back inflected
    2 forced    the decoder is made to write what is missing, where the model itself finds it likeliest
    3 marked    what was harmed is replaced by numbers that the sentence does not hold, and put back afterwards
    4 pieced    the sentence is cut around its terms, and only the pieces between are translated

The fourth keeps every term and reads roughly, so it is flagged; a number that is wrong after the third stays flagged
too, because pieces of a sentence are what small models invent most about.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.language import units
from appliance.language.glossary import Term, find, holds
from appliance.language.numbers import FLAG as NUMBERS_DIFFER
from appliance.language.numbers import numbers
from appliance.language.words import UNSPACED, resembles, words

UNITS_DIFFER = "units-differ"
UNITS_UNCHECKED = "units-unchecked"
TERMS_MISSING = "terms-missing"
NAMES_DIFFER = "names-differ"
PIECED = "pieced"

# Web and e-mail addresses mean nothing when one character changes.
_LITERAL = re.compile(r"(?:https?://|www\.)[^\s<>\"]*[^\s<>\".,;:!?)\]]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NUMBER = re.compile(r"\d+(?:[.,:/\-–٫٬]\d+)*")
_LATIN = re.compile("[A-Za-z]")
_BEGINS = frozenset('.!?:;"“«([-*|\n')
_CALENDAR = frozenset(
    """january february march april may june july august september october november december monday tuesday wednesday
    thursday friday saturday sunday""".split()  # noqa: SIM905  (read by people)
)
HARM = (NUMBERS_DIFFER, UNITS_DIFFER, UNITS_UNCHECKED)
"""What ``harm`` may tell."""
_MINOR = {NAMES_DIFFER, UNITS_UNCHECKED, PIECED}
"""What is told, and not worth another rung."""
_MOST_GROWTH = 1.6
"""How much longer a forced translation may be than the draft: a decoder that lost its way repeats itself."""
_WEIGHT = {NUMBERS_DIFFER: 8, UNITS_DIFFER: 8, TERMS_MISSING: 3, PIECED: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A translated sentence, and what is doubtful about it."""

    text: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """A part of the source that must come through."""

    start: int
    end: int
    forms: tuple[str, ...]
    """What it may be in the translation; the first is put in."""
    kind: str
    """``term``, ``literal`` or ``quantity``."""


class Package(Protocol):
    """One direction of a language package."""

    def sentence(self, text: str) -> str:
        """The translation of one sentence."""
        ...

    def forced(self, text: str, term: str, draft: str) -> list[str]:
        """Translations of the sentence that hold the term, the likeliest first."""
        ...


def translated(sentence: str, source: str, target: str, terms: Sequence[Term], package: Package) -> Sentence:
    """Translate one sentence so that terms, numbers, units and addresses come through, or say what did not."""
    spans = _spans(sentence, source, terms)

    def judged(candidate: str, *more: str) -> tuple[str, set[str]]:
        return candidate, _harm(sentence, candidate, source, target, spans) | set(more)

    best, harmed = judged(package.sentence(sentence))
    for rung in (_forced, _marked):
        if not harmed - _MINOR:
            break
        wrong_numbers = harmed & {NUMBERS_DIFFER, UNITS_DIFFER}
        needed = _with_quantities(sentence, source, target, spans) if wrong_numbers else spans
        mended = judged(rung(sentence, best, needed, target, package, lambda one: _weight(judged(one)[1])))
        if _weight(mended[1]) < _weight(harmed):
            best, harmed = mended
    if TERMS_MISSING in harmed:
        # A number that was harmed stays flagged: then the original is shown, and not what pieces make of it.
        needed = _with_quantities(sentence, source, target, spans)
        mended = judged(_pieced(sentence, needed, target, package), PIECED, *(harmed & {NUMBERS_DIFFER, UNITS_DIFFER}))
        if _weight(mended[1]) < _weight(harmed):
            best, harmed = mended
    return Sentence(text=best, flags=tuple(sorted(harmed)))


def harm(text: str, source: str, translation: str, target: str) -> tuple[str, ...]:
    """What a translation did to numbers, units and addresses, as flags; glossary and names aside."""
    return tuple(sorted(_harm(text, translation, source, target, _literals(text)) - {NAMES_DIFFER}))


def _weight(flags: set[str]) -> int:
    return sum(_WEIGHT.get(flag, 0) for flag in flags)


def _harm(text: str, translation: str, source: str, target: str, spans: Sequence[_Span]) -> set[str]:
    found = set()
    if numbers(text) != numbers(translation):
        found.add(NUMBERS_DIFFER)
    unit = units.survives(text, source, translation, target)
    if unit is not True:
        found.add(UNITS_DIFFER if unit is False else UNITS_UNCHECKED)
    if any(not _came_through(span, translation, target) for span in spans):
        found.add(TERMS_MISSING)
    if _LATIN.search(translation):
        said = [word.text for word in words(translation)]
        if not all(any(resembles(word, name) for word in said) for name in _names(text, spans, source)):
            found.add(NAMES_DIFFER)
    return found


def _came_through(span: _Span, translation: str, target: str) -> bool:
    if span.kind == "literal":
        return span.forms[0] in translation
    return holds(translation, span.forms, target)


def _spans(text: str, source: str, terms: Sequence[Term]) -> list[_Span]:
    found = [_Span(start=f.start, end=f.end, forms=f.term.target, kind="term") for f in find(text, terms, source)]
    return _merged(_literals(text), found)


def _literals(text: str) -> list[_Span]:
    return [_Span(start=m.start(), end=m.end(), forms=(m[0],), kind="literal") for m in _LITERAL.finditer(text)]


def _with_quantities(text: str, source: str, target: str, spans: Sequence[_Span]) -> list[_Span]:
    """The spans, and every number of the text: with its unit where the target's way of writing it is known."""
    measured = [
        _Span(start=start, end=end, forms=(written,), kind="quantity")
        for unit, number, start, end in units.places(text, source)
        if (written := units.written(number, unit, target)) is not None
    ]
    bare = [_Span(start=m.start(), end=m.end(), forms=(m[0],), kind="quantity") for m in _NUMBER.finditer(text)]
    return _merged(_merged(spans, measured), bare)


def _merged(first: Sequence[_Span], others: Sequence[_Span]) -> list[_Span]:
    """All of the first and those of the others that overlap none of them, in the text's order."""
    taken = {at for span in first for at in range(span.start, span.end)}
    fitting = [span for span in others if taken.isdisjoint(range(span.start, span.end))]
    return sorted([*first, *fitting], key=lambda span: span.start)


def _names(text: str, spans: Sequence[_Span], lang: str) -> list[str]:
    """Words within a sentence that begin with a capital: names of people and places, in most languages that have
    capitals. Those that the glossary knows, and months and days, are no concern here."""
    if lang == "de":
        return []
    taken = {at for span in spans for at in range(span.start, span.end)}
    taken |= {at for _, _, start, end in units.places(text, lang) for at in range(start, end)}  # "Celsius"
    return [
        word.text
        for word in words(text)
        if word.text[0].isupper()
        and not word.text.isupper()
        and word.text.isascii()
        and word.text.casefold() not in _CALENDAR
        and text[: word.start].rstrip()[-1:] not in _BEGINS | {""}
        and word.start not in taken
    ]


def _forced(
    text: str, draft: str, spans: Sequence[_Span], target: str, package: Package, weight: Callable[[str], int]
) -> str:
    """The draft with each missing span written into it by the decoder, as long as nothing else is harmed by it."""
    for span in spans:
        if weight(draft) == 0:
            break
        if _came_through(span, draft, target):
            continue
        kept = [other for other in spans if _came_through(other, draft, target)]
        for candidate in package.forced(text, _put(text, span), draft):
            whole = all(_came_through(other, candidate, target) for other in [*kept, span])
            if whole and weight(candidate) <= weight(draft) and len(candidate) <= _MOST_GROWTH * len(draft) + 40:
                draft = candidate
                break
    return draft


def _marked(
    text: str, draft: str, spans: Sequence[_Span], target: str, package: Package, weight: Callable[[str], int]
) -> str:
    """Each span as a number that the sentence does not hold; the draft if one of them does not come back once."""
    used = numbers(text)
    free = [str(n) for n in (7, 4, 6, 8, 9, 3, 5, 2, *range(11, 100)) if str(n) not in used]
    if not spans or len(spans) > len(free):
        return draft
    marks = dict(zip(free, spans, strict=False))
    out = package.sentence(_replaced(text, {span.start: (span.end, mark) for mark, span in marks.items()}))
    found = numbers(out)
    if any(found[mark] != 1 for mark in marks):
        return draft
    # All at once: what is put in may hold numbers itself.
    return re.sub(r"\d+", lambda match: _put(text, marks[match[0]]) if match[0] in marks else match[0], out)


def _pieced(text: str, spans: Sequence[_Span], target: str, package: Package) -> str:
    """The sentence cut around the spans; only what stands between is translated."""
    parts: list[str] = []
    at = 0
    for span in [*spans, None]:
        between = text[at : span.start if span else len(text)]
        parts.append(_piece(between.strip(), package))
        if span:
            parts.append(_put(text, span))
            at = span.end
    parts = [part for part in parts if part]
    joined = parts[0] if parts else ""
    for part in parts[1:]:
        joined += part if target in UNSPACED or not (part[0].isalnum() or part[0] in "([\"'“«") else f" {part}"
    return joined


def _piece(piece: str, package: Package) -> str:
    """A piece translated; as it is where it holds no words, or where the package invents a number."""
    said = package.sentence(piece) if any(c.isalpha() for c in piece) else piece
    return said if numbers(said) == numbers(piece) else piece


def _put(text: str, span: _Span) -> str:
    put = span.forms[0]
    begins = not any(c.isalnum() for c in text[: span.start])
    return put[0].upper() + put[1:] if begins and text[span.start].isupper() else put


def _replaced(text: str, changes: dict[int, tuple[int, str]]) -> str:
    out, at = "", 0
    for start in sorted(changes):
        end, new = changes[start]
        out += text[at:start] + new
        at = end
    return out + text[at:]
