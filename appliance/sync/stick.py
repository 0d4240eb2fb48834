"""The files that travel on a stick, ``/FIELDPOST/up`` to the hub and ``/FIELDPOST/ack`` back, as both ends see them.

A file is written under another name, forced to the stick, renamed, and read back; so a stick pulled too early holds
whole files or files that nobody reads. A stick is anybody's: links are never followed, sizes are bounded.
"""

import errno
import os
import re
import stat
from pathlib import Path

from appliance.errors import SyncError
from appliance.sync.batch import MAX_BATCH
from appliance.sync.wire import MAX_MESSAGE

BATCH = re.compile(r"([0-9a-f]{64})\.batch")
INTRODUCTION = re.compile(r"(box-[a-z2-7]{16})\.enrol")
_BOUNDS = {".batch": MAX_BATCH, ".enrol": MAX_MESSAGE, ".note": MAX_MESSAGE}
MOST_FILES = 20_000


def up(stick: Path) -> Path:
    """What boxes say to the hub."""
    return stick / "FIELDPOST" / "up"


def ack(stick: Path) -> Path:
    """What the hub says to boxes."""
    return stick / "FIELDPOST" / "ack"


def put(path: Path, data: bytes) -> None:
    """Write a file onto the stick so that it is there, whole, when this returns.

    Raises:
        SyncError: the stick is full, read-only, or does not give back what was written.
    """
    try:
        _make_folder(path.parent)
        if read(path) == data:
            return
        draft = path.with_name(f".{path.name}.part")
        draft.unlink(missing_ok=True)
        try:
            _write(draft, data)
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SyncError(
                f"The stick is full: {path.name} did not fit.",
                needed=f"{len(data)} bytes more are needed.",
                todo="Free space on the stick and try again; what is on it already stays good.",
            ) from error
        raise SyncError(
            f"The stick cannot be written: {error.strerror or error}.", todo="Is it write-protected or pulled out?"
        ) from error
    if read(path) != data:
        raise SyncError(f"{path.name} came back from the stick changed.", todo="Use another stick.")


def read(path: Path) -> bytes | None:
    """A whole regular file of a bounded size; None if it is missing, or no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    most = _BOUNDS[path.suffix]
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        # Past the memory, so that reading back reads the stick
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(most + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data if len(data) <= most else None


def names(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    """Names of the files in a folder of the stick that match, in order; none if there is no such folder.

    Raises:
        SyncError: the stick cannot be read, or holds more than ``MOST_FILES`` of them.
    """
    if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
        return []
    try:
        found = sorted(file.name for file in folder.iterdir() if pattern.fullmatch(file.name))
    except OSError as error:
        raise SyncError(f"The stick cannot be read: {error.strerror or error}.", todo="Try another port.") from error
    if len(found) > MOST_FILES:
        raise SyncError(
            f"{folder} holds {len(found)} files.",
            needed=f"At most {MOST_FILES} are taken from one stick.",
            todo="Move some of them to another stick.",
        )
    return found


def remove(path: Path) -> None:
    """Take a file off the stick, if that is possible: it has done its work."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _make_folder(folder: Path) -> None:
    for part in (folder.parent, folder):
        if part.is_symlink():
            raise SyncError(f"{part} is a link.", needed="A folder is needed.", todo="Use another stick.")
        part.mkdir(exist_ok=True)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
