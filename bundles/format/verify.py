"""Whether a bundle is signed by whom this box trusts, and newer than what it has: the readers' door to TUF.

The checks, in this order; nothing is parsed before the check above it held:

    1  the root    1.root.json is the trusted one, byte for byte; newer roots are signed by the root before them
    2  the clock   none: a box has no clock to trust. Versions only grow, and a floor kept apart from TUF's own
                   files holds when a power cut emptied those
    3  metadata    timestamp, snapshot and targets are signed by the root's keys, and written as we write them
    4  the stick   every file on top of the bundle that is there has its signed bytes
    5  the index   has its signed bytes; only then parsed; and is signed under the bundle's own name
    6  manifests   have their signed bytes, under the very names the index gives; only then parsed
    7  each says of itself what its signed name says, and no two want one folder

The index's second copy and the configs, which nobody opens, are hashed where they are there: no byte of a bundle is
free to change. The bytes of the layers are checked by whoever copies or reads them. Source: the TUF specification 1.0.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuf.api import exceptions
from tuf.api.metadata import Metadata, TargetFile
from tuf.api.serialization.json import JSONSerializer
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from bundles.format.digest import root_fingerprint
from bundles.format.errors import BundleError, DamagedFile, FormatRefused, MissingFile, TrustRefused
from bundles.format.kinds import INDEX, STICK_FILES
from bundles.format.layout import blob_path, damaged, open_file, read_blob, read_verified
from bundles.format.manifest import Descriptor, Index, Manifest, parse_index, parse_manifest

# Expiry is compared with this, so that it never blocks: clocks start in 1970, or in whatever year a battery died.
_NO_CLOCK = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNATURE = re.compile(r"[0-9a-f]+")
_BASE = "stick:///"
_ANY_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Versions of the four top-level roles."""

    root: int = 0
    timestamp: int = 0
    snapshot: int = 0
    targets: int = 0


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
        TrustRefused, DamagedFile, MissingFile, FormatRefused: see the checks above; the file is named.
        OSError: the medium cannot be read.
    """
    if trust is None:
        with tempfile.TemporaryDirectory(prefix="fieldpost-trust-") as scratch:
            return verify_bundle(folder, root=root, trust=Path(scratch), floor=floor, all_files=all_files)
    _check_root(folder, root)
    signed = _Signed(folder, root, trust)
    _check_floor(signed.versions, floor or Versions())
    on_top = _check_files_on_top(folder, signed, all_files=all_files)
    index = _read_index(folder, signed)
    components = tuple(_read_components(folder, signed, index))
    signed.check_spelling()
    return VerifiedBundle(
        index=index,
        components=components,
        on_top=on_top,
        versions=signed.versions,
        fingerprint=root_fingerprint(root),
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
        found = file.read(UpdaterConfig().root_max_length + 1)
    if found != root:
        raise TrustRefused(
            f"tuf/1.root.json has the fingerprint {root_fingerprint(found)}.",
            needed=f"Trusted is {root_fingerprint(root)}.",
            todo="Use a stick from your organisation; do not trust this one.",
        )


class _Signed:
    """The signed metadata of one bundle: target names in, lengths and hashes out; every refusal names its file."""

    def __init__(self, folder: Path, root: bytes, trust: Path) -> None:
        """Checks 1 to 3."""
        self._reader = _FolderReader(folder)
        with self._in_words():
            self._updater = Updater(
                str(trust), f"{_BASE}tuf/", fetcher=self._reader, config=UpdaterConfig(), bootstrap=root
            )
            # ngclient has no public way to do without a clock; the version of tuf is pinned and a test watches this.
            self._updater._trusted_set.reference_time = _NO_CLOCK
            self._updater.refresh()
        trusted = self._updater._trusted_set
        self.versions = Versions(
            root=trusted.root.version,
            timestamp=trusted.timestamp.version,
            snapshot=trusted.snapshot.version,
            targets=trusted.targets.version,
        )
        self.check_spelling()

    def target(self, name: str) -> TargetFile:
        """A target, through whichever delegation may sign it."""
        with self._in_words():
            target = self._updater.get_targetinfo(name)
        if target is None:
            raise TrustRefused(f"{name} is not signed by anybody who may.", todo="Build the bundle again.")
        return target

    def check_spelling(self) -> None:
        """JSON says the same in many spellings, and a signature covers only the sense; we accept our spelling only.

        So a flipped bit is found wherever it is, and nothing can hide in a verified file.
        """
        for name, data in self._reader.read.items():
            metadata: Metadata[Any] = Metadata.from_bytes(data)
            signatures = json.loads(data)["signatures"]
            plain = all(_SIGNATURE.fullmatch(signature["sig"]) for signature in signatures)
            if not plain or metadata.to_bytes(JSONSerializer()) != data:
                raise damaged(name)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """TUF's errors in a technician's words, with the file that TUF does not name."""
        try:
            yield
        except exceptions.BadVersionNumberError as error:
            raise _older(self._reader.last) from error
        except exceptions.UnsignedMetadataError as error:
            raise TrustRefused(
                f"{self._reader.last} is damaged, or is not signed by a key that is trusted here.",
                todo="Copy the bundle again; if it stays, use a stick from your organisation.",
            ) from error
        except exceptions.DownloadHTTPError as error:
            raise MissingFile(f"{self._reader.last} is missing.", todo="Copy the whole bundle again.") from error
        except (exceptions.RepositoryError, exceptions.DownloadError, ValueError) as error:
            raise DamagedFile(f"{self._reader.last} cannot be read: {error}.", todo="Copy the bundle again.") from error


def _check_floor(versions: Versions, floor: Versions) -> None:
    """Check 2."""
    for role, version in asdict(versions).items():
        if version < getattr(floor, role):
            raise _older(f"tuf/{role}")


def _older(name: str) -> TrustRefused:
    return TrustRefused(
        f"{name} is older than what this box already has.",
        needed="A bundle is never replaced by an older one.",
        todo="Use the newest stick.",
    )


def _check_files_on_top(folder: Path, signed: _Signed, *, all_files: bool) -> dict[str, Descriptor]:
    """Check 4."""
    on_top = {}
    for name in STICK_FILES:
        target = signed.target(f"stick/{name}")
        if (folder / name).exists() or all_files or name == "index.json":
            _check_bytes(folder, name, target)
        on_top[name] = Descriptor(media_type=_ANY_BYTES, digest=_digest(target), size=target.length)
    return on_top


def _check_bytes(folder: Path, name: str, target: TargetFile) -> None:
    with open_file(folder, name) as file:
        try:
            target.verify_length_and_hashes(file)
        except exceptions.LengthOrHashMismatchError as error:
            raise damaged(name) from error


def _read_index(folder: Path, signed: _Signed) -> Index:
    """Check 5."""
    target = signed.target("stick/index.json")
    index = parse_index(read_verified(folder, "index.json", digest=_digest(target), size=target.length))
    if _digest(signed.target(index.target)) != _digest(target):
        raise TrustRefused("index.json is not the bundle that was signed.", needed=f"{index.target} is needed.")
    _check_unread(folder, Descriptor(media_type=INDEX, digest=_digest(target), size=target.length))
    return index


def _check_unread(folder: Path, blob: Descriptor) -> None:
    """A blob that nobody opens may be absent, never changed."""
    if (folder / blob_path(blob.digest)).exists():
        read_blob(folder, blob)


def _read_components(folder: Path, signed: _Signed, index: Index) -> Iterator[VerifiedComponent]:
    """Checks 6 and 7."""
    folders: set[str] = set()
    for entry in index.entries:
        target = signed.target(entry.target)
        if _digest(target) != entry.blob.digest or target.length != entry.blob.size:
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


def _digest(target: TargetFile) -> str:
    try:
        return f"sha256:{target.hashes['sha256']}"
    except KeyError as error:
        raise FormatRefused(f"{target.path} is signed without a SHA-256.") from error


class _FolderReader(FetcherInterface):
    """Gives TUF its metadata files from a folder, and remembers which: its own errors name none."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.last = "tuf/1.root.json"
        self.read: dict[str, bytes] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(_BASE)
        try:
            with open_file(self._root, name) as file:
                self.last = name
                data = file.read(UpdaterConfig().targets_max_length + 1)
        except (BundleError, ValueError) as error:
            # A newer root is asked for until there is none; only then is a missing file our news.
            if not name.endswith(".root.json"):
                self.last = name
            raise exceptions.DownloadHTTPError(f"{name} is missing", 404) from error
        self.read[name] = data
        yield data


def versions_from(raw: Mapping[str, object]) -> Versions:
    """Versions out of a JSON object.

    Raises:
        ValueError: a version is no whole number.
    """
    values = {role: raw.get(role, 0) for role in asdict(Versions())}
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values.values()):
        raise ValueError(f"versions {values!r}")
    return Versions(**values)  # type: ignore[arg-type]
