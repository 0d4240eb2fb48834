"""Adapters in memory: loaded when first asked for, the least recently used ones given back when room is needed."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from appliance.errors import AdapterError


class Adapters:
    """The release's adapters, of which some are loaded."""

    def __init__(
        self,
        paths: Mapping[str, Path],
        *,
        budget: int,
        load: Callable[[Path], Any],
        free: Callable[[Any], None],
    ) -> None:
        """Nothing is loaded yet.

        Args:
            budget: bytes that the files of the loaded ones may have together; one alone may have more.
            load: makes an adapter of a file; what it raises is passed on.
            free: gives an adapter's memory back.
        """
        self._paths = dict(paths)
        self._budget = budget
        self._load = load
        self._free = free
        self._loaded: OrderedDict[str, Any] = OrderedDict()

    def bytes(self, name: str) -> int:
        """Of the file; 0 when there is none, which loading it will find out."""
        try:
            return self._paths[name].stat().st_size
        except OSError:
            return 0

    def is_loaded(self, name: str) -> bool:
        return name in self._loaded

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names, least recently used first."""
        return tuple(self._loaded)

    def get(self, name: str, *, in_use: Collection[str | None] = ()) -> Any:
        """The adapter, loaded if need be; those that nobody uses make room for it.

        Raises:
            AdapterError: it does not fit the model, or is not there.
        """
        if name not in self._loaded:
            if name not in self._paths:
                raise AdapterError(f"There is no adapter {name!r}.")
            self._make_room(self.bytes(name), {*in_use, name})
            self._loaded[name] = self._load(self._paths[name])
        self._loaded.move_to_end(name)
        return self._loaded[name]

    def _make_room(self, wanted: int, in_use: Collection[str | None]) -> None:
        total = wanted + sum(map(self.bytes, self._loaded))
        for name in [name for name in self._loaded if name not in in_use]:
            if total <= self._budget:
                break
            total -= self.bytes(name)
            self._free(self._loaded.pop(name))
