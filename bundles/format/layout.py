"""Reading an OCI image layout in a folder: blobs by digest, and the files on top of it. Trusts nothing it reads."""

from pathlib import Path
from typing import BinaryIO

from bundles.format.digest import digest_of
from bundles.format.errors import DamagedFile, MissingFile
from bundles.format.manifest import MAX_BYTES, Descriptor


def blob_path(digest: str) -> str:
    """Where a blob lies, relative to the layout."""
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def open_file(root: Path, name: str) -> BinaryIO:
    """Open a regular file of the layout.

    Raises:
        MissingFile: it is not there, or is a link or a folder.
        OSError: the medium cannot be read.
    """
    path = root / name
    if path.is_symlink() or not path.is_file():
        raise MissingFile(f"{name} is missing.", todo="Copy the whole bundle again, or use another stick.")
    return path.open("rb")


def read_verified(root: Path, name: str, *, digest: str, size: int) -> bytes:
    """The bytes of a small file, if they are the signed ones.

    Raises:
        MissingFile: it is not there.
        DamagedFile: it has other bytes, or more than a manifest may have.
    """
    with open_file(root, name) as file:
        data = file.read(min(size, MAX_BYTES) + 1)
    if len(data) != size or digest_of(data) != digest:
        raise damaged(name)
    return data


def read_blob(root: Path, blob: Descriptor) -> bytes:
    """The bytes of a small blob; raises as ``read_verified`` does."""
    return read_verified(root, blob_path(blob.digest), digest=blob.digest, size=blob.size)


def damaged(name: str) -> DamagedFile:
    """The error for a file whose bytes are not the signed ones."""
    return DamagedFile(
        f"{name} is damaged or was changed.",
        needed="Its bytes are not those that were signed.",
        todo="Copy the bundle again, or use another stick.",
    )
