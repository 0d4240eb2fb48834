"""Looks for the hub while the box serves: a thread that syncs whenever there is something to say and somebody to hear.

It never disturbs the box: what goes wrong is tried again later, after ever longer random pauses.
"""

import logging
import random
import threading
import time
from types import TracebackType
from typing import Self

from appliance.config import Home, SyncConfig
from appliance.errors import FieldpostError
from appliance.sync.client import sync_over_http, sync_state
from appliance.sync.enrol import load_enrolment
from appliance.sync.update import Record, update_over_http

ALIVE_S = 86_400.0
LONGEST_PAUSE_S = 600.0
_FAREWELL_S = 1.0
_log = logging.getLogger(__name__)


class Background:
    """Syncs as ``config`` says within its ``with`` block."""

    def __init__(self, home: Home, config: SyncConfig, record: Record, *, every_s: float | None = None) -> None:
        """``record`` writes into the box's log; ``every_s`` is for tests, which have less patience than a setting."""
        self._home, self._config, self._record = home, config, record
        self._every_s = float(config.every_s) if every_s is None else every_s
        self._alive_at: float | None = None
        self._over = threading.Event()
        # A daemon: a request on a dead link must not keep the box from stopping. To be cut off is safe at any moment.
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def __enter__(self) -> Self:
        if self._every_s > 0:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_FAREWELL_S)

    def _run(self) -> None:
        failures = 0
        while not self._over.wait(self._pause(failures)):
            try:
                self._sync()
                failures = 0
            except FieldpostError as error:
                failures += 1
                _log.info("sync: %s", error)
            except Exception:  # the page must go on whatever happens here
                failures += 1
                _log.exception("sync failed")

    def _pause(self, failures: int) -> float:
        """Seconds to the next look: as set, and after failures anything up to twice that, four times ... 10 minutes."""
        if not failures:
            return self._every_s
        longest = max(self._every_s, min(LONGEST_PAUSE_S, self._every_s * 2.0 ** min(failures, 20)))
        return random.uniform(0, longest)  # noqa: S311

    def _sync(self) -> None:
        if (enrolment := load_enrolment(self._home)) and enrolment.url:
            self._say_alive()
            self._send()
            daily = self._config.down_mb * 1_000_000
            update_over_http(self._home, self._record, manner=self._config.updates, daily=daily, between=self._send)
            self._send()  # what came of it

    def _send(self) -> None:
        enrolment = load_enrolment(self._home)
        if enrolment and (enrolment.secret or sync_state(self._home).pending):
            sync_over_http(self._home, patience_s=0)

    def _say_alive(self) -> None:
        """Once a day, so that the hub hears of a box that nobody asks, and the box of what the hub wants."""
        if self._alive_at is None or time.monotonic() - self._alive_at > ALIVE_S:
            self._record("metric", {"v": 1, "event": "alive"})
            self._alive_at = time.monotonic()
