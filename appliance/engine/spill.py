"""Shareable states on disk, within a byte budget, so that a restarted box need not read its instructions again.

One file a state, named after everything it depends on. Nothing is trusted that was cut short by a pulled plug: each
file begins with its own checksum. Writing is left to a thread, since an SD card may take a second.
"""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from appliance.engine.prefix import Saved, Stored

_MAGIC = b"FPKV0001"
_DIGEST = 32
_SUFFIX = ".state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """All that a state depends on, besides its tokens."""

    model: str
    """Digest of the model's file."""
    runtime: str
    """What computed it: version, processor features, type of keys and values."""
    adapters: Mapping[str, str]
    """Digest of each adapter's file; states through others are not kept."""

    def of(self, adapter: str | None) -> str | None:
        if adapter is not None and not self.adapters.get(adapter):
            return None
        return json.dumps([self.model, self.runtime, self.adapters[adapter] if adapter is not None else ""])


class DiskSpill:
    """A folder of states."""

    def __init__(self, folder: Path, identity: Identity, budget: int) -> None:
        """Look at what is there; states of other models go when the room is needed.

        Args:
            folder: of this box alone, mode 0700; made when missing.
            budget: bytes that all files together may take.
        """
        self._folder = folder
        self._identity = identity
        self._budget = budget
        self._stored: dict[Path, Stored] = {}
        self._queue: SimpleQueue[tuple[Path, bytes, Saved] | threading.Event] = SimpleQueue()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._look()
        threading.Thread(target=self._write_on, name="spill", daemon=True).start()

    def stored(self) -> Sequence[Stored]:
        return list(self._stored.values())

    def keep(self, saved: Saved) -> None:
        """Write a state, soon. One that is there already only becomes the most recently used."""
        about = self._identity.of(saved.adapter)
        if about is None or saved.size > self._budget:
            return
        path = self._path(about, saved.tokens)
        if path in self._stored:
            self._used(path)
        else:
            self._queue.put((path, about.encode(), saved))

    def flush(self) -> None:
        """Wait until all that was to be kept is written."""
        done = threading.Event()
        self._queue.put(done)
        done.wait()

    def _path(self, about: str, tokens: NDArray[np.int32]) -> Path:
        name = hashlib.sha256(about.encode() + b"\0" + tokens.tobytes()).hexdigest()
        return self._folder / (name + _SUFFIX)

    def _look(self) -> None:
        known = {self._identity.of(adapter): adapter for adapter in (None, *self._identity.adapters)}
        for path in self._folder.glob(f"*{_SUFFIX}"):
            head = _head(path)
            if head is not None and head[0] in known:
                self._add(path, known[head[0]], head[1])
        for left in self._folder.glob("*.part"):
            left.unlink(missing_ok=True)

    def _add(self, path: Path, adapter: str | None, tokens: NDArray[np.int32]) -> None:
        self._stored[path] = Stored(adapter=adapter, tokens=tokens, load=lambda: self._load(path))

    def _load(self, path: Path) -> bytes | None:
        state = _state(path)
        if state is None:
            self._stored.pop(path, None)
            path.unlink(missing_ok=True)
        else:
            self._used(path)
        return state

    def _used(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            os.utime(path)

    def _write_on(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            path, about, saved = item
            if path in self._stored:
                continue
            with contextlib.suppress(OSError):  # a full disk costs the next start some seconds, and nothing else
                _write(path, about, saved)
                self._add(path, saved.adapter, saved.tokens)
                self._make_room()

    def _make_room(self) -> None:
        files = sorted(self._folder.glob(f"*{_SUFFIX}"), key=lambda p: p.stat().st_mtime)
        total = sum(path.stat().st_size for path in files)
        for path in files:
            if total <= self._budget:
                break
            total -= path.stat().st_size
            self._stored.pop(path, None)
            path.unlink(missing_ok=True)


def _write(path: Path, about: bytes, saved: Saved) -> None:
    head = len(about).to_bytes(4, "little") + about
    body = head + saved.tokens.size.to_bytes(4, "little") + saved.tokens.astype("<i4").tobytes() + saved.state
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(_MAGIC + hashlib.blake2b(body, digest_size=_DIGEST).digest())
        file.write(body)
    part.replace(path)


def _head(path: Path) -> tuple[str, NDArray[np.int32]] | None:
    """What a file says it depends on, and its tokens; not yet proved by the checksum."""
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC or len(file.read(_DIGEST)) != _DIGEST:
                return None
            about = file.read(min(int.from_bytes(file.read(4), "little"), 65536)).decode()
            count = int.from_bytes(file.read(4), "little")
            raw = file.read(4 * min(count, 1 << 20))
    except (OSError, UnicodeDecodeError):
        return None
    if len(raw) != 4 * count:
        return None
    return about, np.frombuffer(raw, "<i4").astype(np.int32)


def _state(path: Path) -> bytes | None:
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + _DIGEST
    body = memoryview(raw)[start:]
    if raw[: len(_MAGIC)] != _MAGIC or hashlib.blake2b(body, digest_size=_DIGEST).digest() != raw[len(_MAGIC) : start]:
        return None
    about = int.from_bytes(body[:4], "little")
    count = int.from_bytes(body[4 + about : 8 + about], "little")
    return bytes(body[8 + about + 4 * count :])
