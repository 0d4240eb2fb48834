"""Two engines as one: a server on the site's network while it answers, the box's own model whenever it does not."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from appliance.engine.protocol import Engine, GenerationRequest, Message, Piece
from appliance.engine.remote import RemoteEngine, UpstreamAway
from appliance.errors import EngineError

REST_S = 30.0
"""Seconds for which a server that was away is not asked again: nobody waits for it twice in a row."""


class FallbackEngine:
    """Asks the server first. Prompts are measured by the local model, so that they fit whoever answers."""

    def __init__(self, server: RemoteEngine, local: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._local = local
        self._clock = clock
        self._lock = threading.Lock()
        self._away_until = float("-inf")

    @property
    def away(self) -> bool:
        """Whether the server did not answer when it was last asked, half a minute ago at most."""
        return self._resting()

    @property
    def server(self) -> RemoteEngine:
        """The one that is asked first."""
        return self._server

    @property
    def context(self) -> int:
        """The local model's."""
        return self._local.context

    @property
    def model(self) -> str:
        """The one that would be asked now; which one did answer stands in ``Usage.model``."""
        return self._local.model if self._resting() else self._server.model

    def generate(self, request: GenerationRequest) -> Iterator[Piece]:
        """See ``Engine.generate``. What the server cannot do, or not now, the local model does."""
        if not self._resting():
            began = self._clock()
            pieces = self._server.generate(request)
            try:
                first = next(pieces)
            except UpstreamAway:
                with self._lock:
                    self._away_until = self._clock() + REST_S
            except EngineError:
                pass  # it refuses this one: an adapter it lacks, a limit it does not know
            else:
                yield first
                yield from pieces
                return
            if request.deadline_s is not None:  # what was spent on the server is gone
                request = replace(request, deadline_s=max(0.0, request.deadline_s - (self._clock() - began)))
        yield from self._local.generate(request)

    def cancel(self, request_id: str) -> None:
        """See ``Engine.cancel``."""
        self._server.cancel(request_id)
        self._local.cancel(request_id)

    def position(self, request_id: str) -> int | None:
        """See ``Engine.position``."""
        at_server = self._server.position(request_id)
        return self._local.position(request_id) if at_server is None else at_server

    def count(self, messages: Sequence[Message]) -> int:
        """See ``Engine.count``."""
        return self._local.count(messages)

    def _resting(self) -> bool:
        with self._lock:
            return self._clock() < self._away_until
