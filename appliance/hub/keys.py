"""Who this hub is: the key that signs receipts and the key that opens batches, in ``DIR/hub.json``.

Whoever has this file can read every batch and let boxes forget their log; it belongs into the NGO's backup, and nowhere
else.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.errors import HubError
from appliance.files import write_private
from appliance.hub.database_sqlite import DATABASE
from appliance.hub.places import chosen
from appliance.sync.wire import b64, unb64


@dataclass(frozen=True, slots=True, kw_only=True)
class HubKeys:
    """The hub's two keys."""

    signing: Ed25519PrivateKey
    opening: str
    """age secret key."""
    recipient: str
    """What boxes seal for; belongs to ``opening``."""


def load_or_make_keys(folder: Path) -> HubKeys:
    """The hub's keys; the first call makes them and the folder. Several processes may call at once.

    Raises:
        HubError: the folder or hub.json cannot be used.
    """
    path = folder / "hub.json"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not path.exists():
                if (folder / DATABASE).exists() or chosen(folder):
                    raise ValueError("it is missing, though this hub has data already")
                _make(path)
            raw = json.loads(path.read_bytes())
        finally:
            os.close(descriptor)
        if raw["format"] != 1:
            raise ValueError(f"format {raw['format']}")
        opening = pyrage.x25519.Identity.from_str(raw["opening"])
        return HubKeys(
            signing=Ed25519PrivateKey.from_private_bytes(unb64(raw["signing"], 32)),
            opening=raw["opening"],
            recipient=str(opening.to_public()),
        )
    except (OSError, ValueError, KeyError, TypeError, pyrage.IdentityError) as error:
        raise HubError(
            f"{path} cannot be used: {error}.",
            needed="It holds the hub's keys; boxes believe no other.",
            todo="Bring it back from a backup, or check the folder's owner and space.",
        ) from error


def _make(path: Path) -> None:
    raw = {
        "format": 1,
        "signing": b64(Ed25519PrivateKey.generate().private_bytes_raw()),
        "opening": str(pyrage.x25519.Identity.generate()),
    }
    write_private(path, json.dumps(raw).encode())


def check_recipients(recipients: Sequence[str]) -> None:
    """Raises HubError: one is no age recipient."""
    for text in recipients:
        try:
            pyrage.x25519.Recipient.from_str(text)
        except pyrage.RecipientError as error:
            raise HubError(
                f"{text!r} is no age recipient.",
                needed="A line that begins with age1 is needed.",
                todo="Make a recovery key with age-keygen, and keep its secret half off line.",
            ) from error
