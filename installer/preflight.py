"""What must hold before anything is written: the folder, its file system, and the space."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from installer.errors import HomeRefused, NoSpace

RESERVE = 32 << 20
"""Bytes left free for the box's own log and for release folders."""


def check_home(home: Path, stick: Path) -> None:
    """HOME can be made and written, is not on the stick, and is one file system that has links.

    Raises:
        HomeRefused: one of these does not hold.
    """
    if home.resolve().is_relative_to(stick.resolve()):
        raise HomeRefused(f"{home} is on the stick.", needed="A folder on this box's own disk.", todo="Choose another.")
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / ".probe"
        linked = home / ".probe-link"
        for path in (probe, linked):
            path.unlink(missing_ok=True)
        probe.touch()
        linked.hardlink_to(probe)
        linked.unlink()
        linked.symlink_to(probe.name)
    except (NotADirectoryError, FileExistsError) as error:
        raise HomeRefused(f"{home} is no folder.", todo="Choose another.") from error
    except PermissionError as error:
        raise HomeRefused(
            f"You may not write into {home}.", todo="Run this with sudo, or choose another folder."
        ) from error
    except OSError as error:
        raise HomeRefused(
            f"{home} cannot be used: {error.strerror}.",
            needed="A file system with links, such as ext4, is needed; FAT and exFAT have none.",
            todo="Choose a folder on the box's own disk.",
        ) from error
    finally:
        if home.is_dir():
            for name in (".probe", ".probe-link"):
                (home / name).unlink(missing_ok=True)
    _check_one_file_system(home)


def check_space(home: Path, sizes: Iterable[int]) -> None:
    """Raise NoSpace unless files of these many bytes and a reserve fit; each takes whole blocks of the disk."""
    disk = os.statvfs(home)
    free = disk.f_bavail * disk.f_frsize
    needed = sum(-(-size // disk.f_frsize) * disk.f_frsize for size in sizes) + RESERVE
    if needed > free:
        mib = 1 << 20
        raise NoSpace(
            f"{free / mib:.0f} MiB are free at {home}.",
            needed=f"{needed / mib:.0f} MiB are needed.",
            todo="Free some space or use a larger disk, then run this again. Nothing was changed.",
        )


def _check_one_file_system(home: Path) -> None:
    for name in ("blobs", "blobs/sha256", "staging", "releases"):
        path = home / name
        if path.exists() and path.stat().st_dev != home.stat().st_dev:
            raise HomeRefused(
                f"{path} is on another disk than {home}.",
                needed="A release is links to its files, and links cannot cross disks.",
                todo="Choose a folder that is on one disk as a whole.",
            )


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """One installer at a time.

    Raises:
        HomeRefused: another is at work.
    """
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HomeRefused(f"Another installer works on {home}.", todo="Wait until it has ended.") from error
        yield
