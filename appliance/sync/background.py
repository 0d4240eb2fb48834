"""Looks for the hub while the box serves: a thread that syncs whenever there is something to say and somebody to hear.

It never disturbs the box: what goes wrong is tried again later, after ever longer random pauses.
"""

import logging
import random
import threading
from types import TracebackType
from typing import Self

from appliance.config import Home
from appliance.errors import FieldpostError
from appliance.sync.client import sync_over_http, sync_state
from appliance.sync.enrol import load_enrolment

LONGEST_PAUSE_S = 600.0
_FAREWELL_S = 1.0
_log = logging.getLogger(__name__)


class Background:
    """Syncs every ``every_s`` seconds within its ``with`` block; 0 means never."""

    def __init__(self, home: Home, *, every_s: float) -> None:
        self._home = home
        self._every_s = every_s
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
        enrolment = load_enrolment(self._home)
        if enrolment is None or not enrolment.url:
            return
        if enrolment.secret or sync_state(self._home).pending:
            sync_over_http(self._home, patience_s=0)
