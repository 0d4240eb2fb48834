"""Sentences of a text in any of our scripts: where one ends, and nothing else. Pure and lossless.

Fieldpost's own, because the usual splitters download a model at the first translation. Built for what people ask and
models answer; it would rather leave two sentences together than cut one in half.
"""

import re

from appliance.borders import CLOSERS, ENDS, WIDE_ENDS

_BORDER = re.compile(
    r"(?:\n\s*)"
    rf"|(?P<wide>[{WIDE_ENDS}]+[{CLOSERS}]*\s*)"
    rf"|(?P<end>[.…{ENDS}]*[{ENDS}…][.…{ENDS}]*[{CLOSERS}]*\s+)"
    rf"|(?P<stop>\.[{CLOSERS}]*\s+)"
)

# Words whose full stop ends no sentence, folded, without the stop. The second row is Swahili.
_ABBREVIATIONS = frozenset(
    """
    approx cf dr e.g eg i.e ie incl mr mrs ms prof st vs
    bi bw dkt k.m k.v mf taz
    """.split()  # noqa: SIM905  (read by people)
)
# Only before a number: "No. 5" goes on, "No. Boil it first." does not.
_BEFORE_NUMBERS = frozenset({"ch", "fig", "figs", "no", "nos", "p", "pp", "tab", "tel", "vol", "uk", "na"})
# Commas and their like; Arabic ، ؛, Ethiopic ፣, Chinese 、，
_PAUSE = re.compile("[,;:\u060c\u061b\u1363\u3001\uff0c]\\s+|[\u3001\uff0c]")
_SPACE = re.compile(r"\s+")
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘«]+$")


def split(text: str, limit: int | None = None) -> list[str]:
    """The text's sentences, each with the white space that follows it. Joined they are the text again.

    Args:
        limit: longest piece wanted, in characters; a longer sentence is cut after a comma, or else between words.
    """
    pieces: list[str] = []
    start = 0
    for match in _BORDER.finditer(text):
        if match["stop"] and _goes_on(text, start, match):
            continue
        pieces.append(text[start : match.end()])
        start = match.end()
    if start < len(text):
        pieces.append(text[start:])
    if limit is None:
        return pieces
    return [part for piece in pieces for part in _shortened(piece, limit)]


def _goes_on(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the sentence goes on after this full stop."""
    following = text[match.end() : match.end() + 1]
    if not following or "\n" in match[0]:
        return False
    if following.islower():  # "etc. and so on": no script that has capitals begins a sentence with a small letter
        return True
    word = _LAST_WORD.search(text, start, match.start())
    if word is None:
        return False
    folded = word[0].casefold()
    initial = len(folded) == 1 and word[0].isupper()  # "J. Otieno"
    return initial or folded in _ABBREVIATIONS or (folded in _BEFORE_NUMBERS and following.isdecimal())


def _shortened(piece: str, limit: int) -> list[str]:
    parts: list[str] = []
    while len(piece) > limit:
        window = piece[: limit + 1]
        cut = _last_end(_PAUSE, window, limit) or _last_end(_SPACE, window, limit) or limit
        parts.append(piece[:cut])
        piece = piece[cut:]
    return [*parts, piece] if piece else parts


def _last_end(pattern: re.Pattern[str], window: str, limit: int) -> int:
    return max((match.end() for match in pattern.finditer(window) if match.end() <= limit), default=0)
