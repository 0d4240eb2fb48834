"""Real exFAT and FAT32 media in image files, by exfat-fuse, exfatprogs and mtools: no kernel need know them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, env={**os.environ, "MTOOLS_SKIP_CHECK": "1"})
    assert done.returncode == 0, (command, done.stderr.decode(), done.stdout.decode())


@contextmanager
def exfat(image: Path, folder: Path, size: int = 0) -> Iterator[None]:
    """The exFAT image mounted on ``folder``; with a size in bytes, formatted first. Checked when it is let go."""
    if size:
        with image.open("wb") as file:
            file.truncate(size)
        _run("mkfs.exfat", str(image))
    loop = subprocess.run(["losetup", "--find", "--show", str(image)], capture_output=True, check=True, text=True)
    device = loop.stdout.strip()
    try:
        _run("mount.exfat-fuse", device, str(folder))
        try:
            yield
        finally:
            _run("umount", str(folder))
        _run("fsck.exfat", "-n", device)
    finally:
        _run("losetup", "--detach", device)


def fat32(image: Path, size: int) -> None:
    """An empty FAT32 image of so many bytes."""
    with image.open("wb") as file:
        file.truncate(size)
    sectors = "1" if size < 1 << 30 else "64"
    _run("mformat", "-F", "-i", str(image), "-T", str(size // 512), "-c", sectors, "-h", "255", "-s", "63", "::")


def to_fat(image: Path, folder: Path) -> None:
    """Copy what lies in a folder onto the image."""
    _run("mcopy", "-s", "-Q", "-i", str(image), *map(str, sorted(folder.iterdir())), "::/")


def from_fat(image: Path, folder: Path) -> None:
    """Copy everything on the image into a folder."""
    _run("mcopy", "-s", "-Q", "-n", "-i", str(image), "::/*", str(folder))
