"""A sync batch: some records of one stream, sealed for the hub and signed by the box. Bytes in, values out; no I/O.

    header      48 bytes: "FPSB", version, codec, stream (1 byte each), 0, epoch (4), first (8), n (4), box (24, padded)
    content     age( zstd( lines ) )
    signature   64 bytes: Ed25519 by the box over "fieldpost-batch-v1" 0x00 || SHA256(header || content)

The first line repeats the header and adds the hash before the first record and that of the last. Each further line is
``[boot,mono,wall,"salt",body]`` as differences to the line before, or ``[boot,mono,wall,"commitment"]`` where the body
stays on the box. The body's bytes are the very bytes that were hashed.

The checks when opening, in this order; nothing is parsed or decrypted before the signature holds:

    1 size      2 header   3 the box is known   4 signature   5 decrypt   6 decompress, bounded
    7 the header again, inside                  8 every line  9 the chain from end to end
"""

import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyrage
import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.errors import BatchRefused, LogError
from appliance.log import chain
from appliance.log.chain import STREAMS, Record
from appliance.sync.wire import BOX_NAME, b64, unb64

MAX_BATCH = 512 * 1024
"""Bytes a batch may have: a record of the largest size that does not compress fits."""
MAX_LINES = 4 * 1024 * 1024
"""Bytes its lines may have."""
MAX_RECORDS = 1000

_MAGIC = b"FPSB"
_HEADER = struct.Struct(">4sBBBxIQI24s")
_SIGNATURE_BYTES = 64
_DOMAIN = b"fieldpost-batch-v1\0"
_VERSION = 1
_AGE_ZSTD = 1
_LEVEL = 19
_MAX_SEQ = 1 << 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands on the outside."""

    box: str
    epoch: int
    stream: str
    first: int
    n: int

    @property
    def last(self) -> int:
        return self.first + self.n - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """An opened batch whose chain holds from ``previous`` to its last record."""

    header: Header
    previous: bytes
    """The hash before the first record."""
    records: tuple[Record, ...]


def name(data: bytes) -> str:
    """A batch is named by its SHA-256, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def seal(
    records: Sequence[Record],
    *,
    box: str,
    epoch: int,
    previous: bytes,
    key: Ed25519PrivateKey,
    recipients: Sequence[str],
) -> bytes:
    """Compress, encrypt and sign records of one stream that follow each other.

    Args:
        previous: the hash before the first record.
        recipients: age recipients, each of whom can open the batch alone.

    Raises:
        BatchRefused: a recipient is none.
    """
    header = Header(box=box, epoch=epoch, stream=records[0].stream, first=records[0].seq, n=len(records))
    lines = [json.dumps(_inside(header, previous, records[-1].hash), sort_keys=True, separators=(",", ":")).encode()]
    boot = mono = wall = 0
    for record in records:
        times = b"%d,%d,%d" % (record.boot - boot, record.mono_ms - mono, record.wall_ms - wall)
        boot, mono, wall = record.boot, record.mono_ms, record.wall_ms
        if record.egress and record.body is not None:
            lines.append(b'[%s,"%s",%s]' % (times, b64(record.salt).encode(), record.body))
        else:
            lines.append(b'[%s,"%s"]' % (times, b64(record.commitment).encode()))
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False).compress(b"\n".join(lines))
    try:
        content = pyrage.encrypt(packed, [pyrage.x25519.Recipient.from_str(text) for text in recipients])
    except pyrage.RecipientError as error:
        raise BatchRefused("The hub's age recipient is not one.", todo="Enrol again with a new token.") from error
    unsigned = _pack(header) + content
    return bytes(unsigned + key.sign(_to_sign(unsigned)))


def read_header(data: bytes) -> Header:
    """What the outside of a batch claims; believe it only after ``open_batch``.

    Raises:
        BatchRefused: it is no batch.
    """
    if not _HEADER.size + _SIGNATURE_BYTES < len(data) <= MAX_BATCH:
        raise BatchRefused(
            f"A batch of {len(data)} bytes.", needed=f"More than {_HEADER.size + 64}, up to {MAX_BATCH}."
        )
    magic, version, codec, stream, epoch, first, n, box = _HEADER.unpack_from(data)
    if (magic, version, codec) != (_MAGIC, _VERSION, _AGE_ZSTD) or stream >= len(STREAMS):
        raise BatchRefused("This file is no batch that this version can read.", todo="Is the box newer than the hub?")
    name = box.rstrip(b"\0").decode("ascii", "replace")
    if not BOX_NAME.fullmatch(name) or epoch < 1 or not 1 <= n <= MAX_RECORDS or not 1 <= first <= _MAX_SEQ:
        raise BatchRefused("The header of a batch makes no sense.")
    header = Header(box=name, epoch=epoch, stream=STREAMS[stream], first=first, n=n)
    if _pack(header) != data[: _HEADER.size]:
        raise BatchRefused("The header of a batch has more than one form.")
    return header


