"""The NGO's signing folder, and the TUF metadata that makes a bundle theirs. The one writer of TUF metadata.

    KEYS/  (0700, every file 0600)
      root.key         says which keys count; needed again only to replace keys, so it may live elsewhere
      hq.key           signs every bundle
      1.root.json      signed once by root.key; its fingerprint is what a technician compares at the first install
      published.json   the last version signed, so that a newer bundle is newer for every box

Both keys are OpenSSH Ed25519 private keys under a passphrase, as ``ssh-keygen`` makes them. What a reader checks is
in ``bundles.format.verify``. Source of the roles: the TUF specification 1.0, consistent snapshots.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, load_ssh_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from bundles.errors import SigningError
from bundles.format.digest import root_fingerprint
from bundles.format.durable import replace_file

LIFETIME = timedelta(days=3652)
"""Ten years: a box has no clock to trust, so an expiry protects little and a short one would strand boxes."""

KDF_ROUNDS = 64
"""bcrypt rounds on the key files: half a second on the workstation for each guess of a passphrase."""

MIN_PASSPHRASE = 8
HQ_ROLES = ("targets", "snapshot", "timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The last signed state."""

    version: int
    """Of timestamp, snapshot and targets alike."""
    content: str
    """SHA-256 over what was signed besides the version: the same again keeps its version."""
    bundle: str
    date: str


