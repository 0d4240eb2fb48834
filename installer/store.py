"""The blob store: every file of every release once, under its SHA-256. Sticks and cards lie, so all is read back.

HOME/
  blobs/sha256/<hex>      whole and read-only
  staging/<hex>.part      growing; kept when the stick is pulled, taken up again by the next run
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from bundles.format.digest import CHUNK, digest_of_file
from bundles.format.errors import BundleError
from bundles.format.layout import blob_path, damaged, open_file
from bundles.format.manifest import Descriptor
from installer.disk import sync_folder
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

    def begun(self, blobs: Iterable[Descriptor]) -> int:
        """Bytes of these that an earlier run left in staging."""
        parts = (self._part(blob) for blob in blobs)
        return sum(part.stat().st_size for part in parts if part.exists())

    def take(self, blob: Descriptor, stick: Path, progress: Progress) -> None:
        """Copy one blob from the stick, going on where an earlier run stopped.

        Raises:
            DamagedFile: the stick's bytes are not the signed ones; nothing of them is kept.
            MissingFile: the stick does not have it.
            DiskLies: this box's disk gives back other bytes than were written.
            OSError: stick or disk failed, or the disk is full; what was copied is kept.
        """
        part = self._part(blob)
        name = blob_path(blob.digest)
        with open_file(stick, name) as source, part.open("a+b") as out:
            out.seek(0)
            digest = hashlib.sha256()
            done = 0
            while chunk := out.read(CHUNK):
                digest.update(chunk)
                done += len(chunk)
            if done > blob.size:
                out.truncate(0)
                digest, done = hashlib.sha256(), 0
            source.seek(done)
            progress(done)
            chunks = 0
            while done < blob.size and (chunk := source.read(min(CHUNK, blob.size - done))):
                digest.update(chunk)
                out.write(chunk)
                done += len(chunk)
                progress(len(chunk))
                chunks += 1
                if chunks % SYNC_EVERY == 0:
                    out.flush()
                    os.fdatasync(out.fileno())
            out.flush()
            os.fsync(out.fileno())
            if digest.hexdigest() != self.path(blob.digest).name or source.read(1):
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

    def forget_parts(self, wanted: Collection[str] = ()) -> None:
        """Remove what earlier, abandoned runs left in staging; ``wanted`` digests are kept."""
        keep = {digest.removeprefix("sha256:") + ".part" for digest in wanted}
        for part in self._staging.iterdir():
            if part.name not in keep:
                part.unlink()

    def _part(self, blob: Descriptor) -> Path:
        return self._staging / f"{self.path(blob.digest).name}.part"
