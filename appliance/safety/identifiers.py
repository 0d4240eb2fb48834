"""Numbers of documents, cards and accounts: those with check digits, and those that a text calls by their kind.

The sole importer of python-stdnum, which knows how each country checks its numbers. Spans in, spans out; the text is
plain already, with ASCII digits and spaces.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import stdnum.br.cpf
import stdnum.cl.rut
import stdnum.cn.ric
import stdnum.do.cedula
import stdnum.ec.ci
import stdnum.es.dni
import stdnum.es.nie
import stdnum.fr.nir
import stdnum.iban
import stdnum.id.nik
import stdnum.il.idnr
import stdnum.in_.aadhaar
import stdnum.in_.epic
import stdnum.in_.pan
import stdnum.it.codicefiscale
import stdnum.ke.pin
import stdnum.luhn
import stdnum.mx.curp
import stdnum.my.nric
import stdnum.pk.cnic
import stdnum.pt.cc
import stdnum.th.pin
import stdnum.tr.tckimlik
import stdnum.us.ssn
import stdnum.za.idnr

Span = tuple[int, int]

BY_REGION: dict[str, tuple[ModuleType, ...]] = {
    "BR": (stdnum.br.cpf,), "CL": (stdnum.cl.rut,), "CN": (stdnum.cn.ric,), "DO": (stdnum.do.cedula,),
    "EC": (stdnum.ec.ci,), "ES": (stdnum.es.dni, stdnum.es.nie), "FR": (stdnum.fr.nir,), "ID": (stdnum.id.nik,),
    "IL": (stdnum.il.idnr,), "IN": (stdnum.in_.aadhaar, stdnum.in_.epic, stdnum.in_.pan),
    "IT": (stdnum.it.codicefiscale,), "KE": (stdnum.ke.pin,), "MX": (stdnum.mx.curp,), "MY": (stdnum.my.nric,),
    "PK": (stdnum.pk.cnic,), "PS": (stdnum.il.idnr,), "PT": (stdnum.pt.cc,), "TH": (stdnum.th.pin,),
    "TR": (stdnum.tr.tckimlik,), "US": (stdnum.us.ssn,), "ZA": (stdnum.za.idnr,),
}  # fmt: skip
"""What people of a country are numbered by; ISO 3166 codes. Cards and IBANs know no country."""

_RUN = re.compile(
    r"(?<![0-9A-Za-z+])(?=[A-Za-z]{0,5}[ .-]?[0-9])[0-9A-Za-z](?:[ .\-]?[0-9A-Za-z]){6,33}(?![0-9A-Za-z])"
)
_GROUP = re.compile(r"[0-9A-Za-z]+")
_MOST_GROUPS = 9
_CARD = re.compile(r"[2-6][0-9]{12,18}")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_LETTERED = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])")
# What a number is called, before it. The number itself must have four digits: "ID card" is no number, nor is "ID 3".
_CALLED = re.compile(
    r"(?:(?<!\w)(?:passports?|passeports?|pasaportes?|passaportes?|pasipoti|fasfo|aadhaar|aadhar|pan|ssn|nin|mrn|cnic|iban"
    r"|(?:national|patient|voter|insurance|identity|medical record|employee|user|member|policy|case|file|ration)"
    r"(?: id)?(?: card)?(?: no\.?| number| nr\.?)?"
    r"|id(?: no\.?| number| card)|identification number|social security(?: number)?|tax id|bank account|account"
    r"|driver'?s? licen[cs]e|licen[cs]e|policyholder id"
    r"|kitambulisho|namba ya (?:kitambulisho|akaunti|mgonjwa)|carte d'identité|numéro de (?:compte|dossier|patient)"
    r"|cédula|cedula|documento de identidad|cuenta|bilhete de identidade|conta|lambar (?:asusu|kati))(?!\w)"
    r"|جواز(?: السفر)?|رقم (?:الهوية|الحساب|الجواز|المريض)|पासपोर्ट|आधार|खाता|पहचान पत्र|شناختی کارڈ|پاسپورٹ|کھاتہ"
    r"|መታወቂያ|ፓስፖርት|ሂሳብ)"
    r"(?:[ .:#=*]{1,3}(?:card|number|num|no|nr|id|code|is|was|ni|est|es|é|hai|है|ہے|هو)(?!\w)){0,3}[ .:#=*]{0,3}"
    r"(?P<number>(?=(?:[A-Z0-9]|-(?=[A-Z0-9])){5,24}(?![0-9A-Za-z]))(?=(?:[A-Z-]*[0-9]){4})[A-Z0-9](?:-?[A-Z0-9])+)",
    re.IGNORECASE,
)


def found(plain: str, regions: Sequence[str]) -> Iterator[Span]:
    """Where such a number stands, in characters."""
    national = [module.is_valid for region in regions for module in BY_REGION.get(region, ())]
    for run in _RUN.finditer(plain):
        yield from _checked(run, national)
    for called in _CALLED.finditer(plain):
        yield called.span("number")


def _checked(run: re.Match[str], national: Sequence[Callable[[str], bool]]) -> Iterator[Span]:
    """The longest pieces of a run, from group to group, whose check digits are right."""
    groups = list(_GROUP.finditer(run[0]))
    first = 0
    while first < len(groups):
        last = min(len(groups), first + _MOST_GROUPS)
        while last > first and not _valid(
            run[0][groups[first].start() : groups[last - 1].end()],
            "".join(group[0] for group in groups[first:last]),
            national,
        ):
            last -= 1
        if last > first:
            yield run.start() + groups[first].start(), run.start() + groups[last - 1].end()
        first = max(last, first + 1)


def _valid(written: str, number: str, national: Sequence[Callable[[str], bool]]) -> bool:
    if len(number) < 7 or not any(character.isdigit() for character in number):
        return False
    if _CARD.fullmatch(number):
        # A row of years or doses may pass by chance: cards are written whole or in fours, but for one kind.
        sizes = [len(group) for group in re.split(r"[ .\-]", written)]
        if sizes in ([len(number)], [4, 6, 5], [4, 6, 4]) or set(sizes[:-1]) == {4}:
            return bool(stdnum.luhn.is_valid(number))
    if _IBAN.fullmatch(number.upper()):
        return bool(stdnum.iban.is_valid(number))
    # Letters and digits in words of a sentence are no number: "take 2 ml every 4 h" is written in many groups.
    if _LETTERED.match(number) and " " in written:
        return False
    # One in ten short numbers passes by chance, telephone numbers among them.
    if number.isdigit() and (len(number) < 11 or number[0] == "0"):
        return False
    return any(is_valid(number) for is_valid in national)
