"""How a worker is run: its share of the machine, what it may keep, and the environment its libraries need."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.engine.contention import Policy, variables
from appliance.metrics import memory

MEGABYTE = 1 << 20
_LIBRARIES = 1 << 30
"""What Python, NumPy and llama.cpp map of files and for their threads, most of which takes no memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A LoRA of the release."""

    path: Path
    digest: str = ""
    """Of its file, ``sha256:<hex>``; empty when nobody knows it."""
    base: str = ""
    """Digest of the model it was made for; empty when nobody says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What a worker may use. The defaults keep everything in memory."""

    slots: int = 8
    """Requests answered at once."""
    gpu: str = "auto"
    """Layers for a graphics card: ``auto``, ``off`` or a number; see ``offload``."""
    memory_mb: int = 0
    """For what is being read and written; 0 is a quarter of the memory that this process may use."""
    cache_mb: int = 256
    """For what was read before: so much in memory and on disk; an eighth of the memory at most. 0 keeps nothing."""
    adapter_mb: int = 512
    """For loaded adapters, no more than a quarter of the memory; a single one may be greater."""
    folder: Path | None = None
    """Where states and measurements are kept over a restart; None keeps nothing."""
    digest: str = ""
    """Of the model's file; without it nothing is kept over a restart."""

    def to_message(self) -> dict[str, Any]:
        """For the worker's ``load``."""
        usable = memory().total
        return {
            "slots": self.slots,
            "gpu": self.gpu,
            "memory_bytes": self.memory_mb * MEGABYTE or usable // 4,
            "cache_bytes": min(self.cache_mb * MEGABYTE, usable // 8),
            "adapter_bytes": min(self.adapter_mb * MEGABYTE, usable // 4),
            "folder": str(self.folder.absolute()) if self.folder is not None else None,
            "digest": self.digest,
        }


def address_space() -> int:
    """Bytes a worker may map: a file that claims more than any file could need in this memory is refused there."""
    return 2 * memory().total + _LIBRARIES


def environment(waiting: Policy) -> dict[str, str]:
    """For a worker that starts now.

    Without GGML_NO_BACKTRACE a crashing ggml starts a debugger where one is installed. One heap for all threads is
    given back to the machine when it is free; one a thread is not.
    """
    return {**variables(waiting), "GGML_NO_BACKTRACE": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
