"""What box and hub say to each other besides batches: the enrolment token, the box's introduction, the hub's receipts.

Values in, bytes out; every byte that comes in is checked here. Nothing is read, sent or stored.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.errors import BatchRefused, SyncError
from appliance.log.chain import STREAMS

UPLOAD_OFFSET = "Upload-Offset"
UPLOAD_COMPLETE = "Upload-Complete"
UPLOAD_LENGTH = "Upload-Length"
YES, NO = "?1", "?0"
SHA256_NAME = re.compile(r"[0-9a-f]{64}")
BOX_NAME = re.compile(r"box-[a-z2-7]{16}")
RELEASE_FILE = re.compile(
    r"(tuf/[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.json|blobs/sha256/[0-9a-f]{64}|deltas/[0-9a-f]{64}[0-9a-z.]{0,80}"
    r"|[A-Za-z][A-Za-z0-9.-]{0,40})"
)
"""What a file of a release may be called, as it goes over the wire."""
MAX_MESSAGE = 4096
"""Bytes an introduction or a receipt may have."""

NEW_HISTORY = "Move HOME/data away, keep it, and enrol this box again: it begins a new history under a new name."
"""What helps when two histories go by one name and the newest backup cannot be brought back."""

_INTRODUCTION = b"fieldpost-enrol-v1\0"
_RECEIPT = b"fieldpost-ack-v1\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a box needs to know of its hub, and the secret that lets one box in. Works once."""

    id: str
    name: str
    """The site's name, for people."""
    url: str
    """Where the hub is; empty when only sticks go there."""
    hub: str
    """The hub's Ed25519 public key, base64: it signs the receipts."""
    recipient: str
    """The hub's age recipient: only it can open the batches."""
    recovery: tuple[str, ...]
    """More age recipients, whose keys are kept off line."""
    secret: str
    """An Ed25519 seed, base64. The hub keeps only its public half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """A box tells the hub its public key, proven by the token's secret."""

    token: str
    box: str
    key: str
    """The box's Ed25519 public key, base64."""
    signed: bytes
    proof: bytes
    """By the token's secret: the box was invited."""
    signature: bytes
    """By the box's key: the key is the box's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the hub has of one box, signed by the hub."""

    box: str
    epoch: int
    ack: Mapping[str, int]
    """Stream to the last record up to which the hub has all."""
    heads: Mapping[str, bytes]
    """Stream to the hash of that record."""
    hub_time_ms: int
    desired: str = ""
    """Id of the release that the box should have; empty for whatever it has."""


def read_number(text: str) -> int | None:
    """A header's number of bytes; None if it is none. ASCII digits only: ``int`` does not take all that are digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def unb64(text: str, size: int | None = None) -> bytes:
    """Raises ValueError: not base64, or not ``size`` bytes."""
    data = base64.b64decode(text, validate=True)
    if b64(data) != text:
        raise ValueError("not the one way to write these bytes")
    if size is not None and len(data) != size:
        raise ValueError(f"{len(data)} bytes, needed {size}")
    return data


def box_name(public: bytes) -> str:
    """A box's name follows from its key, so that no two boxes can have one name."""
    return "box-" + base64.b32encode(hashlib.sha256(public).digest()[:10]).decode().lower()


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def write_token(token: Token) -> str:
    """One line of base64url; its last four bytes are a checksum, so that a mistyped letter is noticed."""
    data = _json(
        {
            "v": 1,
            "id": token.id,
            "name": token.name,
            "url": token.url,
            "hub": token.hub,
            "recipient": token.recipient,
            "recovery": list(token.recovery),
            "secret": token.secret,
        }
    )
    return base64.urlsafe_b64encode(data + hashlib.sha256(data).digest()[:4]).decode().rstrip("=")


def read_token(text: str) -> Token:
    """Parse what ``fieldpost-hub enrol`` printed.

    Raises:
        SyncError: it is no token, or not all of it.
    """
    try:
        text = "".join(text.split())
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        data, checksum = data[:-4], data[-4:]
        if hashlib.sha256(data).digest()[:4] != checksum:
            raise ValueError("letters are missing or changed")
        raw = json.loads(data)
        if raw["v"] != 1:
            raise ValueError(f"version {raw['v']}, needed 1")
        texts = {name: raw[name] for name in ("id", "name", "url", "hub", "recipient", "secret")}
        recovery = tuple(raw["recovery"])
        if not all(isinstance(value, str) for value in (*texts.values(), *recovery)):
            raise ValueError("a field is no text")
        unb64(texts["hub"], 32)
        unb64(texts["secret"], 32)
        return Token(**texts, recovery=recovery)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SyncError(
            f"This is no enrolment token: {error}.",
            needed="The whole line that fieldpost-hub enrol printed is needed.",
            todo="Copy it again.",
        ) from error


