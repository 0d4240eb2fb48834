"""Numbers in a text and in its translation: a dose that changed must not pass unseen. Pure.

Compares what is written in digits, in any script's digits; number words are beyond it, so "two" -> "2" is flagged
too. That is the side to err on.
"""

import re
import unicodedata
from collections import Counter

FLAG = "numbers-differ"

_SEPARATORS = ".,٫٬'’"
_NUMBER = re.compile(rf"\d+(?:[{_SEPARATORS}]\d+)*")
_GROUPED = re.compile(rf"\d{{1,3}}([{_SEPARATORS}])\d{{3}}(?:\1\d{{3}})*")
_ETHIOPIC = re.compile("[\u1369-\u137c]+")


def numbers(text: str) -> Counter[str]:
    """The numbers of a text and how often each stands there, in ASCII digits with a decimal point.

    Separators of thousands are dropped (``1,000`` and ``1.000`` are 1000); any other is a decimal point.
    """
    return Counter(plain_number(match[0]) for match in _NUMBER.finditer(ascii_digits(text)))


def flags(text: str, translation: str) -> tuple[str, ...]:
    """``("numbers-differ",)`` when the two sides do not hold the same numbers equally often, else nothing."""
    return () if numbers(text) == numbers(translation) else (FLAG,)


def ascii_digits(text: str) -> str:
    """The text with every script's digits as 0 to 9; an Ethiopic numeral becomes its value."""
    text = _ETHIOPIC.sub(lambda match: str(_ethiopic(match[0])), text)
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)


def plain_number(number: str) -> str:
    """One number in ASCII digits without separators of thousands and leading zeros, with a decimal point."""
    if _GROUPED.fullmatch(number):
        return re.sub(r"\D", "", number)
    whole, *rest = re.split(r"\D", number)
    return ".".join([whole.lstrip("0") or "0", *rest])


def _ethiopic(number: str) -> int:
    """Value of an Ethiopic numeral, which has signs for 1-9, 10-90, 100 and 10,000 and no zero: ፳፭ is 25."""
    total = part = 0
    for sign in number:
        value = int(unicodedata.numeric(sign))
        if value == 100:
            part = (part or 1) * 100
        elif value == 10_000:
            total = (total + (part or 1)) * 10_000
            part = 0
        else:
            part += value
    return total + part
