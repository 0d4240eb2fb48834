"""A release's way to the box, over many contacts: piece by piece into ``data/incoming``, laid out as on a stick.

Signatures are checked before any large file is asked for; what the box has already, whole or as the base of a delta, is
not fetched. Which release it is comes from a signed receipt. Installing is the installer's, as a process.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.config import Home
from appliance.errors import SyncError, UpdateRefused
from appliance.sync.budget import Budget
from appliance.sync.wire import RELEASE_FILE
from bundles.format.delta import delta_path
from bundles.format.errors import BundleError
from bundles.format.layout import blob_path, read_verified
from bundles.format.manifest import Descriptor, parse_index
from bundles.format.metadata import MAX_ROOT_BYTES, read_folder
from bundles.format.verify import verify_bundle

AT_ONCE = 256 * 1024
"""Bytes of one request."""
_MAX_FILES = 20_000
_MAX_SMALL = 16 << 20
"""Of a file whose size nothing signed has told yet."""


class Source(Protocol):
    """Where a release's files come from; see ``appliance.sync.transport.HubLink``."""

    def listing(self, release: str) -> bytes:
        """JSON: path to size."""

    def piece(self, release: str, path: str, first: int, count: int) -> bytes:
        """Bytes of a file from ``first`` on, at least one and at most ``count``.

        Raises:
            SyncError: the hub is away, or has no such file.
        """


class Signatures(Protocol):
    """Who says whether this box may have a release: its installer; see ``appliance.sync.installer``."""

    def learn(self, folder: Path) -> bool:
        """Check the signatures in ``folder/tuf``; whether they are newer than what is installed.

        Raises:
            UpdateRefused: this box does not trust them, or they are older than what it has.
            SyncError: they could not be looked at.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """How far a release has come."""

    whole: bool
    """All that the installer needs is there."""
    newer: bool
    """False when the box has it already."""
    left: int | None
    """Bytes still to be fetched; None while its signatures are not here yet."""


class _Spent(Exception):
    """The day's bytes are used up, or whoever asked wants a pause."""