def open_batch(data: bytes, *, key_of: Callable[[str], bytes | None], identity: str) -> Batch:
    """Check everything about a batch and open it.

    Args:
        key_of: a box's Ed25519 public key by its name; None for a box that is not enrolled.
        identity: the reader's age secret key.

    Raises:
        BatchRefused: any check failed.
    """
    header = read_header(data)
    public = key_of(header.box)
    if public is None:
        raise BatchRefused(f"The box {header.box} is not enrolled here.", todo="Enrol it: fieldpost-hub enrol.")
    unsigned, signature = data[:-_SIGNATURE_BYTES], data[-_SIGNATURE_BYTES:]
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _to_sign(unsigned))
    except InvalidSignature as error:
        raise BatchRefused(f"A batch is not signed by {header.box}.", needed="Not one byte may differ.") from error
    try:
        packed = pyrage.decrypt(unsigned[_HEADER.size :], [pyrage.x25519.Identity.from_str(identity)])
    except (pyrage.DecryptError, pyrage.IdentityError) as error:
        raise BatchRefused("A batch is sealed for another hub.", todo="Bring it to the hub it belongs to.") from error
    try:
        return _parse(header, _decompress(packed))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, LogError, zstandard.ZstdError) as error:
        raise BatchRefused(f"A signed batch of {header.box} cannot be read: {error}.") from error


def _decompress(packed: bytes) -> bytes:
    # Read bounded: decompress(max_output_size=) believes the size that the frame itself claims.
    with zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024).stream_reader(packed) as reader:
        lines = reader.read(MAX_LINES + 1)
    if len(lines) > MAX_LINES:
        raise ValueError(f"its lines have more than {MAX_LINES} bytes")
    return lines


def _parse(header: Header, lines: bytes) -> Batch:
    top, *rest = lines.split(b"\n")
    inside = json.loads(top)
    previous, head = unb64(inside["previous"], 32), unb64(inside["head"], 32)
    if inside != _inside(header, previous, head):
        raise ValueError("the header inside is not the one outside")
    if len(rest) != header.n:
        raise ValueError(f"{len(rest)} records, the header says {header.n}")
    records = []
    boot = mono = wall = 0
    hash_before = previous
    for seq, line in enumerate(rest, start=header.first):
        if line[:1] != b"[" or line[-1:] != b"]":
            raise ValueError(f"record {seq} is no list")
        parts = line[1:-1].split(b",", 4)
        boot, mono, wall = boot + int(parts[0]), mono + int(parts[1]), wall + int(parts[2])
        if boot >= _MAX_SEQ:
            raise ValueError(f"record {seq} was made at start {boot}")
        blob = unb64(json.loads(parts[3]))
        body, salt, commitment = None, b"", blob
        if len(parts) == 5:
            body, salt, commitment = parts[4], blob, chain.commitment(blob, parts[4])
            # Decoded here: json would guess other encodings, and what keeps it knows UTF-8 only.
            if len(body) > chain.MAX_BODY or not isinstance(json.loads(body.decode("utf-8")), dict):
                raise ValueError(f"the body of record {seq} is no JSON object of at most {chain.MAX_BODY} bytes")
            if len(salt) != chain.salt_bytes(header.stream, egress=True):
                raise ValueError(f"the body of record {seq} was not to leave its box")
        hash_before = chain.link(hash_before, header.stream, seq, boot, mono, wall, commitment)
        records.append(
            Record(
                stream=header.stream,
                seq=seq,
                boot=boot,
                mono_ms=mono,
                wall_ms=wall,
                egress=body is not None,
                salt=salt,
                body=body,
                commitment=commitment,
                hash=hash_before,
            )
        )
    if hash_before != head:
        raise ValueError("its records do not give the head it names")
    return Batch(header=header, previous=previous, records=tuple(records))


def _inside(header: Header, previous: bytes, head: bytes) -> dict[str, object]:
    return {
        "v": _VERSION,
        "box": header.box,
        "epoch": header.epoch,
        "stream": header.stream,
        "first": header.first,
        "n": header.n,
        "previous": b64(previous),
        "head": b64(head),
    }


def _pack(header: Header) -> bytes:
    return _HEADER.pack(
        _MAGIC,
        _VERSION,
        _AGE_ZSTD,
        chain.stream_number(header.stream),
        header.epoch,
        header.first,
        header.n,
        header.box.encode("ascii"),
    )


def _to_sign(unsigned: bytes) -> bytes:
    return _DOMAIN + hashlib.sha256(unsigned).digest()
