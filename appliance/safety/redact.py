"""Takes out of a plain text what tells who somebody is or how to reach them, before it is stored anywhere.

E-mail addresses and telephone numbers are found here, numbers of documents and accounts by ``identifiers``, coordinates
and listed names by ``whereabouts``. Text in, text out: no files, no settings. When unsure it takes out too much rather
than too little, but leaves dates, doses, ranges, prices and years.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from phonenumbers import Leniency, PhoneNumberMatcher

from appliance.safety import identifiers, whereabouts
from appliance.safety.whereabouts import NOBODY, Names

POLICY = "2"
"""Version of these rules. It is stored with every record: change it whenever another text comes out."""

KINDS = ("e-mail", "id", "coordinates", "telephone", "place", "group", "person")
"""What is taken out, in this order; in its place stands the kind in square brackets."""

_Span = tuple[int, int]

# One telephone number may be written with these between its digits. No comma, colon, tab or line break: they end lists,
# times and tables, which are not telephone numbers.
_CANDIDATE = re.compile(r"(?:\+ ?)?\(?[0-9](?:[ ().\-/]{0,3}[0-9]){7,}")
_GROUP = re.compile(r"[0-9]+")
_DATE = re.compile(
    r"(?<![0-9])(?<![0-9][-./])"
    r"(?:(?:19|20)[0-9]{2}([-./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])([-./])(?:0?[1-9]|[12][0-9]|3[01])\2(?:19|20)[0-9]{2})"
    r"(?![0-9])(?![-./][0-9])"
)
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"
_ADDRESS = re.compile(rf"(?<![0-9.])(?:{_BYTE}\.){{3}}{_BYTE}(?![0-9])(?!\.[0-9])")
_UUID = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])")
# A long fraction, or degrees on a map. No telephone number is written with one digit before its only dot.
_FRACTION = re.compile(
    r"(?<![0-9.+])(?<!\+ )(?:[0-9]\.[0-9]{4,}|(?:[1-9][0-9]|1[0-7][0-9])\.[0-9]{4,7})(?![0-9])(?! ?[.\-/(] ?[0-9])"
)
_YEARS = re.compile(r"(?:19|20)[0-9]{2}(?:[ \-/]+(?:19|20)[0-9]{2})+")
_DECIMALS = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}(?: ?[- ] ?[0-9]{1,3}\.[0-9]{1,3})+")

# Six to nine digits are a telephone number only where the text says so.
_SHORT = r"(?P<number>\(?[0-9](?:[ ().\-]{0,2}[0-9]){5,8})(?![0-9A-Za-z%°])"
_CALLED = re.compile(
    r"(?:(?<!\w)(?:call|calling|phone|telephone|tel|mobile|fax|whatsapp|sms|contact|reach|answering|dial|simu|piga|nipigie"
    r"|téléphone|appelez|appeler|teléfono|llame|llamar|telefone|ligue|celular|waya|kira)(?!\w)"
    r"|هاتف|الهاتف|اتصل|फोन|फ़ोन|कॉल|فون|کال|ስልክ|ደውል)[^\w\n]{0,3}(?:[^\W\d]+[^\w\n]{1,3}){0,2}" + _SHORT,
    re.IGNORECASE,
)
_CALLED_AFTER = re.compile(rf"(?<![0-9.\-]){_SHORT}[ \-]{{1,2}}(?:office|fax|tel|phone|mobile)(?!\w)", re.IGNORECASE)

_DOMAIN_CHARACTER = r"[^\x00-\x2c\x2e\x2f\x3a-\x40\x5b-\x60\x7b-\x7f\s«»“”‘’„、，،؟]"
_DOMAIN = re.compile(
    rf"(?:{_DOMAIN_CHARACTER}+\.)+(?![0-9]+(?:\W|$)){_DOMAIN_CHARACTER}{{2,}}|\[[0-9a-fA-F.:]+(?:IPv6)?[0-9a-fA-F.:]*\]"
)
_SPELT_OUT = re.compile(
    r"[\w.+-]{1,64}\s?[(\[]\s?at\s?[)\]]\s?[\w-]{1,63}(?:\s?(?:\.|[(\[]\s?dot\s?[)\]]|\bdot\b)\s?[\w-]{2,63}){1,4}",
    re.IGNORECASE,
)
_QUOTED = re.compile(r'"[^"\n]{1,64}"$')
_NOT_IN_LOCAL_PART = frozenset(' \t\n\r\v\f@()<>[],;:"\\«»“”„、，،؟')

_SHORTEST = 9
"""Digits from which a number is taken for a telephone number though no region knows it."""
_FEW_GROUPS = 4
"""So many groups may make up the shortest number: more is a row of measurements. A leading 0 allows one more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """A text without what was taken out, and how often each kind was."""

    text: str
    found: Mapping[str, int]
    """Some of ``KINDS`` to a number; kinds not found are left out."""


