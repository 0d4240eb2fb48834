"""A bundle checked to its last byte: what ``bundles.format.verify`` vouches for, and then every blob hashed.

A box hashes blobs while it copies them; the workstation has nothing to copy, so it reads them here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundles.format.delta import UPDATE_FILE, deltas_in
from bundles.format.digest import digest_of_file, digest_of_stream, root_fingerprint
from bundles.format.errors import DamagedFile, TrustRefused
from bundles.format.kinds import INDEX, STICK_FILES
from bundles.format.layout import blob_path, open_file, pieces
from bundles.format.manifest import Descriptor
from bundles.format.metadata import MAX_ROOT_BYTES
from bundles.format.verify import VerifiedBundle, verify_bundle
from bundles.progress import byte_bar


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTarget:
    """A component, and what was read for it."""

    target: str
    digest: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A bundle of which every byte is what was signed."""

    bundle: str
    version: str
    fingerprint: str
    metadata_version: int
    """Of its TUF timestamp, the number that grows with every bundle given out."""
    components: tuple[CheckedTarget, ...]
    paths: tuple[str, ...]
    """Every file that belongs to the bundle, relative to it; sorted."""
    bytes: int
    split: bool = False
    """Whether some blobs lie in pieces, as on FAT32."""
    absent: int = 0
    """Files that are not here, or only as deltas: of a partial bundle, which a box with an older one completes."""


def root_named(bundle: Path, fingerprint: str) -> bytes:
    """The bundle's own ``1.root.json``, if it is the one that a fingerprint names.

    Raises:
        TrustRefused: it is another one.
        MissingFile: there is none.
    """
    with open_file(bundle, "tuf/1.root.json") as file:
        root = file.read(MAX_ROOT_BYTES + 1)
    if root_fingerprint(root) != fingerprint.strip():
        raise TrustRefused(
            f"tuf/1.root.json has the fingerprint {root_fingerprint(root)}.",
            needed=f"{fingerprint.strip()} was expected.",
            todo="Compare every character with your paper; if it stays another, do not use this bundle.",
        )
    return root


def check_bundle(folder: Path, root: bytes, *, read_blobs: bool = True) -> Checked:
    """Verify a bundle against a trusted ``1.root.json`` and hash every blob.

    ``read_blobs`` False leaves the blobs to whoever copies and hashes them; that they are there is looked at.

    Raises:
        TrustRefused, DamagedFile, MissingFile, FormatRefused: the first bad file is named.
        OSError: the medium cannot be read.
    """
    verified = verify_bundle(folder, root=root)
    # The index lies among the blobs as well, for tools that look it up by its digest.
    digest, size = digest_of_file(folder / "index.json")
    blobs = {Descriptor(media_type=INDEX, digest=digest, size=size): "the index", **dict(_blobs(verified))}
    with byte_bar("checking", sum(blob.size for blob in blobs)) as bar:
        partial = (folder / UPDATE_FILE).is_file()
        absent = {blob for blob in blobs if partial and not pieces(folder, blob_path(blob.digest))}
        for blob, name in blobs.items():
            if read_blobs and blob not in absent:
                _check_blob(folder, blob, name, bar)
    lying = {blob: pieces(folder, blob_path(blob.digest)) for blob in blobs if blob not in absent}
    for blob, found in lying.items():
        if not found:
            open_file(folder, blob_path(blob.digest))  # which says that it is missing
    paths = sorted(
        {*STICK_FILES, *(path for found in lying.values() for path in found), *_read_before(verified)}
        | ({UPDATE_FILE, *(delta.path for delta in deltas_in(folder))} if partial else set())
    )
    return Checked(
        bundle=verified.index.name,
        version=verified.index.version,
        fingerprint=verified.fingerprint,
        metadata_version=verified.versions.timestamp,
        components=tuple(
            CheckedTarget(
                target=component.manifest.target,
                digest=component.digest,
                files=len(component.manifest.layers),
                bytes=sum(layer.blob.size for layer in component.manifest.layers),
            )
            for component in verified.components
        ),
        paths=tuple(paths),
        bytes=sum((folder / path).stat().st_size for path in paths),
        split=any(found != [blob_path(blob.digest)] for blob, found in lying.items()),
        absent=len(absent),
    )


def _blobs(verified: VerifiedBundle) -> Iterator[tuple[Descriptor, str]]:
    """Configs and layers, each with the words to name it; a blob that is named twice comes twice."""
    for component in verified.components:
        manifest = component.manifest
        yield manifest.config, f"the config of {manifest.target}"
        for layer in manifest.layers:
            yield layer.blob, f"{layer.path} of {manifest.target}"


def _read_before(verified: VerifiedBundle) -> Iterator[str]:
    """The files that verification itself has read: manifests and metadata."""
    for component in verified.components:
        yield blob_path(component.digest)
    yield from verified.metadata


def _check_blob(folder: Path, blob: Descriptor, name: str, bar: Any) -> None:
    path = blob_path(blob.digest)
    try:
        with open_file(folder, path) as file:
            found = digest_of_stream(file, bar.update)
    except OSError as error:
        # A worn medium fails while it is read, and its error names no file.
        raise DamagedFile(f"{path} ({name}) cannot be read: {error.strerror}.", todo="Use another stick.") from error
    if found != (blob.digest, blob.size):
        raise DamagedFile(
            f"{path} ({name}) is damaged or was changed.",
            needed="Its bytes are not those that were signed.",
            todo="Copy the bundle again, or use another stick.",
        )
