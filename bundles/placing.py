"""A bundle's folder appears under its name when it is whole, and replaces nothing but a bundle."""

import shutil
from pathlib import Path

from bundles.format.delta import UPDATE_FILE
from bundles.format.errors import BundleError
from bundles.format.kinds import STICK_FILES

KNOWN = frozenset({*STICK_FILES, UPDATE_FILE, "blobs", "deltas", "tuf"})
"""What may lie in a bundle's folder; one that holds anything else is not ours to replace."""


def growing_folder(out: Path) -> Path:
    """Where ``out`` grows until it is whole.

    Raises:
        BundleError: ``out``, or what would grow beside it, is there and is no bundle.
    """
    growing = out.with_name(out.name + ".tmp")
    refuse_foreign(out)
    refuse_foreign(growing)
    return growing


def refuse_foreign(out: Path) -> None:
    """A folder of somebody's that happens to have this name is never replaced.

    Raises:
        BundleError: ``out`` is there and is no bundle.
    """
    if not out.exists():
        return
    foreign = sorted({path.name for path in out.iterdir()} - KNOWN) if out.is_dir() else [out.name]
    if foreign:
        raise BundleError(
            f"{out} holds {foreign[0]}, so it is no bundle.",
            needed="Only bundles are replaced.",
            todo="Choose a new folder.",
        )


def put_in_place(out: Path, growing: Path) -> None:
    """Give the finished folder its name; an older bundle steps aside first and goes only then."""
    old = out.with_name(out.name + ".old")
    if out.exists():
        shutil.rmtree(old, ignore_errors=True)
        out.rename(old)
    growing.rename(out)
    shutil.rmtree(old, ignore_errors=True)