def redact(text: str, regions: Sequence[str], names: Names = NOBODY) -> Redacted:
    """Replace what should not be kept by its kind in square brackets: ``[e-mail]``.

    Args:
        text: plain text in any script; digits of any script are read as digits.
        regions: ISO 3166 codes whose national ways of writing telephone numbers are known here, and whose people's
            numbers are recognised by their check digits.
        names: what the site calls sensitive.
    """
    finders: dict[str, Callable[[str], Iterator[_Span]]] = {
        "e-mail": _emails,
        "id": partial(_identifiers, regions=regions),
        "coordinates": whereabouts.coordinates,
        "telephone": partial(_telephones, regions=regions),
        **{kind: partial(whereabouts.named, kind=kind, names=names) for kind in ("place", "group", "person")},
    }
    found: dict[str, int] = {}
    # Again and again: taking one out can bare another. Each round takes digits, an @ or letters away, so it ends.
    changed = True
    while changed:
        changed = False
        for kind in KINDS:
            plain, where = _plain(text)
            spans = _merge(finders[kind](plain))
            for start, end in reversed(spans):
                text = text[: where[start]] + f"[{kind}]" + text[where[end - 1] + 1 :]
            if spans:
                found[kind] = found.get(kind, 0) + len(spans)
                changed = True
    return Redacted(text=text, found=found)


def _plain(text: str) -> tuple[str, list[int]]:
    """The text with ASCII digits, hyphens and spaces, invisible characters left out; and each character's old place."""
    plain: list[str] = []
    where: list[int] = []
    for place, character in enumerate(text):
        shown = _plain_character(character)
        if shown:
            plain.append(shown)
            where.append(place)
    return "".join(plain), where


def _plain_character(character: str) -> str:
    if character < "\x80":
        return character
    digit = unicodedata.digit(character, None)  # Ethiopic and superscript digits are digits, though not decimals
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category == "Cf" or character == "\u034f" or "\ufe00" <= character <= "\ufe0f":
        return ""
    if category == "Pd" or character == "\u2212":
        return "-"
    if category == "Zs":
        return " "
    return {"\uff0b": "+", "\uff20": "@", "\ufe6b": "@", "\uff0e": ".", "\u3002": ".", "\uff61": "."}.get(
        character, character
    )


def _merge(spans: Iterator[_Span]) -> list[_Span]:
    merged: list[_Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _emails(plain: str) -> Iterator[_Span]:
    at = plain.find("@")
    while at >= 0:
        start = at
        while start and plain[start - 1] not in _NOT_IN_LOCAL_PART and not plain[start - 1].isspace():
            start -= 1
        quoted = _QUOTED.search(plain, max(0, at - 66), at) if start == at else None
        domain = _DOMAIN.match(plain, at + 1)
        if domain and (quoted or start < at):
            yield (quoted.start() if quoted else start), domain.end()
        at = plain.find("@", at + 1)
    for match in _SPELT_OUT.finditer(plain):
        yield match.span()


def _identifiers(plain: str, regions: Sequence[str]) -> Iterator[_Span]:
    for other in (_DATE, _ADDRESS, _UUID, _FRACTION):
        plain = other.sub(lambda match: "\n" * len(match[0]), plain)
    return identifiers.found(plain, regions)


def _telephones(plain: str, regions: Sequence[str]) -> Iterator[_Span]:
    # Line breaks in place of what is something else: no number runs across one, here and in phonenumbers.
    for other in (_DATE, _ADDRESS, _UUID, _FRACTION):
        plain = other.sub(lambda match: "\n" * len(match[0]), plain)
    for candidate in _CANDIDATE.finditer(plain):
        if not _is_quantity(candidate[0]):
            yield from _unknown_numbers(candidate)
    for pattern in (_CALLED, _CALLED_AFTER):
        for called in pattern.finditer(plain):
            if not _is_quantity(called["number"]):
                yield called.span("number")
    for match in PhoneNumberMatcher(plain, None, leniency=Leniency.POSSIBLE):
        yield match.start, match.end
    for region in regions:
        for match in PhoneNumberMatcher(plain, region, leniency=Leniency.VALID):
            raw = match.raw_string
            digits = sum(map(str.isdigit, raw))
            # Without its leading 0 a short number is more likely an amount: 450-1200 would be one of Kenya's.
            if (raw[0] in "+(0" or digits >= _SHORTEST) and not _is_quantity(raw):
                yield match.start, match.end


def _unknown_numbers(candidate: re.Match[str]) -> Iterator[_Span]:
    """From the first group on that may begin a telephone number, to the end of the candidate."""
    written = candidate[0]
    groups = list(_GROUP.finditer(written))
    for first, group in enumerate(groups):
        international = written[: group.start()].rstrip(" (").endswith("+")
        most = len(groups) if international else _FEW_GROUPS + (group[0][0] == "0")
        if sum(len(g[0]) for g in groups[first : first + most]) >= _SHORTEST:
            start = 0 if first == 0 else group.start()
            yield candidate.start() + start, candidate.end()
            return


def _is_quantity(written: str) -> bool:
    """Whether it is years, decimals or round numbers, alone or as a range, rather than a telephone number."""
    written = written.strip()
    if _YEARS.fullmatch(written) or _DECIMALS.fullmatch(written):
        return True
    ends = written.split("-")
    return len(ends) <= 2 and all(_is_round(end) for end in ends)


def _is_round(number: str) -> bool:
    """1 500 000 000 is; 0712 000 000 and 254 712 000 000 are not."""
    digits = "".join(_GROUP.findall(number))
    return digits[:1] not in ("", "0") and "+" not in number and len(digits.rstrip("0")) <= 3
