"""How a worker is run: its share of the machine, what it may keep, and the environment its libraries need."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEGABYTE = 1 << 20
_CONTENDED = 5.0
"""Percent of the last ten seconds in which something waited for a processor, from which on threads had better sleep."""


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
    memory_mb: int = 0
    """For what is being read and written; 0 is a quarter of the machine's memory."""
    cache_mb: int = 256
    """For what was read before: so much in memory, and so much on disk. 0 keeps nothing."""
    adapter_mb: int = 512
    """For loaded adapters; a single one may be greater."""
    folder: Path | None = None
    """Where states and measurements are kept over a restart; None keeps nothing."""
    digest: str = ""
    """Of the model's file; without it nothing is kept over a restart."""

    def to_message(self) -> dict[str, Any]:
        """For the worker's ``load``."""
        return {
            "slots": self.slots,
            "memory_bytes": self.memory_mb * MEGABYTE or _physical() // 4,
            "cache_bytes": self.cache_mb * MEGABYTE,
            "adapter_bytes": self.adapter_mb * MEGABYTE,
            "folder": str(self.folder.absolute()) if self.folder is not None else None,
            "digest": self.digest,
        }


def address_space() -> int:
    """Bytes a worker may map: a file that claims more than any file on this machine could need is refused there."""
    return 2 * _physical()


def _physical() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def environment() -> dict[str, str]:
    """For a worker that starts now.

    OpenMP reads its variables when it is loaded. On a quiet machine threads that spin for a moment while they wait
    give half as many tokens again; beside one busy neighbour they bring 44 tokens a second down to 1. Without
    GGML_NO_BACKTRACE a crashing ggml starts a debugger where one is installed. One heap for all threads is given back
    to the machine when it is free; one a thread is not.
    """
    waiting = {"OMP_WAIT_POLICY": "passive"} if _contended() else {"GOMP_SPINCOUNT": "2000"}
    return {**waiting, "GGML_NO_BACKTRACE": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


def _contended(pressure: Path = Path("/proc/pressure/cpu")) -> bool:
    """Whether others want the processors too; True when the kernel does not tell."""
    try:
        some = pressure.read_text().split()
        return float(some[1].removeprefix("avg10=")) > _CONTENDED
    except (OSError, IndexError, ValueError):
        return True
