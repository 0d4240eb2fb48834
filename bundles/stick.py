"""Writes a bundle onto a stick and proves by reading it back that it is there.

Sticks lie, are pulled out early and are FAT: only missing files are written, each under a temporary name until it is
on the medium; at the end the page cache is dropped and everything is verified from the stick as a box would do it.
Whatever else lies on the stick, batches for the hub among it, is left alone. A file that is too large for a FAT32
stick is written in pieces, which every reader joins; the bundle and its signatures stay the same.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bundles.check import check_bundle
from bundles.errors import StickError
from bundles.format.delta import UPDATE_FILE, deltas_in
from bundles.format.digest import digest_of, digest_of_file
from bundles.format.durable import forget_cached, sync_folder
from bundles.format.errors import BundleError
from bundles.format.layout import MAX_PIECES, blob_path, damaged, open_file, piece_name, read_blob
from bundles.format.manifest import MAX_BYTES, parse_index, parse_manifest
from bundles.progress import byte_bar

FAT_LIMIT = (1 << 32) - 1
"""Bytes of the largest file that FAT32 holds."""

PIECE = 2 << 30
"""Bytes of a piece of a file that is too large for the stick."""

MOUNTS = Path("/proc/self/mountinfo")

_SPARE = 1 << 20
_CHUNK = 1 << 20
_SYNC_EVERY = 16 << 20
_PART = re.compile(r"\.fieldpost-[0-9a-f]{16}\.part")
_METADATA = re.compile(r"[0-9]+\.(root|snapshot|targets)\.json|timestamp\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What now lies on the stick, read back from it."""

    bundle: str
    version: str
    fingerprint: str
    """Of the root, as the installer will show it."""
    installer_sha256: str
    """To compare before the first run on a new box: ``sha256sum installer.pyz``."""
    files: int
    bytes: int
    copied_files: int
    copied_bytes: int
    removed_files: int
    split_files: int
    """Files that lie in pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """What becomes one file on the stick: a file of the bundle, or a stretch of one."""

    path: str
    source: Path
    offset: int
    size: int

    @property
    def signed(self) -> str | None:
        """The digest that it must have: a whole blob's name. Of pieces only the whole has one."""
        folder, _, name = self.path.rpartition("/")
        return f"sha256:{name}" if folder == "blobs/sha256" and "." not in name else None


def write_stick(bundle: Path, stick: Path, *, largest: int | None = None, mounts: Path = MOUNTS) -> Receipt:
    """Make ``stick`` hold exactly this bundle beside whatever else is on it.

    Args:
        largest: bytes of the largest file that the stick holds; None asks its file system.

    Raises:
        BundleError: the bundle itself is not whole; what lay on the stick before is untouched then.
        StickError: there is no room, a file is too large for the stick, or it gives back other bytes.
    """
    if largest is None and file_system(stick, mounts) in ("vfat", "msdos"):
        largest = FAT_LIMIT
    with open_file(bundle, "tuf/1.root.json") as file:
        root = file.read()
    # The blobs are hashed while they are copied, and again from the stick.
    source = check_bundle(bundle, root, read_blobs=False)
    # Nobody signs these, so they are compared with the bundle's own.
    hints = [path for path in source.paths if path.startswith("deltas/")]
    before = _blobs_named_on(stick)
    wanted = [piece for path in source.paths for piece in _pieces(bundle, path, largest)]
    missing = [piece for piece in wanted if not _same(piece, stick / piece.path)]
    _refuse_too_full(missing, stick)
    # Blobs first and the timestamp last: until then the stick is visibly not whole, never wrongly so.
    new = [stick / piece.path for piece in missing if not (stick / piece.path).exists()]
    for piece in sorted(missing, key=lambda piece: _order(piece.path)):
        if not _copy(piece, stick / piece.path):
            for written in new:
                written.unlink(missing_ok=True)
            check_bundle(bundle, root)  # names the file, with the words for it
            raise StickError(f"{piece.source} changed while it was read.", todo="Run it again.")
    removed = _remove_ours(stick, {piece.path for piece in wanted}, before)
    for piece in wanted:
        forget_cached(stick / piece.path)
    try:
        back = check_bundle(stick, root)
        for path in hints:
            if digest_of_file(stick / path) != digest_of_file(bundle / path):
                raise damaged(path)
    except (BundleError, OSError) as error:
        raise StickError(
            f"The stick does not give back what was written: {error}", todo="Run it again, or take another stick."
        ) from error
    return Receipt(
        bundle=back.bundle,
        version=back.version,
        fingerprint=back.fingerprint,
        installer_sha256=digest_of_file(stick / "installer.pyz")[0].removeprefix("sha256:"),
        files=len(back.paths),
        bytes=back.bytes,
        copied_files=len(missing),
        copied_bytes=sum(piece.size for piece in missing),
        removed_files=removed,
        split_files=len({piece.source for piece in wanted if piece.path.endswith(".000")}),
    )


