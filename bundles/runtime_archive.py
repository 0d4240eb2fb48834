"""A runtime: the programs of a box for one kind of machine, as one plain tar. Looked into here, unpacked nowhere.

Not compressed, so that a new version is a small delta to the old one. Headquarters alone signs runtimes: what is in one
runs on the box.
"""

import tarfile
from pathlib import Path, PurePosixPath

from bundles.format.errors import ScanRefused

MAX_ENTRIES = 200_000


def check_runtime(path: Path) -> int:
    """Check that every entry is a plain file or folder within the archive; returns how many there are.

    Raises:
        ScanRefused: it is no plain tar, or an entry is a link or a device, or leads outside.
    """
    count = 0
    try:
        with tarfile.open(path, "r:") as archive:
            for entry in archive:
                count += 1
                inside = PurePosixPath(entry.name)
                if count > MAX_ENTRIES:
                    raise ScanRefused(f"{path.name} has over {MAX_ENTRIES:,} entries.", todo="Make a smaller one.")
                if inside.is_absolute() or ".." in inside.parts or "\\" in entry.name:
                    raise ScanRefused(f"{path.name}: {entry.name!r} leads outside.", todo="Do not use it.")
                if not (entry.isreg() or entry.isdir()) or entry.mode & 0o6000:
                    raise ScanRefused(f"{path.name}: {entry.name!r} is no plain file.", todo="Make it again without.")
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ScanRefused(
            f"{path.name} is no plain tar: {error}.", needed="One that is not compressed is needed."
        ) from error
    if not count:
        raise ScanRefused(f"{path.name} is empty.", todo="Make it again.")
    return count