class Incoming:
    """The folder in which a release grows."""

    def __init__(self, home: Home, release: str) -> None:
        self.folder = home.data / "incoming"
        self._home, self._release = home, release

    def fetch(self, source: Source, signatures: Signatures, budget: Budget, *, most: int | None = None) -> Fetched:
        """Go on fetching until all is here, the day's bytes are spent, or ``most`` bytes have come.

        Raises:
            SyncError: the hub is away, or somebody else is fetching.
            UpdateRefused: what it offers is not signed for this box, is older than what it has, or is not what was
                signed. Nothing of it is kept.
        """
        with self._alone():
            left: int | None = None
            growing = _Growing(self.folder, source, self._release, budget, most)
            try:
                files = self._begin(source)
                for path in sorted(files):
                    if path.startswith("tuf/"):
                        growing.get(path, files[path])
                if not (self.folder / "newer").exists():
                    if not signatures.learn(self.folder):
                        return Fetched(whole=True, newer=False, left=0)
                    (self.folder / "newer").touch()  # not asked again at every piece
                for path in sorted(files):
                    if not path.startswith(("tuf/", "blobs/", "deltas/")):
                        growing.get(path, files[path])
                wanted = self._wanted(growing, files)
                left = sum(max(0, size - growing.here(path)) for path, size, _ in wanted)
                for path, size, digest in wanted:
                    growing.get(path, size, digest)
                return Fetched(whole=True, newer=True, left=0)
            except _Spent:
                return Fetched(whole=False, newer=True, left=left and max(0, left - growing.come))
            except BundleError as error:
                self.drop()
                raise _refused(error.found, error.needed) from error
            except UpdateRefused:
                self.drop()
                raise

    def drop(self) -> None:
        """Forget all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def without_deltas(self) -> None:
        """Deltas are hints that nobody signs: after one that misled, the files are fetched whole."""
        shutil.rmtree(self.folder / "deltas", ignore_errors=True)
        (self.folder / "whole").touch()

    def _begin(self, source: Source) -> Mapping[str, int]:
        """The list of files; what an earlier release left is used again where it is wanted, else it goes."""
        listing = self.folder / f"{self._release}.json"
        if not listing.exists():
            files = _read_listing(source.listing(self._release))
            self.folder.mkdir(mode=0o700, exist_ok=True)
            for path in [p for p in self.folder.rglob("*") if p.is_file()]:
                name = path.relative_to(self.folder).as_posix().removesuffix(".part")
                if not name.startswith(("blobs/", "deltas/")) or name not in files:
                    path.unlink()
            draft = listing.with_suffix(".tmp")
            draft.write_text(json.dumps(files))
            draft.rename(listing)
        return _read_listing(listing.read_bytes())

    def _wanted(self, growing: "_Growing", files: Mapping[str, int]) -> list[tuple[str, int, str]]:
        """Path, size and digest of each file to fetch; the digest is empty for deltas, which nobody signs."""
        with (self.folder / "tuf" / "1.root.json").open("rb") as file:
            root = file.read(MAX_ROOT_BYTES)
        with tempfile.TemporaryDirectory(prefix="fieldpost-trust-") as scratch:
            signed = read_folder(self.folder, root, Path(scratch)).target("stick/index.json")
        index = read_verified(self.folder, "index.json", digest=signed.digest, size=signed.size)
        if signed.digest != f"sha256:{self._release}":
            raise _refused("Its index is not the one that the receipt names.")
        for entry in parse_index(index).entries:
            growing.get(blob_path(entry.blob.digest), entry.blob.size, entry.blob.digest)
        verified = verify_bundle(self.folder, root=root)
        layers = {layer.blob.digest: layer.blob for one in verified.components for layer in one.manifest.layers}
        missing = [blob for blob in layers.values() if not self._store(blob.digest).exists()]
        return [self._way(blob, files) for blob in missing]

    def _way(self, blob: Descriptor, files: Mapping[str, int]) -> tuple[str, int, str]:
        """The delta that saves the most, else the file itself."""
        whole = blob_path(blob.digest)
        if (self.folder / whole).exists() or (self.folder / "whole").exists():
            return whole, blob.size, blob.digest
        start = delta_path(blob.digest, None)
        usable = [
            (size, path)
            for path, size in files.items()
            if (path == start or path.startswith(f"{start}.")) and self._has_base(path) and size < blob.size
        ]
        return (min(usable)[1], min(usable)[0], "") if usable else (whole, blob.size, blob.digest)

    def _has_base(self, delta: str) -> bool:
        base = delta.partition(".")[2]
        return not base or (len(base) == 64 and self._store(base).exists())

    def _store(self, digest: str) -> Path:
        return self._home.root / blob_path(digest)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._home.prepare_data()
        descriptor = os.open(self._home.data / "incoming.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SyncError("A release is being fetched already.", todo="Wait for it.") from error
            yield
        except OSError as error:
            raise SyncError(
                f"The release cannot be kept: {error.strerror or error}.", todo="Free space on the box's disk."
            ) from error
        finally:
            os.close(descriptor)


class _Growing:
    """Files that grow from the byte at which they broke off."""

    def __init__(self, folder: Path, source: Source, release: str, budget: Budget, most: int | None) -> None:
        self._folder, self._source, self._release, self._budget = folder, source, release, budget
        self._most = most
        self.come = 0
        """Bytes that came so far."""

    def here(self, path: str) -> int:
        """Bytes of a file that are here."""
        for name in (path, f"{path}.part"):
            with contextlib.suppress(FileNotFoundError):
                return (self._folder / name).stat().st_size
        return 0

    def get(self, path: str, size: int, digest: str = "") -> None:
        """Fetch a file to its end; compared with ``digest`` where one is known.

        Raises:
            _Spent: not now.
            UpdateRefused: it is not what was signed.
        """
        target = self._folder / path
        if target.exists():
            return
        if not digest and size > _MAX_SMALL and not path.startswith("deltas/"):
            raise _refused(f"{path} would have {size} bytes.")
        part = target.with_name(f"{target.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as out:
            while (done := out.tell()) < size:
                count = min(AT_ONCE, size - done, self._budget.left())
                if self._most is not None:
                    count = min(count, self._most - self.come)
                if count <= 0:
                    raise _Spent
                data = self._source.piece(self._release, path, done, count)
                self._budget.spend(len(data))
                out.write(data)
                out.flush()
                self.come += len(data)
            os.fsync(out.fileno())
        if digest and _hash(part) != digest:
            part.unlink()
            raise _refused(f"{path} is damaged or was changed.")
        part.rename(target)


def _refused(found: str, needed: str = "Only what headquarters signed is installed.") -> UpdateRefused:
    return UpdateRefused(
        f"The release that the hub offers is refused. {found}",
        needed=needed,
        todo="Nothing was installed. Ask whoever looks after the hub.",
    )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _read_listing(data: bytes) -> dict[str, int]:
    """Nobody signed it: it may only name files of a release, under names that cannot lead elsewhere."""
    try:
        raw = json.loads(data)
        files = {path: size for path, size in raw.items() if RELEASE_FILE.fullmatch(path)}
        if len(files) > _MAX_FILES or not all(type(size) is int and size >= 0 for size in files.values()):
            raise ValueError("more files than a release has, or a size that is none")
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise SyncError(f"The hub's list of files cannot be read: {error}.", todo="Is this address a hub's?") from error
    return files
