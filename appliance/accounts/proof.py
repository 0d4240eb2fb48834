"""What people show to be let in: a PIN, or a sequence of three pictures. The sole importer of argon2.

Who they are and how often they may try is left to others.
"""

import itertools
import secrets
import threading
import unicodedata
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from appliance.errors import AccountError

Kind = Literal["pin", "pictures"]
PICTURES = (
    "sun", "moon", "star", "fish", "bird", "tree", "flower", "house",
    "boat", "key", "cup", "umbrella", "hand", "drum", "mountain", "egg",
)  # fmt: skip
"""Names of the pictures; how they look is the page's."""
PICTURES_LONG = 3
LEAST_DIGITS = 6
LEAST_SIGNS = 8
"""Of what an administrator or supervisor signs in with: they see more than their own."""
MOST_SIGNS = 64
_CODE_SIGNS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_CODE_LONG = 12
# OWASP's least parameters for Argon2id: 19 MiB and two rounds take a Raspberry Pi 4 about a tenth of a second.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_at_once = threading.Semaphore(2)
"""Guessing must not take the memory that the model needs."""


def normal(kind: Kind, told: str) -> str:
    """What was told, as it is hashed: digits of any script as ASCII ones, no spaces around or between digits."""
    if kind == "pictures":
        return " ".join(told.split())
    text = unicodedata.normalize("NFKC", told).strip()
    digits = "".join(str(unicodedata.decimal(sign)) for sign in text if sign.isdecimal())
    return digits if all(sign.isdecimal() or sign in " -" for sign in text) else text


def check_new(kind: Kind, told: str, *, least: int) -> str:
    """``told`` as it is hashed, if it may become somebody's PIN or pictures.

    Raises:
        AccountError: it is too short, too long or the first that anybody would guess.
    """
    text = normal(kind, told)
    if kind == "pictures":
        chosen = text.split()
        if len(chosen) != PICTURES_LONG or any(name not in PICTURES for name in chosen):
            raise AccountError(f"{len(chosen)} pictures were chosen.", needed=f"{PICTURES_LONG} are needed.")
        if len(set(chosen)) == 1:
            raise AccountError("Three times the same picture is easily guessed.", todo="Choose others.")
        return text
    if not least <= len(text) <= MOST_SIGNS:
        raise AccountError(f"The PIN has {len(text)} signs.", needed=f"{least} to {MOST_SIGNS} are needed.")
    steps = {ord(after) - ord(before) for before, after in itertools.pairwise(text)}
    if len(steps) == 1 and steps <= {-1, 0, 1}:
        raise AccountError("The PIN is easily guessed.", todo="Take one that does not just count or repeat.")
    return text


def make(kind: Kind, *, least: int) -> str:
    """A fresh random one: ``least`` digits, or three different pictures."""
    if kind == "pictures":
        return " ".join(secrets.SystemRandom().sample(PICTURES, PICTURES_LONG))
    while True:
        digits = "".join(secrets.choice("0123456789") for _ in range(least))
        if len(set(digits)) > 2:
            return digits


def make_code() -> str:
    """A one-time code of 60 random bits that is easily read aloud, such as ``K7QD-M2XA-9FHP``."""
    signs = "".join(secrets.choice(_CODE_SIGNS) for _ in range(_CODE_LONG))
    return "-".join(signs[start : start + 4] for start in range(0, _CODE_LONG, 4))


def normal_code(told: str) -> str:
    """A typed code as it is hashed: big letters, no spaces or dashes."""
    return "".join(sign for sign in unicodedata.normalize("NFKC", told).upper() if sign.isalnum())


def hashed(text: str) -> str:
    """Argon2id of it, with its salt and parameters."""
    with _at_once:
        return _hasher.hash(text)


def fits(kept: str, text: str) -> bool:
    """Whether ``text`` is what ``kept`` was made of. Takes as long for a wrong one."""
    with _at_once:
        try:
            return _hasher.verify(kept, text)
        except (VerificationError, InvalidHashError):
            return False