def new_keys(
    folder: Path, *, root_passphrase: str, hq_passphrase: str, date: datetime, kdf_rounds: int = KDF_ROUNDS
) -> str:
    """Make a signing folder; returns the root's fingerprint.

    Raises:
        SigningError: a passphrase is too short, or the folder already holds something.
    """
    for passphrase in (root_passphrase, hq_passphrase):
        if len(passphrase) < MIN_PASSPHRASE:
            raise SigningError(
                f"The passphrase has {len(passphrase)} characters.",
                needed=f"At least {MIN_PASSPHRASE} are needed.",
                todo="Take a sentence that you can remember.",
            )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SigningError(f"{folder} already holds something.", needed="Keys are never overwritten.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    root_key, hq_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    root_signer, hq_signer = CryptoSigner(root_key), CryptoSigner(hq_key)
    root = Root(version=1, expires=_whole_second(date) + LIFETIME, consistent_snapshot=True)
    root.add_key(root_signer.public_key, "root")
    for role in HQ_ROLES:
        root.add_key(hq_signer.public_key, role)
    metadata = Metadata(root)
    metadata.sign(root_signer)
    data = metadata.to_bytes(JSONSerializer())
    _write_private(folder / "root.key", _seal(root_key, root_passphrase, kdf_rounds))
    _write_private(folder / "hq.key", _seal(hq_key, hq_passphrase, kdf_rounds))
    _write_private(folder / "1.root.json", data)
    return root_fingerprint(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """An opened signing folder."""

    folder: Path
    hq: CryptoSigner

    def roots(self) -> Mapping[str, bytes]:
        """Every published root, ``1.root.json`` and up."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.glob("*.root.json"))}

    @property
    def fingerprint(self) -> str:
        return root_fingerprint((self.folder / "1.root.json").read_bytes())


def open_signer(folder: Path, passphrase: str) -> Signer:
    """Open the headquarters' key.

    Raises:
        SigningError: the folder is no signing folder, the passphrase is wrong, or the root does not name this key.
    """
    try:
        sealed = (folder / "hq.key").read_bytes()
        root = Metadata[Root].from_bytes(_newest_root(folder).read_bytes()).signed
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SigningError(
            f"{folder} is no signing folder: {error.filename} is missing.",
            todo=f"Make one with: fieldpost-bundle key new --out {folder}",
        ) from error
    except DeserializationError as error:
        raise SigningError(f"The root in {folder} cannot be read: {error}.", todo="Take it from a backup.") from error
    try:
        key = load_ssh_private_key(sealed, passphrase.encode())
    except (ValueError, TypeError) as error:
        raise SigningError(
            f"{folder / 'hq.key'} does not open with this passphrase.", todo="Try again, or take the key from a backup."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningError(f"{folder / 'hq.key'} is no Ed25519 key.", todo="Take it from a backup.")
    signer = CryptoSigner(key)
    if any(signer.public_key.keyid not in root.roles[role].keyids for role in HQ_ROLES):
        raise SigningError(f"The root in {folder} does not name its hq.key.", todo="Take both from one backup.")
    return Signer(folder=folder, hq=signer)


def publish(signer: Signer, targets: Mapping[str, tuple[int, str]], out: Path, *, bundle: str, date: datetime) -> int:
    """Sign ``targets`` (name to length and SHA-256) and write the metadata folder ``out``; returns the version.

    The version is one more than the last, or the last again when exactly the same is signed for the same date, so
    that a repeated build is byte-identical. It is on disk before the metadata exist: a version is never used twice.

    Raises:
        SigningError: published.json cannot be read.
    """
    expires = _whole_second(date) + LIFETIME
    files = {path: TargetFile(length, {"sha256": sha256}, path) for path, (length, sha256) in sorted(targets.items())}
    content = _content(targets, expires, signer)
    with _locked(signer.folder):
        last = read_published(signer.folder)
        if last is not None and last.content == content:
            version = last.version
        else:
            version = last.version + 1 if last else 1
            state = Published(version=version, content=content, bundle=bundle, date=_whole_second(date).isoformat())
            told = json.dumps({"format": 1, **asdict(state)}, indent=2, sort_keys=True) + "\n"
            _write_private(signer.folder / "published.json", told.encode())
    out.mkdir(parents=True)
    for name, data in signer.roots().items():
        (out / name).write_bytes(data)
    signed_targets = Targets(version=version, expires=expires, targets=files)
    snapshot = Snapshot(version=version, expires=expires, meta={"targets.json": MetaFile(version)})
    timestamp = Timestamp(version=version, expires=expires, snapshot_meta=MetaFile(version))
    for name, signed in (
        (f"{version}.targets.json", signed_targets),
        (f"{version}.snapshot.json", snapshot),
        ("timestamp.json", timestamp),
    ):
        metadata: Metadata[Any] = Metadata(signed)
        metadata.sign(signer.hq)
        (out / name).write_bytes(metadata.to_bytes(JSONSerializer()))
    return version


def read_published(folder: Path) -> Published | None:
    """What was signed last with this folder; None before the first build.

    Raises:
        SigningError: the file is there and unreadable. Starting again at 1 would make boxes refuse every new bundle.
    """
    path = folder / "published.json"
    try:
        raw = json.loads(path.read_bytes())
        return Published(version=int(raw["version"]), content=raw["content"], bundle=raw["bundle"], date=raw["date"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise SigningError(
            f"{path} cannot be read: {error!r}.",
            needed="Boxes refuse a version that is not newer than theirs.",
            todo="Take it from a backup, or set its version above every bundle that you gave out.",
        ) from error


def _content(targets: Mapping[str, tuple[int, str]], expires: datetime, signer: Signer) -> str:
    parts = {"targets": dict(targets), "expires": expires.isoformat(), "key": signer.hq.public_key.keyid}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _seal(key: Ed25519PrivateKey, passphrase: str, rounds: int) -> bytes:
    encryption = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(rounds).build(passphrase.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption)


def _newest_root(folder: Path) -> Path:
    numbered = {int(p.name.split(".")[0]): p for p in folder.glob("*.root.json") if p.name.split(".")[0].isdigit()}
    return numbered[max(numbered)] if numbered else folder / "1.root.json"


def _whole_second(date: datetime) -> datetime:
    return date.astimezone(UTC).replace(microsecond=0)


def _write_private(path: Path, data: bytes) -> None:
    replace_file(path, data, mode=0o600)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two builds with one folder must not take the same version."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
