"""What the hub has, for other programs: a record a line, with the interval in which it was made."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.hub.dating import Made, Stamp, epochs
from appliance.hub.storage import Kept, Storage
from appliance.log.chain import STREAMS

CONTACT = "contact"


def exported(
    storage: Storage, *, boxes: Sequence[str] = (), streams: Sequence[str] = STREAMS
) -> Iterator[dict[str, Any]]:
    """Every record of some boxes, or of all, and of some streams.

    ``made_from`` and ``made_until`` are by the hub's clock and hold whatever the box's says; ``made_from`` is None
    where nothing bounds it. ``box_clock`` is what the box said.
    """
    for known in storage.boxes():
        if boxes and known.box not in boxes:
            continue
        # All streams are needed to date one: a contact is told of in the audit stream.
        kept = storage.kept(known.box)
        made = epochs((record.epoch, _stamp(record)) for record in kept)
        for record in kept:
            if record.stream in streams:
                yield _line(known.site, record, made[record.epoch][record.stream, record.seq])


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> int:
    """Write a JSON object a line into a file that only its owner can read; how many. It is whole, or as it was before.

    Raises:
        OSError: the disk.
    """
    draft = path.with_name(f"{path.name}.tmp")
    draft.unlink(missing_ok=True)
    written = 0
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        for line in lines:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
            written += 1
    draft.rename(path)
    return written


def _stamp(record: Kept) -> Stamp:
    return Stamp(
        stream=record.stream,
        seq=record.seq,
        boot=record.boot,
        mono_ms=record.mono_ms,
        received_ms=record.received_ms,
        told_ms=_told(record),
    )


def _told(record: Kept) -> int | None:
    """A box may say what it likes, but not that the hub told it of a time after the record had arrived."""
    if record.stream != "audit" or record.body is None:
        return None
    raw = json.loads(record.body)
    told = raw.get("hub_time_ms") if raw.get("event") == CONTACT else None
    return told if type(told) is int and 0 < told <= record.received_ms else None


def _line(site: str, record: Kept, made: Made) -> dict[str, Any]:
    return {
        "box": record.box,
        "site": site,
        "epoch": record.epoch,
        "stream": record.stream,
        "seq": record.seq,
        "made_from": None if made.first_ms is None else _iso(made.first_ms),
        "made_until": _iso(made.last_ms),
        "received": _iso(record.received_ms),
        "box_clock": _iso(record.wall_ms),
        "body": None if record.body is None else json.loads(record.body),
    }


def _iso(ms: int) -> str | None:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return None  # a clock can say a year that no calendar has
