"""Who this box is: an Ed25519 key of its own making, and the name that follows from it.

Kept in ``data/identity.json``, made on first use, never sent; on a stick only within a sealed backup.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.config import Home
from appliance.errors import SyncError
from appliance.files import write_private
from appliance.sync.wire import b64, box_name, public_bytes, unb64


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A box's name, key, and the history that is being written under them."""

    box: str
    epoch: int
    """Counts histories: a box whose log was lost or rolled back begins a new one."""
    key: Ed25519PrivateKey


def load_or_make_identity(home: Home) -> Identity:
    """The box's identity; the first call makes it. Several processes may call at once.

    Raises:
        SyncError: identity.json cannot be read.
    """
    home.prepare_data()
    try:
        with _alone(home.data):
            if not home.identity.exists():
                _make(home.identity)
            raw = json.loads(home.identity.read_bytes())
        key = Ed25519PrivateKey.from_private_bytes(unb64(raw["key"], 32))
        if raw["format"] != 1 or raw["box"] != box_name(public_bytes(key)):
            raise ValueError("name and key do not belong together")
        return Identity(box=raw["box"], epoch=int(raw["epoch"]), key=key)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SyncError(
            f"{home.identity} cannot be used: {error!r}.",
            needed="It holds this box's key; without it the hub does not know the box.",
            todo="Bring it back from a backup.",
        ) from error


def begin_new_history(home: Home) -> int:
    """Raise the epoch by one and return it: what is written from now on is a history of its own.

    Raises:
        SyncError: identity.json cannot be read.
    """
    identity = load_or_make_identity(home)
    with _alone(home.data):
        _write(home.identity, identity.key, epoch=identity.epoch + 1)
    return identity.epoch + 1


def _make(path: Path) -> None:
    _write(path, Ed25519PrivateKey.generate(), epoch=1)


def _write(path: Path, key: Ed25519PrivateKey, *, epoch: int) -> None:
    raw = {"format": 1, "box": box_name(public_bytes(key)), "epoch": epoch, "key": b64(key.private_bytes_raw())}
    write_private(path, json.dumps(raw).encode())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
