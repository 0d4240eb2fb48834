"""Looks at the machine every few seconds and lets the engine live accordingly. What follows is decided in ``power``."""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from appliance.config import EngineConfig, PowerConfig
from appliance.engine.tempered import TemperedEngine
from appliance.errors import Paused
from appliance.metrics import Vitals
from appliance.power import Mode, Standing, measure, stand

LOOK_EVERY_S = 5.0
_CAUSES = {
    "battery": "its battery is nearly empty",
    "heat": "its processor is too hot",
    "memory": "its memory is full",
    "": "it must spare itself",
}
_log = logging.getLogger(__name__)


class Caretaker:
    """Holds the box to its mode within its ``with`` block. Any thread may ask for the mode."""

    def __init__(
        self,
        engine: TemperedEngine | None,
        *,
        power: PowerConfig,
        limits: EngineConfig,
        look: Callable[[], Vitals],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look once, so that the first question meets the right mode.

        Args:
            engine: the box's own model; None where there is none to spare.
        """
        self._engine = engine
        self._power = power
        self._limits = limits
        self._look = look
        self._clock = clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="caretaker", daemon=True)
        self.standing = Standing()
        """The mode that holds now."""
        self.seen = Vitals()
        """What was seen last."""
        self.tend()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Refuse a question that the box cannot bear now.

        Raises:
            Paused: with the reason in words.
        """
        standing = self.standing
        if standing.mode is Mode.PAUSE:
            raise Paused(f"The box takes no questions now: {_CAUSES[standing.cause]}.", todo="Ask again later.")

    def tend(self) -> None:
        """Look, and do what follows from it; ``LOOK_EVERY_S`` apart while the box is open."""
        self.seen = self._look()
        now = stand(self.standing, self.seen, self._power, self._clock())
        changed, self.standing = now.mode != self.standing.mode, now
        if changed:
            _log.warning("mode %s%s", now.mode.name.lower(), f": {_CAUSES[now.cause]}" if now.cause else "")
        if self._engine is None:
            return
        if changed:
            told = measure(now.mode, slots=self._limits.slots, max_tokens=self._limits.max_tokens)
            self._engine.hold(slots=told.slots, max_tokens=told.max_tokens, answers=told.answers)
        self._engine.settle(self._power.unload_after_s)

    def _run(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            try:
                self.tend()
                if self._engine is not None:
                    self._engine.main.adapt()
            except Exception:  # the page must go on whatever a sensor does
                _log.exception("the machine could not be looked at")
