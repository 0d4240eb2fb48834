"""The blob store: every file of every release once, under its SHA-256. Sticks and cards lie, so all is read back.

HOME/
  blobs/sha256/<hex>      whole and read-only
  staging/<hex>.part      growing; kept when the stick is pulled, taken up again by the next run
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import BinaryIO

from bundles.format.delta import Delta, apply_delta, deltas_in
from bundles.format.digest import CHUNK, digest_of_file
from bundles.format.durable import sync_folder
from bundles.format.errors import BundleError, DamagedFile
from bundles.format.layout import blob_path, damaged, open_file, pieces
from bundles.format.manifest import Descriptor
from installer.errors import DiskLies

SYNC_EVERY = 16
"""Chunks of 1 MiB between two flushes: a pulled plug costs at most that much of a copy."""
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

    def remaining(self, blob: Descriptor) -> int:
        """Bytes of this one that are still to be written, besides what an earlier run left in staging."""
        part = self._part(blob)
        return max(0, blob.size - part.stat().st_size) if part.exists() else blob.size

    def take(self, blob: Descriptor, stick: Path, progress: Progress) -> None:
        """Copy one blob from the stick, going on where an earlier run stopped.

        Raises:
            DamagedFile: the stick's bytes are not the signed ones, and nothing of them is kept; or cannot be read.
            MissingFile: the stick does not have it.
            DiskLies: this box's disk gives back other bytes than were written.
            OSError: stick or disk failed, or the disk is full; what was copied is kept.
        """
        part = self._part(blob)
        name = blob_path(blob.digest)
        delta = self._delta(blob, stick)
        if begun := part.exists():
            part.chmod(0o644)  # a run that ended just before the rename left it read-only
        with nullcontext() if delta else open_file(stick, name) as source, part.open("a+b") as out:
            if delta is not None:
                whole, name = self._build(stick, delta, out, blob, progress), delta.path
            elif source is not None:
                whole = _copy(source, out, blob, name, progress)
                if not whole and begun:
                    # What the earlier run left may be what is wrong, so the stick is blamed only without it.
                    progress(-out.tell())
                    out.truncate(0)
                    whole = _copy(source, out, blob, name, progress)
            if not whole:
                part.unlink()
                raise damaged(name)
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

    def _delta(self, blob: Descriptor, stick: Path) -> Delta | None:
        """How to make the blob of one that is here, when the stick does not have it whole."""
        if pieces(stick, blob_path(blob.digest)):
            return None
        usable = (
            delta
            for delta in deltas_in(stick)
            if delta.digest == blob.digest and (delta.base is None or self.path(delta.base).exists())
        )
        return next(usable, None)

    def _build(self, stick: Path, delta: Delta, out: BinaryIO, blob: Descriptor, progress: Progress) -> bool:
        """Fill ``out`` from a delta, and sync it; whether it then is the blob. Nothing of an earlier run is used."""
        out.truncate(0)
        digest = hashlib.sha256()

        def write(piece: bytearray) -> None:
            digest.update(piece)
            out.write(piece)
            out.flush()
            os.fdatasync(out.fileno())
            progress(len(piece))

        base = self.path(delta.base) if delta.base else None
        apply_delta(stick, delta, base, blob.size, write)
        return f"sha256:{digest.hexdigest()}" == blob.digest

    def take_all(self, blobs: Iterable[Descriptor], stick: Path, progress: Progress) -> list[BundleError]:
        """Copy what can be copied; what could not, so that another stick may fill in."""
        refused: list[BundleError] = []
        for blob in blobs:
            try:
                self.take(blob, stick, progress)
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
