"""A runtime: the programs of a box for one kind of machine, as one plain tar, made so that a box unpacks it unseen.

It holds ``lib/python3.11/site-packages/...`` and nothing but plain files and folders: no links, no devices, nothing
that leads outside. Not compressed, so that a new version is a small delta to the old one.
"""

import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bundles.format.errors import ScanRefused

MAX_ENTRIES = 200_000
_PLATFORM = re.compile(r"([a-z]+)-([a-z0-9_]+)-cp3([0-9]{1,2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Where a runtime runs: ``linux-x86_64-cp311``."""

    system: str
    machine: str
    """As ``uname -m`` says it."""
    minor: int
    """Of Python 3."""

    @property
    def site_packages(self) -> str:
        """Where Python of this version looks for packages, below a folder of its own."""
        return f"lib/python3.{self.minor}/site-packages"


def parse_platform(text: str) -> Platform:
    """The annotation ``org.fieldpost.platform``.

    Raises:
        ScanRefused: it is none.
    """
    found = _PLATFORM.fullmatch(text)
    if found is None:
        raise ScanRefused(f"{text!r} is no platform.", needed="One such as linux-x86_64-cp311 is needed.")
    return Platform(system=found[1], machine=found[2], minor=int(found[3]))


@contextmanager
def open_runtime(path: Path) -> Iterator[Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]]:
    """The archive's entries, one after the other, each checked before it is given out.

    Raises:
        ScanRefused: it is no plain tar, or an entry is a link or a device, comes twice, or leads outside.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            yield ((archive, entry) for entry in _checked(archive, path.name))
    except (tarfile.TarError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's complaint, not the archive's
        raise ScanRefused(
            f"{path.name} is no plain tar: {error}.", needed="One that is not compressed is needed."
        ) from error


def check_runtime(path: Path) -> int:
    """Look at every entry and unpack none; returns how many there are.

    Raises:
        ScanRefused: see ``open_runtime``; or it is empty.
    """
    with open_runtime(path) as entries:
        count = sum(1 for _ in entries)
    if not count:
        raise ScanRefused(f"{path.name} is empty.", todo="Make it again: fieldpost-bundle runtime")
    return count


def _checked(archive: tarfile.TarFile, name: str) -> Iterator[tarfile.TarInfo]:
    seen: set[str] = set()
    for entry in archive:
        inside = PurePosixPath(entry.name)
        # Case does not count on every disk, and a second entry could change what the first was looked at for.
        key = entry.name.rstrip("/").lower()
        if len(seen) >= MAX_ENTRIES:
            raise ScanRefused(f"{name} has over {MAX_ENTRIES:,} entries.", todo="Make a smaller one.")
        if inside.is_absolute() or ".." in inside.parts or "\\" in entry.name or "\0" in entry.name:
            raise ScanRefused(f"{name}: {entry.name!r} leads outside.", todo="Do not use it.")
        if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE) or entry.mode & 0o6000:
            raise ScanRefused(f"{name}: {entry.name!r} is no plain file.", todo="Make it again without.")
        if key in seen:
            raise ScanRefused(f"{name}: {entry.name!r} comes twice.", todo="Make it again without.")
        seen.add(key)
        yield entry
