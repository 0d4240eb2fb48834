"""A bundle in an OCI registry: pushed so that skopeo or ORAS may carry it on, and pulled so that it verifies.

    TAG           the bundle's index, under it the components' manifests and their blobs
    TAG.trust     an artifact of its own with the TUF metadata and the files on top; its ``subject`` is that index

The index's bytes are the signed ones, so it cannot name its own signatures; hence two tags. ``TAG.trust`` is written
last and is all that a reader asks for by tag, so two bundles are never mixed. It holds the index's bytes as well: tools
such as skopeo 1.9 copy manifests as they are, and write an index anew. Over the wire: bundles.registry.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundles.check import Checked, check_bundle
from bundles.errors import RegistryError
from bundles.format.digest import digest_of, is_digest, root_fingerprint
from bundles.format.durable import sync_folder
from bundles.format.errors import BundleError, TrustRefused
from bundles.format.kinds import EMPTY_CONFIG, INDEX, MANIFEST, STICK_FILES
from bundles.format.layout import blob_path, open_file, read_verified
from bundles.format.manifest import Descriptor, parse_index, parse_manifest
from bundles.format.metadata import read_folder
from bundles.format.verify import verify_bundle
from bundles.placing import growing_folder, put_in_place
from bundles.registry import Reference, Registry
from bundles.write import canonical

TRUST_TYPE = "application/vnd.fieldpost.trust.v1"
_FILE = "application/octet-stream"
_TITLE = "org.opencontainers.image.title"
_METADATA = re.compile(r"tuf/[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.json")
_MAX_FILE = 64 << 20
"""Of a file of the trust artifact; installer.pyz is the largest, below 2 MiB."""
_MAX_FILES = 4096
_NEEDED = frozenset({*STICK_FILES, "tuf/1.root.json", "tuf/timestamp.json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a registry now holds."""

    place: str
    bundle: str
    version: str
    index: str
    """Digest of the bundle's index."""
    trust: str
    """Digest of the trust artifact."""
    sent_files: int
    sent_bytes: int
    kept_files: int
    """Blobs that the registry had already."""


def trust_tag(tag: str) -> str:
    """The tag beside ``tag`` under which the signatures lie."""
    return f"{tag}.trust"


def push(bundle: Path, place: Reference, registry: Registry) -> Pushed:
    """Store a whole bundle in a registry.

    Raises:
        BundleError: the bundle itself is not whole, or the registry refuses; what it has already is not sent again.
    """
    with open_file(bundle, "tuf/1.root.json") as file:
        checked = check_bundle(bundle, file.read())
    if checked.absent or checked.split:
        raise RegistryError(
            f"{bundle} holds {'only what changed' if checked.absent else 'blobs in pieces, as on a FAT32 stick'}.",
            needed="A registry takes whole bundles.",
            todo="Push the folder that build made.",
        )
    sent: list[int] = []
    kept = 0

    def send(path: str, digest: str) -> None:
        nonlocal kept
        if registry.push_blob(digest, bundle / path, path.rpartition("/")[2][:16]):
            sent.append((bundle / path).stat().st_size)
        else:
            kept += 1

    raw_index = (bundle / "index.json").read_bytes()
    index_digest = digest_of(raw_index)
    for entry in parse_index(raw_index).entries:
        raw = (bundle / blob_path(entry.blob.digest)).read_bytes()
        manifest = parse_manifest(raw)
        for digest in dict.fromkeys([manifest.config.digest, *(layer.blob.digest for layer in manifest.layers)]):
            send(blob_path(digest), digest)
        registry.put_manifest(entry.blob.digest, raw, MANIFEST)
    registry.put_manifest(place.tag, raw_index, INDEX)
    layers = []
    for path in checked.paths:
        if not path.startswith("blobs/"):
            data = (bundle / path).read_bytes()
            send(path, digest_of(data))
            layers.append(
                {"mediaType": _FILE, "digest": digest_of(data), "size": len(data), "annotations": {_TITLE: path}}
            )
    trust = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": TRUST_TYPE,
            "config": {"mediaType": EMPTY_CONFIG, "digest": digest_of(b"{}"), "size": 2},
            "layers": layers,
            "subject": {"mediaType": INDEX, "digest": index_digest, "size": len(raw_index)},
            "annotations": {
                "org.fieldpost.bundle": checked.bundle,
                "org.opencontainers.image.version": checked.version,
            },
        }
    )
    registry.push_blob(digest_of(b"{}"), b"{}", "config")
    registry.put_manifest(trust_tag(place.tag), trust, MANIFEST)
    return Pushed(
        place=str(place),
        bundle=checked.bundle,
        version=checked.version,
        index=index_digest,
        trust=digest_of(trust),
        sent_files=len(sent),
        sent_bytes=sum(sent),
        kept_files=kept,
    )