def _pieces(bundle: Path, path: str, largest: int | None) -> list[_Piece]:
    """How a file of the bundle comes to lie on the stick."""
    source = bundle / path
    size = source.stat().st_size
    if largest is None or size <= largest:
        return [_Piece(path=path, source=source, offset=0, size=size)]
    step = min(PIECE, largest)
    if not path.startswith("blobs/") or size > step * MAX_PIECES:
        raise StickError(f"{path} has {size:,} bytes, too many for this stick.", todo="Format the stick as exFAT.")
    return [
        _Piece(path=piece_name(path, number), source=source, offset=offset, size=min(step, size - offset))
        for number, offset in enumerate(range(0, size, step))
    ]


def _same(piece: _Piece, copy: Path) -> bool:
    """Whether the stick's file already is the bundle's. Read from the medium, since memory may remember better."""
    if not copy.is_file() or copy.is_symlink() or copy.stat().st_size != piece.size:
        return False
    forget_cached(copy)
    if piece.signed is not None:
        return digest_of_file(copy)[0] == piece.signed
    digest = hashlib.sha256()
    for chunk in _read(piece):
        digest.update(chunk)
    return digest_of_file(copy)[0] == f"sha256:{digest.hexdigest()}"


def _read(piece: _Piece) -> Iterator[bytes]:
    left = piece.size
    with piece.source.open("rb") as file:
        file.seek(piece.offset)
        while left and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _refuse_too_full(missing: Iterable[_Piece], stick: Path) -> None:
    needed = sum(piece.size for piece in missing) + _SPARE
    free = shutil.disk_usage(stick).free
    if needed > free:
        raise StickError(
            f"{stick} has {free:,} bytes free.",
            needed=f"{needed:,} are needed.",
            todo="Remove something from it, or take a larger stick.",
        )


def file_system(folder: Path, mounts: Path = MOUNTS) -> str:
    """The kernel's name of the file system under ``folder``, such as ``vfat``; empty where that cannot be told."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        device = folder.stat().st_dev
    except OSError:
        return ""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        place, _, kind = line.partition(" - ")
        if place.split()[2] == wanted:
            return kind.split()[0]
    return ""


def _order(path: str) -> tuple[int, str]:
    if path.startswith("blobs/"):
        return 0, path
    return (2 if path == "tuf/timestamp.json" else 1), path


def _copy(piece: _Piece, target: Path) -> bool:
    """Copy one file; False, and nothing is there, when its bytes are not those that its name says."""
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    growing = target.with_name(f".fieldpost-{secrets.token_hex(8)}.part")
    try:
        # The medium writes what came before while the next stretch is read and hashed.
        with growing.open("xb") as writing, ThreadPoolExecutor(1) as syncing:
            before: Future[None] | None = None
            with byte_bar(target.name, piece.size) as bar:
                unsynced = 0
                for chunk in _read(piece):
                    writing.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
                    unsynced += len(chunk)
                    # Otherwise the bar would show memory filling, and the stick minutes of silence.
                    if unsynced >= _SYNC_EVERY:
                        writing.flush()
                        if before is not None:
                            before.result()
                        before = syncing.submit(os.fdatasync, writing.fileno())
                        unsynced = 0
            if before is not None:
                before.result()
            writing.flush()
            os.fsync(writing.fileno())
        if piece.signed not in (None, f"sha256:{digest.hexdigest()}"):
            growing.unlink()
            return False
        growing.replace(target)
    except OSError as error:
        growing.unlink(missing_ok=True)
        if error.errno == errno.EFBIG:
            raise StickError(
                f"{target.name} has {piece.size:,} bytes, more than the stick's file system holds in one file.",
                todo="Run it again with --split, or format the stick as exFAT.",
            ) from error
        raise
    except BaseException:
        growing.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    return True


def _blobs_named_on(stick: Path) -> set[str]:
    """Blobs that the bundle now on the stick names, by relative path: ours, if the new one does not need them.

    Unverified, which is enough to know names: nothing outside blobs/sha256 can come of it.
    """
    digests: set[str] = set()
    # No bundle, or half of one: what is known until then is still ours.
    with contextlib.suppress(OSError, BundleError):
        with open_file(stick, "index.json") as file:
            data = file.read(MAX_BYTES + 1)
        digests.add(digest_of(data))
        for entry in parse_index(data).entries:
            digests.add(entry.blob.digest)
            manifest = parse_manifest(read_blob(stick, entry.blob))
            digests |= {manifest.config.digest, *(layer.blob.digest for layer in manifest.layers)}
    named = {blob_path(digest) for digest in digests}
    lying = (stick / "blobs" / "sha256").glob("*.[0-9][0-9][0-9]")
    return named | {f"blobs/sha256/{path.name}" for path in lying if f"blobs/sha256/{path.stem}" in named}


def _remove_ours(stick: Path, kept: set[str], before: set[str]) -> int:
    stale = [stick / path for path in sorted(before - kept)]
    stale += [p for p in (stick / "tuf").iterdir() if _METADATA.fullmatch(p.name) and f"tuf/{p.name}" not in kept]
    stale += [stick / delta.path for delta in deltas_in(stick) if delta.path not in kept]
    stale += [stick / UPDATE_FILE] if UPDATE_FILE not in kept else []
    for folder in (stick, stick / "tuf", stick / "blobs" / "sha256", stick / "deltas"):
        stale += [p for p in folder.iterdir() if _PART.fullmatch(p.name)] if folder.is_dir() else []
    removed = 0
    for path in stale:
        if path.is_file():
            path.unlink()
            removed += 1
    return removed
