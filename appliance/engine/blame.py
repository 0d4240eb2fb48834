"""Which adapters may be asked for: those made for this model, and not those that brought its process down."""

from collections.abc import Mapping

from appliance.engine.settings import Adapter
from appliance.errors import AdapterError, EngineError

MOST_KILLS = 2
"""Times that loading an adapter may end in the process being killed, most likely for want of memory, which may come
back; a crash is enough to know."""


class Blame:
    """What is known against each adapter. Guarded by its owner's lock."""

    def __init__(self, adapters: Mapping[str, Adapter], *, digest: str) -> None:
        """Nothing yet but whom each was made for.

        Args:
            digest: of the model; empty when nobody knows it.
        """
        self._adapters = adapters
        self._digest = digest
        self._crashed: dict[str, str] = {}
        self._killed: dict[str, int] = {}

    def check(self, name: str | None) -> None:
        """Refuse an adapter that cannot be used.

        Raises:
            AdapterError: it belongs to another model, or is damaged.
            EngineError: it needs more memory than there is.
        """
        if name is None:
            return
        base = self._adapters[name].base
        if base and self._digest and base != self._digest:
            raise AdapterError(
                f"The adapter {name} was made for another model ({base[:19]}…).",
                needed=f"One made for this model is needed ({self._digest[:19]}…).",
                todo="Ask without it, or install the bundle it came with.",
            )
        if name in self._crashed:
            raise AdapterError(
                f"The adapter {name} is damaged: the model's process {self._crashed[name]} when it was loaded.",
                needed="A whole adapter is needed.",
                todo="Ask without it, and install the bundle again.",
            )
        if self._killed.get(name, 0) >= MOST_KILLS:
            raise EngineError(
                f"The model's process was killed {MOST_KILLS} times when the adapter {name} was loaded.",
                needed="More memory is needed.",
                todo="Ask without it; or close other programs, and start fieldpost again.",
            )

    def note(self, name: str, ending: str) -> type[EngineError]:
        """Loading it ended the process; which error that is to whoever asked for it.

        Args:
            ending: how the process ended, as ``Child.close`` tells it.
        """
        if "SIGKILL" in ending:
            self._killed[name] = self._killed.get(name, 0) + 1
            return EngineError
        self._crashed[name] = ending
        return AdapterError
