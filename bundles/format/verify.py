"""Whether a bundle is signed by whom this box trusts, and newer than what it has.

The checks, in this order; nothing is parsed before the check above it held:

    1  the root    1.root.json is the trusted one, byte for byte; newer roots are signed by the root before them
    2  the clock   none: a box has no clock to trust. Versions only grow, and a floor kept apart from TUF's own
                   files holds when a power cut emptied those
    3  metadata    timestamp, snapshot and targets are signed by the root's keys, and written as we write them
    4  the stick   every file on top of the bundle that is there has its signed bytes
    5  the index   has its signed bytes; only then parsed; and is signed under the bundle's own name
    6  manifests   have their signed bytes, under the very names the index gives, by headquarters or by the contributor
                   who may sign that name, and are not revoked; only then parsed
    7  each says of itself what its signed name says, and no two want one folder
    8  licences    each may be passed on, by the same tables as at the workstation

The index's second copy and the configs, which nobody opens, are hashed where they are there: no byte of a bundle is
free to change. The bytes of the layers are checked by whoever copies or reads them. Metadata are
``bundles.format.metadata``'s.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bundles.format.digest import digest_of_stream, root_fingerprint
from bundles.format.errors import FormatRefused, TrustRefused
from bundles.format.kinds import STICK_FILES
from bundles.format.layout import blob_path, damaged, open_file, read_blob, read_verified
from bundles.format.licence_policy import refuse_unpassable
from bundles.format.manifest import Descriptor, Index, Manifest, parse_index, parse_manifest
from bundles.format.metadata import MAX_ROOT_BYTES, SignedMetadata, Versions, read_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedComponent:
    """A component that may be installed."""

    manifest: Manifest
    digest: str
    """Of the manifest: the component's identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """A bundle whose every description is signed. Its blobs are still to be hashed."""

    index: Index
    components: tuple[VerifiedComponent, ...]
    on_top: Mapping[str, Descriptor]
    """What is signed for the files on top, by name: for those who copy one of them."""
    versions: Versions
    fingerprint: str
    published: str
    """When it was signed, ``2026-11-24T08:00:00Z``; empty for bundles that do not say."""
    revoked: Mapping[str, str]
    """Signed name of a component that no box may use any more, and why; of any bundle, not of this one."""
    metadata: tuple[str, ...]
    """The files of metadata that were read; those that ``trust`` had already are not among them."""


def verify_bundle(
    folder: Path, *, root: bytes, trust: Path | None = None, floor: Versions | None = None, all_files: bool = True
) -> VerifiedBundle:
    """Verify the bundle in ``folder``.

    Args:
        root: the trusted ``1.root.json``.
        trust: the metadata that this box trusted last; brought up to date in place, so pass a copy. None keeps none.
        floor: the versions below which everything is refused, whatever ``trust`` says.
        all_files: whether the files on top must all be there, as on a stick; a partial layout lacks some.

    Raises:
        TrustRefused, DamagedFile, MissingFile, FormatRefused, LicenceRefused: see the checks above; the file or the
            component is named.
        OSError: the medium cannot be read.
    """
    if trust is None:
        with tempfile.TemporaryDirectory(prefix="fieldpost-trust-") as scratch:
            return verify_bundle(folder, root=root, trust=Path(scratch), floor=floor, all_files=all_files)
    _check_root(folder, root)
    signed = read_folder(folder, root, trust)
    signed.check_floor(floor or Versions())
    on_top = _check_files_on_top(folder, signed, all_files=all_files)
    index = _read_index(folder, signed)
    components = tuple(_read_components(folder, signed, index))
    refuse_unpassable((component.manifest for component in components), index.accepted_licences)  # check 8
    signed.check_manner()
    return VerifiedBundle(
        index=index,
        components=components,
        on_top=on_top,
        versions=signed.versions,
        fingerprint=root_fingerprint(root),
        published=signed.published,
        revoked=signed.revoked,
        metadata=("tuf/1.root.json", *signed.files_read),
    )


def copy_trust(source: Path, target: Path) -> None:
    """Copy trusted metadata to work on; a missing source gives an empty folder."""
    shutil.rmtree(target, ignore_errors=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        target.mkdir(parents=True)


def _check_root(folder: Path, root: bytes) -> None:
    """Check 1."""
    with open_file(folder, "tuf/1.root.json") as file:
        found = file.read(MAX_ROOT_BYTES + 1)
    if found != root:
        raise TrustRefused(
            f"tuf/1.root.json has the fingerprint {root_fingerprint(found)}.",
            needed=f"Trusted is {root_fingerprint(root)}.",
            todo="Use a stick from your organisation; do not trust this one.",
        )


def _check_files_on_top(folder: Path, signed: SignedMetadata, *, all_files: bool) -> dict[str, Descriptor]:
    """Check 4."""
    on_top = {}
    for name in STICK_FILES:
        on_top[name] = signed.target(f"stick/{name}")
        if (folder / name).exists() or all_files or name == "index.json":
            with open_file(folder, name) as file:
                if digest_of_stream(file) != (on_top[name].digest, on_top[name].size):
                    raise damaged(name)
    return on_top


def _read_index(folder: Path, signed: SignedMetadata) -> Index:
    """Check 5."""
    target = signed.target("stick/index.json")
    index = parse_index(read_verified(folder, "index.json", digest=target.digest, size=target.size))
    if signed.target(index.target).digest != target.digest:
        raise TrustRefused("index.json is not the bundle that was signed.", needed=f"{index.target} is needed.")
    _check_unread(folder, target)
    return index


def _check_unread(folder: Path, blob: Descriptor) -> None:
    """A blob that nobody opens may be absent, never changed."""
    if (folder / blob_path(blob.digest)).exists():
        read_blob(folder, blob)


def _read_components(folder: Path, signed: SignedMetadata, index: Index) -> Iterator[VerifiedComponent]:
    """Checks 6 and 7."""
    folders: set[str] = set()
    for entry in index.entries:
        if entry.target in signed.revoked:
            raise TrustRefused(
                f"{entry.target} was revoked: {signed.revoked[entry.target]}.", todo="Build the bundle without it."
            )
        target = signed.target(entry.target)
        if (target.digest, target.size) != (entry.blob.digest, entry.blob.size):
            raise TrustRefused(
                f"The index names another {entry.target} than the one that was signed.",
                todo="Use a stick from your organisation.",
            )
        manifest = parse_manifest(read_blob(folder, entry.blob))
        if manifest.target != entry.target:
            raise FormatRefused(f"{entry.target} calls itself {manifest.target}.")
        if manifest.folder in folders:
            raise FormatRefused(f"Two components of the bundle want the folder {manifest.folder}.")
        folders.add(manifest.folder)
        _check_unread(folder, manifest.config)
        yield VerifiedComponent(manifest=manifest, digest=entry.blob.digest)
