"""What must hold before anything is copied: the folder, its file system, the space; and what is good to know first.

What fits the machine is ``choose``'s. Everything is told at once.
"""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bundles.format.verify import VerifiedBundle
from installer.errors import Finding, HomeRefused, NoSpace
from installer.machine import PORT, Machine

RESERVE = 32 << 20
"""Bytes left free for the box's own log and for release folders."""
_YEARS_AHEAD = 10
_LOW_BATTERY = 30


def findings(machine: Machine, bundle: VerifiedBundle) -> Iterator[Finding]:
    """What is good to know about a machine before this bundle is put on it; none of it stops an installation."""
    if machine.processor == "x86_64" and machine.cpu and "avx2" not in machine.cpu:
        yield Finding(found="This processor has no AVX2.", todo="Everything works, but written answers come slowly.")
    if machine.processor == "aarch64" and machine.cpu and "asimddp" not in machine.cpu:
        yield Finding(
            found="This processor has no dot product instructions, as a Raspberry Pi 4.",
            todo="Everything works, but written answers come slowly.",
        )
    megabytes = machine.memory // 1_000_000
    if bundle.index.ram_mb is not None and megabytes < bundle.index.ram_mb:
        yield Finding(
            found=f"This box has {megabytes:,} MB of memory.",
            needed=f"The bundle's makers say that {bundle.index.ram_mb:,} MB are needed.",
        )
    yield from _clock(machine.now, bundle.published)
    if machine.port_taken:
        yield Finding(
            found=f"A program listens on port {PORT} already.",
            needed="The page is served there.",
            todo="If it is not Fieldpost itself, stop it, or start the page with another --port.",
        )
    if machine.under_voltage:
        yield Finding(
            found="The power supply is too weak: this Raspberry Pi reports under-voltage.",
            todo="Use its own power supply and a short cable; otherwise it stops at work, and cards lose data.",
        )
    if machine.battery is not None and machine.battery < _LOW_BATTERY:
        yield Finding(found=f"The battery is at {machine.battery} % and not charging.", todo="Plug the box in.")


def _clock(now: datetime, published: str) -> Iterator[Finding]:
    """A clock that cannot be right, since the stick was signed before today and not long ago."""
    try:
        signed = datetime.fromisoformat(published)
    except ValueError:
        return
    signed = signed if signed.tzinfo else signed.replace(tzinfo=UTC)
    if now < signed or now.year > signed.year + _YEARS_AHEAD:
        yield Finding(
            found=f"This box's clock says {now:%Y-%m-%d}, and the stick was signed on {signed:%Y-%m-%d}.",
            todo="Nothing depends on it but the dates in the log. Set it if you can: sudo date -s '2026-11-24 08:00'",
        )


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
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(
                f"The disk is full: nothing can be written to {home}.",
                todo="Free some space or use a larger disk, then run this again. Nothing was changed.",
            ) from error
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


def space(home: Path, sizes: Iterable[int]) -> Iterator[Finding]:
    """That files of these many bytes and a reserve do not fit, if they do not; each takes whole blocks of the disk."""
    disk = os.statvfs(home)
    free = disk.f_bavail * disk.f_frsize
    needed = sum(-(-size // disk.f_frsize) * disk.f_frsize for size in sizes) + RESERVE
    if needed > free:
        mib = 1 << 20
        yield Finding(
            found=f"{free / mib:.0f} MiB are free at {home}.",
            needed=f"{needed / mib:.0f} MiB are needed.",
            todo="Free some space or use a larger disk, then run this again. Nothing was changed.",
            stops=NoSpace,
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
