"""Deltas: how a file follows from an older one, or from nothing. Hints that nobody signs: the result must hash right.

    deltas/<new>.<old>          the blob <new> from the blob <old>; both are the hex of a SHA-256
    deltas/<new>                the blob <new>, packed alone
    deltas/<new>.<old>.index    a search index, from its rows: see ``bundles.format.index_delta``

One of the first two is Zstandard frames, one for each SEGMENT of the new file, made with ``--patch-from`` and that
stretch of the old file which begins and ends MARGIN bytes beyond the segment's own. So files of any size need little
memory, and an edit may shift what follows by MARGIN. They are read by ``bundles.format.zstd`` and made by
``bundles.delta``.
"""

import mmap
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bundles.format.errors import DamagedFile
from bundles.format.layout import open_file
from bundles.format.zstd import decode_frame
from bundles.format.zstd_entropy import ZstdError

SEGMENT = 32 << 20
MARGIN = 48 << 20
UPDATE_FILE = "update.json"
"""On top of a bundle of which only what changed is there; for people and tools, nobody signs it."""
_NAME = re.compile(r"([0-9a-f]{64})(?:\.([0-9a-f]{64})(\.index)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A delta by its name."""

    path: str
    """Relative to the bundle."""
    digest: str
    """Of the blob that it gives."""
    base: str | None
    """Digest of the blob that it starts from."""
    index: bool = False
    """Whether it is rows of a search index."""


def delta_path(digest: str, base: str | None, *, index: bool = False) -> str:
    """Where a delta lies, relative to the bundle."""
    ending = f".{base.removeprefix('sha256:')}" if base else ""
    return f"deltas/{digest.removeprefix('sha256:')}{ending}{'.index' if index else ''}"


def deltas_in(root: Path) -> Iterator[Delta]:
    """The deltas of a bundle, sorted by name; whatever else lies in that folder is not ours."""
    folder = root / "deltas"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if found := _NAME.fullmatch(path.name):
            new, old, index = found.groups()
            base = f"sha256:{old}" if old else None
            yield Delta(path=f"deltas/{path.name}", digest=f"sha256:{new}", base=base, index=bool(index))


def stretch(number: int, old_size: int) -> tuple[int, int]:
    """From where to where in the old file segment ``number`` may look."""
    start = number * SEGMENT
    return min(old_size, max(0, start - MARGIN)), min(old_size, start + SEGMENT + MARGIN)


def apply_delta(root: Path, delta: Delta, base: Path | None, size: int, write: Callable[[bytearray], object]) -> None:
    """Give ``write`` the new file in pieces, never more than ``size`` bytes. The caller compares its digest.

    Raises:
        DamagedFile: the delta cannot be read as one.
        MissingFile: it is not there.
    """
    old = memoryview(_mapped(base))
    with open_file(root, delta.path) as source:
        # A disk that is full is not the delta's fault, so what ``write`` raises is the caller's.
        for piece in _pieces(source, delta, old, size):
            write(piece)


def _pieces(source: BinaryIO, delta: Delta, old: memoryview, size: int) -> Iterator[bytearray]:
    done, number = 0, 0
    try:
        while done < size:
            first, last = stretch(number, len(old))
            piece = decode_frame(source, old[first:last], min(SEGMENT, size - done))
            done, number = done + len(piece), number + 1
            if done < size and len(piece) != SEGMENT:
                raise ZstdError("it gives less than it should")
            yield piece
        if source.read(1):
            raise ZstdError("it goes on after its end")
    except (ZstdError, OSError) as error:
        raise unusable(delta, error) from error


def unusable(delta: Delta, why: Exception) -> DamagedFile:
    """The error for a delta that gives nothing."""
    return DamagedFile(f"{delta.path} cannot be used: {why}.", todo="Use a stick that holds the whole bundle.")


def _mapped(path: Path | None) -> mmap.mmap | bytes:
    """A file's bytes, read when they are looked at; let go with the last look at them."""
    if path is None or not path.stat().st_size:
        return b""  # which cannot be mapped
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
