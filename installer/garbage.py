"""What the box no longer needs: the releases before the last two, and the programs and files that only they had.

Releases go first, then programs, then files. A power cut between any two removals leaves whole releases and, at worst,
something that the next collection removes: a folder loses its name before it is emptied, so that none is ever half.
"""

import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundles.format.durable import sync_folder
from bundles.format.errors import BundleError
from installer import trial
from installer.errors import HomeRefused
from installer.preflight import locked
from installer.releases import RUNTIME, Releases
from installer.selftest import forget

_HEX = 64
"""Hex digits of a SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """How many of each went."""

    releases: int = 0
    runtimes: int = 0
    blobs: int = 0

    def __bool__(self) -> bool:
        return bool(self.releases or self.runtimes or self.blobs)

    def __str__(self) -> str:
        return f"Old releases removed: {self.releases}; programs: {self.runtimes}; files: {self.blobs}."


def collect(home: Path, *, coming: Collection[str] | None = None, candidate: int | None = None) -> Removed:
    """Keep the release in use, the one before, one that failed its trial, and what they link to; remove the rest.

    Nothing is removed while a release is on trial, or where one that is kept cannot be read. The caller holds the lock.

    Args:
        coming: digests of a bundle that is being installed: what an earlier run copied of it stays, and what one copied
            of another bundle goes. None while nobody installs: an install that was cut short may go on tomorrow, so
            only what older releases had goes, and no release that is newer than the one in use.
        candidate: its release, where an earlier run made it.

    Raises:
        HomeRefused: state.json or trial.json cannot be read.
        OSError: the disk failed.
    """
    releases, tried = Releases(home), trial.read(home)
    current, previous = releases.current, releases.read_state().previous
    if current is None or (tried is not None and not tried.failed):
        return Removed()
    kept = {current}
    before = (previous, candidate, *((tried.release, tried.previous) if tried else ()))
    kept |= {number for number in before if number is not None and releases.folder(number).is_dir()}
    numbers = {int(path.name) for path in (home / "releases").iterdir() if path.name.isdigit()}
    if coming is None:
        kept |= {number for number in numbers if number > current}
    try:
        named = {digest.removeprefix("sha256:") for digest in coming or ()}
        for number in kept:
            named |= set(_named(releases.describe(number), releases.folder(number)))
    except (HomeRefused, KeyError, TypeError, AttributeError):
        return Removed()  # what it needs is not known; the next install makes it whole
    if coming is None:
        named |= _lying(home) - _had(releases, numbers - kept)
    return Removed(
        releases=_remove_releases(home, {str(number) for number in kept}),
        runtimes=_remove_folders(home / "runtimes", named),
        blobs=_remove_blobs(home / "blobs" / "sha256", named),
    )


def collect_after_trial(home: Path) -> str:
    """For whoever has just kept a release: collect, unless an installer is at work; what to tell, or nothing.

    It never fails: a box that serves well is not stopped because of old files.
    """
    try:
        with locked(home):
            removed = collect(home)
    except (BundleError, OSError) as error:
        return f"Old releases stay for now: {error}"
    return str(removed) if removed else ""


def _named(facts: dict[str, Any], folder: Path) -> Iterator[str]:
    """Hex digits of the files and programs that a release has, by its own words and by its link."""
    for component in facts["components"]:
        yield from (file["digest"].removeprefix("sha256:") for file in component["files"])
    if (folder / RUNTIME).is_symlink():
        yield (folder / RUNTIME).readlink().name


def _had(releases: Releases, numbers: Collection[int]) -> set[str]:
    """Hex digits of what these releases have, as far as they can be read."""
    had: set[str] = set()
    for number in numbers:
        with suppress(HomeRefused, KeyError, TypeError, AttributeError):
            had |= set(_named(releases.describe(number), releases.folder(number)))
    return had


def _lying(home: Path) -> set[str]:
    """Names of all files and programs that are here."""
    places = (home / "blobs" / "sha256", home / "runtimes")
    return {path.name for place in places if place.is_dir() for path in place.iterdir()}


def _remove_releases(home: Path, kept: set[str]) -> int:
    folder = home / "releases"
    for path in folder.iterdir():
        if path.name.isdigit() and path.name not in kept:
            forget(home, int(path.name))  # first: its number is given again
    return _remove_folders(folder, kept, numbers=True)


def _remove_folders(parent: Path, kept: set[str], *, numbers: bool = False) -> int:
    """Remove the folders that are not kept, and what an interrupted removal or making left; how many there were."""
    if not parent.is_dir():
        return 0
    for leftover in parent.glob("*.tmp"):
        shutil.rmtree(leftover)
    gone = [p for p in parent.iterdir() if p.name not in kept and (p.name.isdigit() if numbers else _is_hex(p.name))]
    unnamed = [path.rename(path.with_name(path.name + ".tmp")) for path in gone]
    sync_folder(parent)
    for path in unnamed:
        shutil.rmtree(path)
    sync_folder(parent)
    return len(gone)


def _remove_blobs(folder: Path, named: set[str]) -> int:
    """Those that no release that is kept names, and to which nothing links: a link is somebody's, whoever made it."""
    gone = [p for p in folder.iterdir() if _is_hex(p.name) and p.name not in named and p.stat().st_nlink == 1]
    for path in gone:
        path.unlink()
    sync_folder(folder)
    return len(gone)


def _is_hex(name: str) -> bool:
    """Whether it is the installer's own name for a file or for programs; what others put there stays."""
    return len(name) == _HEX and set(name) <= set("0123456789abcdef")
