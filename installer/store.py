"""The blob store: every file of every release once, under its SHA-256. Sticks and cards lie, so all is read back.

HOME/
  blobs/sha256/<hex>      whole and read-only
  staging/<hex>.part      growing; kept when the stick is pulled, taken up again by the next run
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import BinaryIO

from bundles.format.delta import Delta, apply_delta, deltas_in, unusable
from bundles.format.digest import CHUNK, digest_of_file
from bundles.format.durable import sync_folder
from bundles.format.errors import BundleError, DamagedFile
from bundles.format.layout import blob_path, damaged, open_file, pieces
from bundles.format.manifest import Descriptor
from bundles.format.zstd_entropy import ZstdError
from installer.errors import DiskLies

SYNC_EVERY = 16
"""Chunks of 1 MiB between two flushes: a pulled plug costs at most that much of a copy."""
_INDEX_ROOM = 4
"""Times its size that a search index takes while it is made."""
Progress = Callable[[int], None]


class Store:
    """The blobs of one HOME."""

    def __init__(self, home: Path) -> None:
        self._blobs = home / "blobs" / "sha256"
        self._staging = home / "staging"
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._staging.mkdir(exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where a blob lies once it is whole."""
        return self._blobs / digest.removeprefix("sha256:")

    def missing(self, blobs: Iterable[Descriptor], progress: Progress) -> list[Descriptor]:
        """Those that are not here, or no longer whole. What is here is hashed again: disks rot, and this repairs."""
        wanted = {blob.digest: blob for blob in blobs}
        absent = []
        for blob in wanted.values():
            path = self.path(blob.digest)
            if not path.exists() or digest_of_file(path) != (blob.digest, blob.size):
                absent.append(blob)
            else:
                progress(blob.size)
        return absent

    def remaining(self, blob: Descriptor, stick: Path) -> int:
        """Bytes of this one that are still to be written, besides what an earlier run left in staging."""
        if any(delta.index for delta in self._deltas(blob, stick)):
            return _INDEX_ROOM * blob.size
        part = self._part(blob)
        return max(0, blob.size - part.stat().st_size) if part.exists() else blob.size

    def take(self, blob: Descriptor, stick: Path, progress: Progress, beside: Mapping[str, str] | None = None) -> None:
        """Copy one blob from the stick, going on where an earlier run stopped, or make it of what is here.

        Args:
            beside: of a search index, its docpack's files: path to digest.

        Raises:
            DamagedFile: the stick's bytes are not the signed ones, and nothing of them is kept; or cannot be read.
            MissingFile: the stick does not have it.
            DiskLies: this box's disk gives back other bytes than were written.
            OSError: stick or disk failed, or the disk is full; what was copied is kept.
        """
        part = self._part(blob)
        refused: BundleError | None = None
        # Nobody signs a delta, so a false one must not stand before a good one.
        for delta in self._deltas(blob, stick):
            try:
                self._build(stick, delta, part, blob, progress, beside or {})
                break
            except BundleError as error:
                part.unlink(missing_ok=True)
                refused = error
        else:
            if refused is not None:
                raise refused
            self._copy(stick, part, blob, progress)
        with part.open("rb") as out:
            # From the medium, not from memory: that is what will be there after a restart.
            os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            os.fchmod(out.fileno(), 0o444)
        if digest_of_file(part) != (blob.digest, blob.size):
            part.unlink()
            raise DiskLies(
                "This box's disk gave back other bytes than were written.",
                needed="A disk or card that keeps what it is given is needed.",
                todo="Replace the disk or card, then install again.",
            )
        part.rename(self.path(blob.digest))
        sync_folder(self._blobs)

    def _copy(self, stick: Path, part: Path, blob: Descriptor, progress: Progress) -> None:
        """Fill ``part`` from the stick's own file."""
        name = blob_path(blob.digest)
        if begun := part.exists():
            part.chmod(0o644)  # a run that ended just before the rename left it read-only
        with open_file(stick, name) as source, part.open("a+b") as out:
            whole = _copy(source, out, blob, name, progress)
            if not whole and begun:
                # What the earlier run left may be what is wrong, so the stick is blamed only without it.
                progress(-out.tell())
                out.truncate(0)
                whole = _copy(source, out, blob, name, progress)
        if not whole:
            part.unlink()
            raise damaged(name)

    def _deltas(self, blob: Descriptor, stick: Path) -> list[Delta]:
        """Ways to make the blob of what is here, when the stick does not have it whole."""
        if pieces(stick, blob_path(blob.digest)):
            return []
        return [
            delta
            for delta in deltas_in(stick)
            if delta.digest == blob.digest and (delta.base is None or self.path(delta.base).exists())
        ]

    def _build(
        self, stick: Path, delta: Delta, part: Path, blob: Descriptor, progress: Progress, beside: Mapping[str, str]
    ) -> None:
        """Fill ``part`` from a delta, and sync it. Nothing of an earlier run is used."""
        part.unlink(missing_ok=True)
        done = 0
        digest = hashlib.sha256()
        base = self.path(delta.base) if delta.base else None
        if delta.index and base is not None:
            self._build_index(stick, delta, base, part, blob, beside)
            if digest_of_file(part) != (blob.digest, blob.size):
                raise damaged(delta.path)
            progress(blob.size)
            return
        with part.open("wb") as out:

            def write(piece: bytearray) -> None:
                nonlocal done
                digest.update(piece)
                out.write(piece)
                out.flush()
                os.fdatasync(out.fileno())
                done += len(piece)
                progress(len(piece))

            try:
                apply_delta(stick, delta, base, blob.size, write)
                if f"sha256:{digest.hexdigest()}" != blob.digest:
                    raise damaged(delta.path)
            except BundleError:
                progress(-done)
                raise

    def _build_index(
        self, stick: Path, delta: Delta, base: Path, part: Path, blob: Descriptor, beside: Mapping[str, str]
    ) -> None:
        def file(path: str) -> Path | None:
            here = self.path(beside[path]) if path in beside else None
            return here if here is not None and here.exists() else None

        try:
            # A Python without SQLite installs all else.
            from bundles.format.index_delta import apply_index_delta

            with open_file(stick, delta.path) as source:
                apply_index_delta(source, base, file, blob.size, part)
        except (ZstdError, ImportError) as error:
            raise unusable(delta, error) from error

    def take_all(
        self,
        blobs: Iterable[Descriptor],
        stick: Path,
        progress: Progress,
        beside: Mapping[str, Mapping[str, str]] | None = None,
    ) -> list[BundleError]:
        """Copy what can be copied; what could not, so that another stick may fill in.

        Args:
            beside: of a file's digest, the other files of its component: path to digest.
        """
        refused: list[BundleError] = []
        # Search indexes last: they are made with the documents.
        for blob in sorted(blobs, key=lambda blob: any(delta.index for delta in self._deltas(blob, stick))):
            try:
                self.take(blob, stick, progress, (beside or {}).get(blob.digest))
            except DiskLies:
                raise
            except BundleError as error:
                refused.append(error)
        return refused

    def drop(self, blob: Descriptor) -> None:
        """Remove a blob that no release links to: it was refused, and would only fill the disk."""
        path = self.path(blob.digest)
        if path.stat().st_nlink == 1:
            path.unlink()

    def forget_parts(self, wanted: Collection[str] = ()) -> None:
        """Remove what earlier, abandoned runs left in staging; ``wanted`` digests are kept."""
        keep = {digest.removeprefix("sha256:") + ".part" for digest in wanted}
        for part in self._staging.iterdir():
            if part.name not in keep:
                part.unlink()

    def _part(self, blob: Descriptor) -> Path:
        return self._staging / f"{self.path(blob.digest).name}.part"


def _copy(source: BinaryIO, out: BinaryIO, blob: Descriptor, name: str, progress: Progress) -> bool:
    """Go on with ``out`` where it ends, and sync it; whether it then is the whole blob."""
    out.seek(0)
    digest, done = hashlib.sha256(), 0
    while chunk := out.read(CHUNK):
        digest.update(chunk)
        done += len(chunk)
    progress(done)
    try:
        source.seek(done)
        for number in count(1):
            chunk = _read(source, max(0, min(CHUNK, blob.size - done)), name)
            if not chunk:
                break
            digest.update(chunk)
            out.write(chunk)
            done += len(chunk)
            progress(len(chunk))
            if number % SYNC_EVERY == 0:
                out.flush()
                os.fdatasync(out.fileno())
        longer = _read(source, 1, name)
    finally:
        out.flush()
        os.fsync(out.fileno())
    return done == blob.size and not longer and f"sha256:{digest.hexdigest()}" == blob.digest


def _read(source: BinaryIO, size: int, name: str) -> bytes:
    try:
        return source.read(size)
    except OSError as error:
        raise DamagedFile(
            f"{name} cannot be read from the stick: {error.strerror}.",
            todo="Use another stick; what was copied is kept.",
        ) from error
