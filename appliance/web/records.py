"""The newest records of the box's log, for its administrator's pages."""

import json
from collections.abc import Mapping
from typing import Any

from appliance.log.chain import Record
from appliance.log.store import Log, Recorder


def latest(log: Recorder, stream: str, most: int) -> list[tuple[Record, Mapping[str, Any]]]:
    """The newest ``most`` records of a stream, oldest first, with their bodies; without those that were erased.

    Raises:
        LogError: the log cannot be read.
    """
    if not isinstance(log, Log):  # a box that is only measured keeps none
        return []
    last = log.heads().get(stream, (0, b""))[0]
    found = log.rows(stream, max(1, last - most + 1), most)
    return [(record, json.loads(record.body)) for record in found if record.body is not None]
