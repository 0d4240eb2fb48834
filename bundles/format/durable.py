"""Writing so that a pulled plug leaves the old or the new, never half; and reading what is really on the medium.

The one place for fsync of whole files and folders and for atomic switches, on the workstation and on the box. Copying
large files in pieces, with a sync now and then, stays with those who copy.
"""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the folder's own list of names durable, so that a rename survives a power cut; Windows does it by itself."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make every file and folder below durable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            if not path.is_symlink():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        sync_folder(Path(parent))


def replace_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Give ``path`` these bytes, whole or not at all; until it is whole, nobody but its owner can read them."""
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)
    # Python's own flags make it binary and private to this process, on Windows too.
    with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
        file.flush()
        draft.chmod(mode)
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def switch(link: Path, target: str) -> None:
    """Point a symbolic link elsewhere in one step; ``target`` is relative to the link's folder."""
    draft = link.with_name(link.name + ".tmp")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(link)
    sync_folder(link.parent)


def forget_cached(path: Path) -> None:
    """Drop a file's pages from memory: what is read next comes from the medium itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Only clean pages can be dropped.
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