def pull(place: Reference, out: Path, registry: Registry, *, trusted: Callable[[bytes], None]) -> Checked:
    """Fetch a bundle into ``out``, replacing an older bundle there; interrupted, the next run goes on.

    Signatures are verified before any blob is fetched. Blobs that an older bundle in ``out`` has are not fetched.

    Args:
        trusted: is given the registry's 1.root.json and raises TrustRefused unless it is the right one.

    Raises:
        BundleError: something is not there, not whole, or not signed by whom ``trusted`` says; ``out`` is as it was.
    """
    out = out.resolve()
    growing = growing_folder(out)
    blobs = growing / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(growing / "tuf", ignore_errors=True)
    for path, blob in _parse_trust(registry.manifest(trust_tag(place.tag)), place).items():
        _write(growing / path, registry.blob(blob.digest, blob.size))
    root = (growing / "tuf" / "1.root.json").read_bytes()
    trusted(root)
    raw_index = _signed_index(growing, root)
    _write(growing / blob_path(digest_of(raw_index)), raw_index)
    for entry in parse_index(raw_index).entries:
        _write(growing / blob_path(entry.blob.digest), registry.manifest(entry.blob.digest))
    verified = verify_bundle(growing, root=root)
    for component in verified.components:
        manifest = component.manifest
        _obtain(manifest.config, f"the config of {manifest.name}", blobs, out, registry)
        for layer in manifest.layers:
            _obtain(layer.blob, f"{manifest.name}/{layer.path}", blobs, out, registry)
    checked = check_bundle(growing, root)
    wanted = {growing / path for path in checked.paths}
    for left in set(blobs.iterdir()) - wanted:  # of an earlier pull that was given up
        left.unlink()
    sync_folder(blobs)
    put_in_place(out, growing)
    return checked


def _signed_index(folder: Path, root: bytes) -> bytes:
    """The index once its signature held; the digests in it are then worth asking for."""
    with tempfile.TemporaryDirectory(prefix="fieldpost-trust-") as scratch:
        signed = read_folder(folder, root, Path(scratch)).target("stick/index.json")
    return read_verified(folder, "index.json", digest=signed.digest, size=signed.size)


def _obtain(blob: Descriptor, what: str, blobs: Path, old: Path, registry: Registry) -> None:
    """From the older bundle if it is there, else from the registry; a wrong byte is found either way."""
    name = blob.digest.removeprefix("sha256:")
    before = old / blob_path(blob.digest)
    if not (blobs / name).exists() and before.is_file() and not before.is_symlink():
        os.link(before, blobs / name)
    registry.fetch_blob(blob.digest, blob.size, blobs, what)


def _parse_trust(data: bytes, place: Reference) -> dict[str, Descriptor]:
    """Nobody has signed these bytes: all that they may say is which files to fetch, under names that we know."""
    try:
        raw = json.loads(data)
        if raw["artifactType"] != TRUST_TYPE:
            raise ValueError("another kind of artifact")
        files = {str(layer["annotations"][_TITLE]): _file(layer) for layer in raw["layers"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RegistryError(
            f"{place}.trust is not what Fieldpost pushes: {error!r}.", todo="Push the bundle again."
        ) from error
    strange = sorted(name for name in files if name not in _NEEDED and not _METADATA.fullmatch(name))
    missing = sorted(_NEEDED - files.keys())
    if strange or missing or len(files) > _MAX_FILES:
        raise RegistryError(
            f"{place}.trust {f'names {strange[0]!r}' if strange else f'lacks {missing or len(files)}'}.",
            needed="It holds exactly the files on top of a bundle and its signatures.",
            todo="Push the bundle again.",
        )
    return files


def _file(layer: dict[str, Any]) -> Descriptor:
    digest, size = layer["digest"], layer["size"]
    if not is_digest(digest) or type(size) is not int or not 0 <= size <= _MAX_FILE:
        raise ValueError(f"the file {digest!r} of {size!r} bytes")
    return Descriptor(media_type=_FILE, digest=digest, size=size)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def trust_file(expected: bytes) -> Callable[[bytes], None]:
    """Trust exactly this 1.root.json."""

    def check(found: bytes) -> None:
        if found != expected:
            raise _other_root(found, expected)

    return check


def trust_fingerprint(expected: str) -> Callable[[bytes], None]:
    """Trust the 1.root.json with this fingerprint."""

    def check(found: bytes) -> None:
        if root_fingerprint(found) != expected.strip():
            raise _other_root(found, expected.strip())

    return check


def _other_root(found: bytes, expected: bytes | str) -> BundleError:
    wanted = expected if isinstance(expected, str) else root_fingerprint(expected)
    return TrustRefused(
        f"The registry's bundle has the root fingerprint {root_fingerprint(found)}.",
        needed=f"Trusted is {wanted}.",
        todo="Check the place; if it is right, somebody else has written there.",
    )