def write_introduction(token: str, secret: bytes, key: Ed25519PrivateKey) -> bytes:
    """The box's first words to the hub."""
    public = public_bytes(key)
    signed = _json({"v": 1, "token": token, "box": box_name(public), "key": b64(public)})
    proof = Ed25519PrivateKey.from_private_bytes(secret).sign(_INTRODUCTION + signed)
    return _lines(signed, proof, key.sign(_INTRODUCTION + signed))


def read_introduction(data: bytes) -> Introduction:
    """Parse and check the box's own signature. The proof is left to whoever knows the token: ``prove``.

    Raises:
        BatchRefused: it is not well-formed, or not signed by the key it names.
    """
    try:
        signed, proof, signature = _unlines(data, 2)
        raw = json.loads(signed)
        if raw["v"] != 1:
            raise ValueError(f"version {raw['v']}")
        public = unb64(raw["key"], 32)
        if raw["box"] != box_name(public) or not isinstance(raw["token"], str):
            raise ValueError("the name does not belong to the key")
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _INTRODUCTION + signed)
    except (ValueError, KeyError, TypeError, RecursionError, InvalidSignature) as error:
        raise BatchRefused(f"A box's introduction is not as it should be: {error!r}.") from error
    return Introduction(
        token=raw["token"], box=raw["box"], key=raw["key"], signed=signed, proof=proof, signature=signature
    )


def proven(introduction: Introduction, token_key: bytes) -> bool:
    """Whether the introduction was made with the secret whose public half is ``token_key``."""
    try:
        Ed25519PublicKey.from_public_bytes(token_key).verify(introduction.proof, _INTRODUCTION + introduction.signed)
    except InvalidSignature:
        return False
    return True


def write_receipt(receipt: Receipt, hub_key: Ed25519PrivateKey) -> bytes:
    """Two lines: the JSON, and the hub's signature over it."""
    signed = _json(
        {
            "v": 1,
            "box": receipt.box,
            "epoch": receipt.epoch,
            "ack": dict(receipt.ack),
            "heads": {stream: b64(head) for stream, head in receipt.heads.items()},
            "hub_time": receipt.hub_time_ms,
            **({"desired": receipt.desired} if receipt.desired else {}),
        }
    )
    return _lines(signed, hub_key.sign(_RECEIPT + signed))


def read_receipt(data: bytes, hub: bytes, *, box: str, epoch: int) -> Receipt:
    """Verify the hub's signature, then parse.

    Raises:
        BatchRefused: it is not signed by this hub, or is for another box.
    """
    try:
        signed, signature = _unlines(data, 1)
        Ed25519PublicKey.from_public_bytes(hub).verify(signature, _RECEIPT + signed)
    except (ValueError, InvalidSignature) as error:
        raise BatchRefused(
            "A receipt is not signed by this box's hub.",
            needed="Only the hub that issued the token may say what has arrived.",
            todo="Check the hub's address, and that the stick was at the right hub.",
        ) from error
    try:
        raw = json.loads(signed)
        receipt = Receipt(
            box=raw["box"],
            epoch=int(raw["epoch"]),
            ack={stream: int(raw["ack"][stream]) for stream in STREAMS if stream in raw["ack"]},
            heads={stream: unb64(raw["heads"][stream], 32) for stream in STREAMS if stream in raw["ack"]},
            hub_time_ms=int(raw["hub_time"]),
            desired=raw.get("desired", ""),
        )
        if receipt.desired and not SHA256_NAME.fullmatch(receipt.desired):
            raise ValueError("it names a release that is none")
    except (ValueError, KeyError, TypeError) as error:
        raise BatchRefused(f"The hub's receipt cannot be read: {error!r}.", todo="Is the hub newer?") from error
    if (receipt.box, receipt.epoch) != (box, epoch):
        raise BatchRefused(f"The receipt is for {receipt.box}, epoch {receipt.epoch}.", needed=f"{box}, epoch {epoch}.")
    return receipt


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _lines(signed: bytes, *signatures: bytes) -> bytes:
    return b"".join(line + b"\n" for line in (signed, *(b64(signature).encode() for signature in signatures)))


def _unlines(data: bytes, signatures: int) -> list[bytes]:
    if len(data) > MAX_MESSAGE:
        raise ValueError(f"more than {MAX_MESSAGE} bytes")
    lines = data.split(b"\n")
    if len(lines) != signatures + 2 or lines[-1]:
        raise ValueError("not as many lines as it should have")
    try:
        return [lines[0], *(unb64(line.decode("ascii"), 64) for line in lines[1:-1])]
    except binascii.Error as error:
        raise ValueError("a signature is not base64") from error
