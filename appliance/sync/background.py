"""Looks after the link while the box serves: what waits goes as soon as a link is there, within what the site allows.

A thread that costs the link nothing while nothing is to be said. It never disturbs the box: what goes wrong is tried
again, after ever longer random pauses and at once when a link comes, and never given up.
"""

import logging
import random
import threading
import time
from datetime import datetime
from types import TracebackType
from typing import Self

from appliance.config import Home, SyncConfig
from appliance.errors import FieldpostError
from appliance.sync.budget import Budget
from appliance.sync.client import sync_over_http, sync_state
from appliance.sync.enrol import load_enrolment
from appliance.sync.links import CHANGED, STOPPED, LinkWatch
from appliance.sync.metered import metered
from appliance.sync.terms import OVERHEAD, Terms, is_quiet
from appliance.sync.update import NEVER, Record, update_over_http

ALIVE_S = 86_400.0
LONGEST_PAUSE_S = 3600.0
SETTLE_S = 3.0
"""A link that has just come is given so long, at most, to settle; boxes at one place do not call all at once."""
_FAREWELL_S = 1.0
_MB = 1_000_000
_log = logging.getLogger(__name__)


class Background:
    """Syncs as ``config`` says within its ``with`` block."""

    def __init__(self, home: Home, config: SyncConfig, record: Record, *, every_s: float | None = None) -> None:
        """``record`` writes into the box's log; ``every_s`` is for tests, which have less patience than a setting."""
        self._home, self._config, self._record = home, config, record
        self._every_s = float(config.every_s) if every_s is None else every_s
        self._alive_at: float | None = None
        self._told_at: float | None = None
        self._paid = False
        self._watch = LinkWatch()
        # A daemon: a request on a dead link must not keep the box from stopping. To be cut off is safe at any moment.
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def __enter__(self) -> Self:
        if self._every_s > 0:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.stop()
        if self._thread.is_alive():
            self._thread.join(_FAREWELL_S)
        if not self._thread.is_alive():
            self._watch.close()

    def _run(self) -> None:
        failures, next_try = 0, 0.0
        while (seen := self._watch.wait(self._until(next_try))) != STOPPED:
            if seen == CHANGED:
                failures, next_try = 0, time.monotonic() + random.uniform(0, SETTLE_S)  # noqa: S311
            if time.monotonic() < next_try:
                continue
            try:
                self._sync()
                failures = 0
            except FieldpostError as error:
                failures += 1
                _log.info("sync: %s", error)
            except Exception:  # the page must go on whatever happens here
                failures += 1
                _log.exception("sync failed")
            next_try = time.monotonic() + pause(self._every_s, failures)

    def _until(self, next_try: float) -> float:
        """Seconds to the next look: at a try that is due, else as set."""
        ahead = next_try - time.monotonic()
        return min(self._every_s, ahead) if ahead > 0 else self._every_s

    def _sync(self) -> None:
        if (enrolment := load_enrolment(self._home)) and enrolment.url:
            self._say_alive()
            self._send()
            terms = self._terms()
            manner = NEVER if terms.quiet or self._paid else self._config.updates
            daily = self._config.down_mb * _MB
            update_over_http(self._home, self._record, manner=manner, daily=daily, between=self._send)
            self._send()  # what came of it

    def _send(self) -> None:
        enrolment = load_enrolment(self._home)
        if enrolment and (enrolment.secret or sync_state(self._home).pending):
            terms = self._terms()
            sync_over_http(self._home, patience_s=0, allow=terms.allow, spend=self._spend)
            self._tell_time()

    def _tell_time(self) -> None:
        """Once a day, write down what time the hub had: from it the hub dates what a box with a wrong clock records."""
        last = sync_state(self._home).last_contact
        if last and (self._told_at is None or time.monotonic() - self._told_at > ALIVE_S):
            hub_time_ms = round(datetime.fromisoformat(last).timestamp() * 1000)
            self._record("audit", {"v": 1, "event": "contact", "hub_time_ms": hub_time_ms})
            self._told_at = time.monotonic()

    def _terms(self) -> Terms:
        self._paid = metered()
        return Terms(quiet=is_quiet(self._config.quiet, datetime.now()), left=self._budget().left())

    def _spend(self, size: int) -> None:
        self._budget().spend(size + OVERHEAD)

    def _budget(self) -> Budget:
        name, daily = ("metered", self._config.metered_mb) if self._paid else ("link", self._config.up_mb)
        return Budget(self._home.data / f"spent-{name}.json", daily * _MB)

    def _say_alive(self) -> None:
        """Once a day, so that the hub hears of a box that nobody asks, and the box of what the hub wants."""
        if self._alive_at is None or time.monotonic() - self._alive_at > ALIVE_S:
            self._record("metric", {"v": 1, "event": "alive"})
            self._alive_at = time.monotonic()


def pause(every_s: float, failures: int) -> float:
    """Seconds to the next try: none after a success; else anything up to twice ``every_s``, four times ... an hour."""
    if not failures:
        return 0.0
    longest = max(every_s, min(LONGEST_PAUSE_S, every_s * 2.0 ** min(failures, 20)))
    return random.uniform(0, longest)  # noqa: S311
