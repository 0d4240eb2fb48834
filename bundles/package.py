"""A contributor's package: components in a bundle's own layout, with the contributor's signature in place of the NGO's.

    PACKAGE/
      oci-layout  index.json  blobs/sha256/<hex>     as in a bundle, all of one publisher: the contributor
      tuf/<contributor>.json                         the role that headquarters delegated to them

The contributor signs it here, with their own key, on their own machine; nothing is asked of headquarters. Whether they
may sign under these names is decided in ``bundles.contributors``, and again on every box.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

from bundles.errors import PackageRefused, SigningError
from bundles.format.digest import digest_of_file, is_digest
from bundles.format.durable import replace_file
from bundles.format.kinds import CONTRIBUTED, MANIFEST
from bundles.format.layout import blob_path, damaged, open_file, pieces, read_blob
from bundles.format.manifest import MAX_BYTES, Descriptor, Manifest, parse_index, parse_manifest
from bundles.keys import KDF_ROUNDS, new_key, open_key, public_of

LIFETIME = timedelta(days=3652)
"""Ten years: a box has no clock to trust, so an expiry protects little and a short one would strand boxes."""
RESERVED = ("root", "targets", "snapshot", "timestamp")
"""TUF's own roles; no contributor can be called so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedComponent:
    """One component of a package."""

    target: str
    """The name under which it is signed: ``adapters/amina/steps-1.0.0``."""
    blob: Descriptor
    """Of its manifest."""
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package whose every byte is there and is what its manifests say."""

    folder: Path
    contributor: str
    components: tuple[PackedComponent, ...]

    @property
    def metadata_path(self) -> Path:
        """Where the contributor's signed role lies in it."""
        return self.folder / "tuf" / f"{self.contributor}.json"

    @property
    def targets(self) -> Mapping[str, Descriptor]:
        """What must be signed."""
        return {component.target: component.blob for component in self.components}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPackage:
    """What was signed."""

    contributor: str
    version: int
    """Of the contributor's role, which grows with every package."""
    targets: tuple[str, ...]
    fingerprint: str
    """Of the key that signed."""


