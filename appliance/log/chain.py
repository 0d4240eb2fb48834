"""The hash chain of the log: what a record commits to, and how records are linked. Values in, values out.

    commitment = SHA256("fieldpost/log/commitment/1" || length of salt || salt || body)
    hash       = SHA256("fieldpost/log/link/1" || previous hash || place and time || commitment)

``place and time`` are stream, seq, boot, mono_ms and wall_ms in fixed width, big-endian. The chain runs over
commitments, so a record whose body is withheld or erased still verifies; the salt keeps a short body from being
guessed out of its commitment, and by its length fixes whether the body may leave the box. Storing is
``appliance.log.store``'s; shipping is ``appliance.sync``'s.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from appliance.errors import LogError

STREAMS = ("safety", "audit", "metric", "feedback", "chat")
"""Every stream, in the order they are shipped. A stream's place here is its number on the wire: only ever append."""

GENESIS = bytes(32)
"""The hash before a stream's first record."""

MAX_BODY = 256 * 1024
"""Bytes a record's body may have."""

LEAVES: Mapping[str, tuple[str, ...]] = {
    "text": STREAMS,
    "metrics": ("safety", "audit", "metric"),
    "nothing": (),
}
"""By what a site agreed to share: streams whose bodies may leave the box. Of the others only commitments ever do."""

SALTED = ("feedback", "chat")
"""Streams whose bodies people wrote."""
SALT_BYTES = 16
WITHHELD_SALT_BYTES = 32

_COMMITMENT = b"fieldpost/log/commitment/1"
_LINK = b"fieldpost/log/link/1"
_PLACE_AND_TIME = struct.Struct(">BQQqq")  # the clocks are signed: a box without a clock battery may start before 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of the log."""

    stream: str
    seq: int
    """From 1, without a gap within its stream."""
    boot: int
    """How often the log had been opened; orders records when the wall clock was wrong."""
    mono_ms: int
    """Milliseconds of the machine's monotonic clock; comparable within one ``boot``."""
    wall_ms: int
    """Milliseconds since 1970 by the box's clock, which may be wrong."""
    egress: bool
    """Whether the body may leave the box."""
    salt: bytes
    """Random where people wrote the body or where it stays on the box, else empty; see ``salt_bytes``. Withheld
    together with the body."""
    body: bytes | None
    """Canonical JSON; None where it is withheld or erased."""
    commitment: bytes
    hash: bytes


def stream_number(name: str) -> int:
    """A stream's number on the wire.

    Raises:
        LogError: there is no such stream.
    """
    try:
        return STREAMS.index(name)
    except ValueError:
        raise LogError(f"{name!r} is no stream of the log.", needed=f"Streams are: {', '.join(STREAMS)}.") from None


def canonical(body: Mapping[str, object]) -> bytes:
    """``body`` as JSON with sorted keys and no spaces, in UTF-8.

    Raises:
        LogError: it holds something JSON has no form for, or is longer than ``MAX_BODY``.
    """
    try:
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise LogError(f"This record cannot be written as JSON: {error}.") from error
    # Half a surrogate pair, as a broken client may send, has no UTF-8 form; it must not cost the whole record.
    data = text.encode("utf-8", errors="replace")
    if len(data) > MAX_BODY:
        raise LogError(f"This record has {len(data)} bytes.", needed=f"At most {MAX_BODY} can be recorded.")
    return data


def commitment(salt: bytes, body: bytes) -> bytes:
    """32 bytes that fix ``body`` without telling it."""
    return hashlib.sha256(_COMMITMENT + struct.pack(">H", len(salt)) + salt + body).digest()


def salt_bytes(stream: str, egress: bool) -> int:
    """How long a record's salt is.

    A body that stays on the box is never to be guessed from the commitment that leaves it, whatever the stream. Its
    salt is longer than any other, so that ``egress`` cannot be changed without breaking the commitment.
    """
    if not egress:
        return WITHHELD_SALT_BYTES
    return SALT_BYTES if stream in SALTED else 0


def link(
    previous: bytes,
    stream: str,
    seq: int,
    boot: int,
    mono_ms: int,
    wall_ms: int,
    commitment: bytes,
) -> bytes:
    """The hash of the record that follows ``previous``.

    Raises:
        LogError: a hash is not 32 bytes, the stream is unknown, or a number does not fit its field.
    """
    if len(previous) != 32 or len(commitment) != 32:
        raise LogError(f"A hash of {len(previous)} and one of {len(commitment)} bytes.", needed="32 are needed.")
    try:
        place = _PLACE_AND_TIME.pack(stream_number(stream), seq, boot, mono_ms, wall_ms)
    except struct.error as error:
        raise LogError(f"A number of record {stream} {seq} is out of range: {error}.") from error
    return hashlib.sha256(_LINK + previous + place + commitment).digest()


def link_of(previous: bytes, record: Record) -> bytes:
    """The hash ``record`` must have if it follows ``previous``; see ``link``."""
    return link(
        previous,
        record.stream,
        record.seq,
        record.boot,
        record.mono_ms,
        record.wall_ms,
        record.commitment,
    )


def check_links(previous: bytes, records: Iterable[Record]) -> bytes:
    """Check that each record follows the one before; return the last hash, or ``previous`` if there are none.

    ``previous`` is the hash before the first of ``records``, which are of one stream. A caller that knows at which
    seq they must start compares that itself.

    Raises:
        LogError: naming the first record that was changed, left out or put in.
    """
    before: Record | None = None
    for record in records:
        name = f"{record.stream} {record.seq}"
        if before is not None and (record.stream, record.seq) != (before.stream, before.seq + 1):
            raise LogError(
                f"Record {name} follows {before.stream} {before.seq}.",
                needed=f"Record {before.stream} {before.seq + 1} is needed there.",
            )
        if record.body is not None and commitment(record.salt, record.body) != record.commitment:
            raise LogError(f"The body or salt of record {name} is not what was recorded.")
        if record.body is not None and len(record.salt) != salt_bytes(record.stream, record.egress):
            raise LogError(f"Whether record {name} may leave the box is not what was recorded.")
        if link_of(previous, record) != record.hash:
            raise LogError(f"Record {name} does not follow from the one before it: one of them was changed.")
        previous, before = record.hash, record
    return previous
