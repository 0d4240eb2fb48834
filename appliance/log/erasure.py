"""The request to forget records: what the box writes into its audit stream, and what the hub reads there.

It names places, never contents. Values in, values out; taking the bodies away is left to whoever keeps them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from appliance.log import chain
from appliance.log.chain import STREAMS, Record

EVENT = "erased"
_AT_ONCE = 5000
"""Places that one request names, so that it fits a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Records of one stream whose bodies are to go; their commitments stay."""

    stream: str
    seqs: tuple[int, ...]


def requests(stream: str, seqs: Sequence[int]) -> Iterator[bytes]:
    """Bodies of audit records that name ``seqs``."""
    for start in range(0, len(seqs), _AT_ONCE):
        yield chain.canonical({"v": 1, "event": EVENT, "stream": stream, "seqs": seqs[start : start + _AT_ONCE]})


def read_request(record: Record) -> Erasure | None:
    """The erasure that a record asks for; None when it is any other record, or its words make no sense."""
    if record.stream != "audit" or record.body is None:
        return None
    try:
        raw = json.loads(record.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or raw.get("event") != EVENT or raw.get("stream") not in STREAMS:
        return None
    seqs = raw.get("seqs")
    if not isinstance(seqs, list) or not all(type(seq) is int and seq > 0 for seq in seqs):
        return None
    return Erasure(stream=raw["stream"], seqs=tuple(seqs))
