"""Reading an OCI image layout in a folder: blobs by digest, and the files on top of it. Trusts nothing it reads.

A blob lies whole under its name, or in pieces ``<hex>.000``, ``<hex>.001`` and so on where the file system holds no
file of its size (FAT32). The pieces are only how it travels: joined, they must have the signed digest.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from bundles.format.digest import digest_of
from bundles.format.errors import DamagedFile, MissingFile
from bundles.format.manifest import MAX_BYTES, Descriptor

MAX_PIECES = 1000


def blob_path(digest: str) -> str:
    """Where a blob lies, relative to the layout."""
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def open_file(root: Path, name: str) -> BinaryIO:
    """Open a regular file of the layout.

    Raises:
        MissingFile: it is not there, or is a link or a folder.
        OSError: the medium cannot be read.
    """
    found = pieces(root, name)
    if not found:
        raise MissingFile(f"{name} is missing.", todo="Copy the whole bundle again, or use another stick.")
    if len(found) == 1 and found[0] == name:
        return (root / name).open("rb")
    return io.BufferedReader(_Joined([root / piece for piece in found]), 1 << 20)


def pieces(root: Path, name: str) -> list[str]:
    """The files that hold ``name``, relative to the layout: itself, or the pieces of a blob, or none."""
    if _regular(root / name):
        return [name]
    found: list[str] = []
    if name.startswith("blobs/"):
        while len(found) < MAX_PIECES and _regular(root / (piece := piece_name(name, len(found)))):
            found.append(piece)
    return found


def piece_name(name: str, number: int) -> str:
    """What piece ``number`` of a blob is called; the first is 0."""
    return f"{name}.{number:03}"


def _regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


class _Joined(io.RawIOBase):
    """Pieces read as one file."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._ends: list[int] = []
        for path in paths:
            self._ends.append((self._ends[-1] if self._ends else 0) + path.stat().st_size)
        self._paths = paths
        self._at = 0
        self._open: tuple[int, BinaryIO] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        number = next((n for n, end in enumerate(self._ends) if self._at < end), None)
        if number is None:
            return 0
        if self._open is None or self._open[0] != number:
            self._let_go()
            self._open = number, self._paths[number].open("rb", buffering=0)
        file = self._open[1]
        file.seek(self._at - (self._ends[number - 1] if number else 0))
        with memoryview(buffer) as view:
            count = file.readinto(view[: self._ends[number] - self._at]) or 0  # type: ignore[attr-defined]
        self._at += count
        return int(count)

    def close(self) -> None:
        self._let_go()
        super().close()

    def _let_go(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


def read_verified(root: Path, name: str, *, digest: str, size: int) -> bytes:
    """The bytes of a small file, if they are the signed ones.

    Raises:
        MissingFile: it is not there.
        DamagedFile: it has other bytes, or more than a manifest may have.
    """
    with open_file(root, name) as file:
        data = file.read(min(size, MAX_BYTES) + 1)
    if len(data) != size or digest_of(data) != digest:
        raise damaged(name)
    return data


def read_blob(root: Path, blob: Descriptor) -> bytes:
    """The bytes of a small blob; raises as ``read_verified`` does."""
    return read_verified(root, blob_path(blob.digest), digest=blob.digest, size=blob.size)


def damaged(name: str) -> DamagedFile:
    """The error for a file whose bytes are not the signed ones."""
    return DamagedFile(
        f"{name} is damaged or was changed.",
        needed="Its bytes are not those that were signed.",
        todo="Copy the bundle again, or use another stick.",
    )
