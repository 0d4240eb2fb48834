"""How many bytes a day may come over the box's link: counted in a small file, so that a restart forgets nothing."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from appliance.files import write_private

_DAY_S = 86_400


class Budget:
    """The bytes of one day. A day ends by the box's clock; one that jumps begins another at most."""

    def __init__(self, path: Path, daily: int, now: Callable[[], float] = time.time) -> None:
        """``daily`` 0 means no bound."""
        self._path, self._daily, self._now = path, daily, now

    def left(self) -> int:
        """Bytes that may still come today."""
        return max(0, self._daily - self._spent()) if self._daily else 1 << 62

    def spend(self, count: int) -> None:
        """Raises OSError: the disk."""
        write_private(self._path, json.dumps({"day": self._day(), "bytes": self._spent() + count}).encode())

    def _spent(self) -> int:
        try:
            raw = json.loads(self._path.read_bytes())
            return int(raw["bytes"]) if raw["day"] == self._day() else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _day(self) -> int:
        return int(self._now() // _DAY_S)
