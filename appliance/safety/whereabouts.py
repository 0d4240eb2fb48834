"""Places on a map, and names that a site has listed: places, groups, persons. Spans in, spans out.

Persons are found by the site's list, and where a text introduces somebody ("my name is", a title before a name);
nothing here guesses names.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

Span = tuple[int, int]

_PAIR = re.compile(
    r"(?<![\w.])(?P<north>[-+]?[0-9]{1,2}\.[0-9]{3,8})°? ?(?P<ns>[NSns]?)(?P<between> ?[,;/|] ?| )"
    r"(?P<east>[-+]?[0-9]{1,3}\.[0-9]{3,8})°? ?(?P<ew>[EWew]?)(?!\w)(?!\.[0-9])"
)
_DEGREES = re.compile(
    r"(?<![\w.])[NSEW]? ?[0-9]{1,3}(?:\.[0-9]+)? ?° ?(?:[0-9]{1,2}(?:\.[0-9]+)? ?['′’] ?(?:[0-9]{1,2}(?:\.[0-9]+)? ?"
    r"(?:[\"″”]|''))?)? ?[NSEW](?!\w)"
)
_PLUS_CODE = re.compile(
    r"(?<![\w+])(?=[0-9A-Z]*[A-Z])[23456789CFGHJMPQRVWX]{4,8}\+[23456789CFGHJMPQRVWX]{2,3}(?![\w+])"
)
_GEO = re.compile(r"geo:-?[0-9]{1,2}(?:\.[0-9]+)?,-?[0-9]{1,3}(?:\.[0-9]+)?")
_NAME = r"(?:[^\W\d_a-zà-öø-ÿ][^\s,.;:!?()\[\]।۔،؟፣፤።]*)"  # begins with a capital, or in a script that has none
_TITLED = re.compile(
    rf"(?<!\w)(?:Mr|Mrs|Ms|Dr|Prof|Bw|Bi|Mzee|Mme|Mlle|Sr|Sra|Srta|Dona|Malam|Malama|Alhaji|Hajiya|Ustadh|Ato|Shri|"
    rf"Smt)\.? (?P<name>{_NAME}(?: {_NAME}){{0,2}})"
)
_INTRODUCED = re.compile(
    rf"(?<!\w)(?i:my name is|i am called|jina langu ni|naitwa|je m['’]appelle|mon nom est|me llamo|mi nombre es"
    rf"|meu nome é|chamo-me|sunana|اسمي|मेरा नाम|میرا نام|ስሜ) (?P<name>{_NAME}(?: {_NAME}){{0,2}})"
)
_ENDS = re.compile(r"\s(?:है|ہے|ነው|and|na|et|y|e|da|و)(?:\s.*)?$")
# What Arabic script writes together with a name, and what Bantu languages put behind one.
_BEFORE = "(?:(?:و|ف)?(?:ال|لل|ب|ل|ك)?)"
_BEHIND = "(?:['’]s|ni)?"


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a site calls sensitive, in every spelling that is used."""

    places: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    persons: tuple[str, ...] = ()

    @cached_property
    def patterns(self) -> dict[str, re.Pattern[str]]:
        """By kind: ``place``, ``group``, ``person``; a kind without names is left out."""
        kinds = {"place": self.places, "group": self.groups, "person": self.persons}
        return {kind: _any_of(names) for kind, names in kinds.items() if names}


NOBODY = Names()


def coordinates(plain: str) -> Iterator[Span]:
    """Pairs of degrees with three decimals or more (a street), degrees and minutes, plus codes, geo: addresses."""
    for pair in _PAIR.finditer(plain):
        north, east = pair["north"], pair["east"]
        fine = min(len(north.partition(".")[2]), len(east.partition(".")[2])) >= 4
        sided = bool(pair["ns"] and pair["ew"])
        # Two bare numbers with a space between, or with few decimals, are as likely measurements.
        if abs(float(north)) <= 90 and abs(float(east)) <= 180 and (sided or (fine and pair["between"] != " ")):
            yield pair.span()
    for pattern in (_DEGREES, _PLUS_CODE, _GEO):
        for match in pattern.finditer(plain):
            yield match.span()


def named(plain: str, kind: str, names: Names) -> Iterator[Span]:
    """Where a listed name of one kind stands, and, of persons, who is introduced."""
    if kind in names.patterns:
        for match in names.patterns[kind].finditer(plain):
            yield match.span()
    if kind == "person":
        for pattern in (_TITLED, _INTRODUCED):
            for match in pattern.finditer(plain):
                start, end = match.span("name")
                yield start, start + len(_ENDS.sub("", plain[start:end]))


def _any_of(names: tuple[str, ...]) -> re.Pattern[str]:
    longest = sorted({" ".join(name.split()) for name in names}, key=len, reverse=True)
    spelt = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in longest)
    return re.compile(rf"(?<![\w\[]){_BEFORE}(?:{spelt}){_BEHIND}(?!\w)", re.IGNORECASE)
