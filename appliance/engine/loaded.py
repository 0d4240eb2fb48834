"""What a worker says of the model that it has loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the worker found in the model's file, and how it runs."""

    context: int
    """Tokens that prompt and answer may use together: the lesser of what was asked for and trained."""
    trained: int
    description: str
    """llama.cpp's name for it."""
    vocabulary: int
    slots: int
    """Requests that are answered at once, if memory suffices."""
    cells: int
    """Tokens that all of them may use together."""
    confined: tuple[str, ...]
    """What the process cannot do; see ``appliance.confine``."""
    offload: str
    """What a graphics card takes of it, in words."""

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Self:
        """From the worker's ``ready``."""
        return cls(
            context=int(message["context"]),
            trained=int(message["trained"]),
            description=str(message["description"])[:200],
            vocabulary=int(message["vocabulary"]),
            slots=int(message["slots"]),
            cells=int(message["cells"]),
            confined=tuple(map(str, message["confined"])),
            offload=str(message["offload"])[:300],
        )
