"""Making sure that what was written is on the disk, and that what is read comes from there."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def forget_cached(path: Path) -> None:
    """Drop a file's pages from memory: what is read next comes from the medium itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Only clean pages can be dropped.
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