def new_contributor(folder: Path, name: str, passphrase: str, *, kdf_rounds: int = KDF_ROUNDS) -> str:
    """Make a contributor's key, ``name.key`` and ``name.pub``; returns its fingerprint.

    Raises:
        SigningError: the passphrase is too short, or there is a key already.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return public_of(new_key(folder / f"{name}.key", passphrase, kdf_rounds=kdf_rounds)).fingerprint


def read_package(folder: Path) -> Package:
    """Read one's own package and check every byte of it against its manifests; signatures are not looked at.

    Raises:
        PackageRefused: it holds what a contributor cannot sign, or components of several publishers.
        FormatRefused, DamagedFile, MissingFile: it is no whole package.
    """
    with open_file(folder, "index.json") as file:
        index = parse_index(file.read(MAX_BYTES + 1))
    if index.publisher in RESERVED:
        raise PackageRefused(f"A contributor cannot be called {index.publisher}.", todo="Take another name.")
    return _read(folder, index.publisher, {entry.target: entry.blob for entry in index.entries})


def read_signed_package(folder: Path, contributor: str, role: Targets) -> Package:
    """Read a stranger's package by what their verified role names: nothing of it is parsed unsigned.

    Its ``index.json`` is left alone: what counts is what the role signs and the package holds.

    Raises:
        PackageRefused: it holds nothing that they signed, or what a contributor cannot sign.
        FormatRefused, DamagedFile, MissingFile: it is no whole package.
    """
    signed = {
        name: Descriptor(media_type=MANIFEST, digest=f"sha256:{target.hashes.get('sha256', '')}", size=target.length)
        for name, target in sorted(role.targets.items())
    }
    held = {name: blob for name, blob in signed.items() if is_digest(blob.digest) and _holds(folder, blob)}
    return _read(folder, contributor, held)


def _holds(folder: Path, blob: Descriptor) -> bool:
    return bool(pieces(folder, blob_path(blob.digest)))


def _read(folder: Path, contributor: str, targets: Mapping[str, Descriptor]) -> Package:
    components = []
    for target, described in targets.items():
        manifest = parse_manifest(read_blob(folder, described))
        if manifest.target != target:
            raise PackageRefused(f"{target} calls itself {manifest.target}.", todo="Pack it again.")
        if manifest.kind not in CONTRIBUTED:
            raise PackageRefused(
                f"{target} is a {manifest.kind}.",
                needed=f"Contributors sign: {', '.join(CONTRIBUTED)}. All else is signed by headquarters.",
                todo="Send it to headquarters as it is.",
            )
        if manifest.publisher != contributor:
            raise PackageRefused(
                f"{target} is of {manifest.publisher}, and the package of {contributor}.",
                needed="A package has one publisher, who signs it.",
                todo="Pack it again with your own name as publisher.",
            )
        for blob in (manifest.config, *(layer.blob for layer in manifest.layers)):
            name = blob_path(blob.digest)
            with open_file(folder, name):  # says so when it is missing
                pass
            if digest_of_file(folder / name) != (blob.digest, blob.size):
                raise damaged(name)
        components.append(PackedComponent(target=target, blob=described, manifest=manifest))
    if not components:
        raise PackageRefused(f"{folder} holds no component of {contributor}.", todo="Pack and sign it again.")
    return Package(folder=folder, contributor=contributor, components=tuple(components))


def sign_package(folder: Path, key: Path, passphrase: str, *, date: datetime, version: int = 1) -> SignedPackage:
    """Sign a package as its contributor; the role as signed is kept beside the key, and grows with every package.

    Args:
        key: the private key; ``<contributor>.json`` beside it is what it signed last.
        version: the role gets at least this one; for a contributor who lost that file.

    Raises:
        PackageRefused, FormatRefused, DamagedFile, MissingFile: it is no package that a contributor can sign.
        SigningError: the key does not open, or the file beside it is not this key's.
    """
    package = read_package(folder)
    opened = open_key(key, passphrase)
    signer = CryptoSigner(opened)
    kept = key.with_name(f"{package.contributor}.json")
    last = _last_signed(kept, signer)
    targets = dict(last.targets) if last else {}
    for name, blob in package.targets.items():
        new = TargetFile(blob.size, {"sha256": blob.digest.removeprefix("sha256:")}, name)
        old = targets.get(name)
        if old is not None and old.hashes != new.hashes:
            raise PackageRefused(
                f"You have signed another {name} before.",
                needed="Boxes know a version by its name, so it never changes.",
                todo="Give it a new version, and pack it again.",
            )
        targets[name] = new
    if last is not None and targets == last.targets and version <= last.version:
        data = kept.read_bytes()
        number = last.version
    else:
        number = max(version, last.version + 1 if last else 1)
        expires = date.astimezone(UTC).replace(microsecond=0) + LIFETIME
        role = Targets(version=number, expires=expires, targets=dict(sorted(targets.items())))
        metadata = Metadata(role)
        metadata.sign(signer)
        data = metadata.to_bytes(JSONSerializer())
        replace_file(kept, data, mode=0o600)  # first: a version is never used twice
    package.metadata_path.parent.mkdir(exist_ok=True)
    replace_file(package.metadata_path, data)
    fingerprint = public_of(opened).fingerprint
    return SignedPackage(
        contributor=package.contributor, version=number, targets=tuple(package.targets), fingerprint=fingerprint
    )


def _last_signed(kept: Path, signer: CryptoSigner) -> Targets | None:
    if not kept.exists():
        return None
    try:
        metadata = Metadata[Targets].from_bytes(kept.read_bytes())
        signer.public_key.verify_signature(metadata.signatures[signer.public_key.keyid], metadata.signed_bytes)
        return metadata.signed
    except (RepositoryError, UnverifiedSignatureError, VerificationError, ValueError, KeyError) as error:
        raise SigningError(
            f"{kept} is not what this key signed last: {error}.",
            needed="The versions in it must go on.",
            todo="Take it from a backup. Without one, move it away and sign with --version above the last.",
        ) from error
