"""The NGO's signing folder, and the TUF metadata that makes a bundle theirs.

    KEYS/  (0700, every file 0600)
      root-1.key ...   say which keys count; needed again only to replace keys, so they may live elsewhere
      hq.key           signs every bundle
      N.root.json      who may sign; the fingerprint of the first is what a technician compares at the first install
      published.json   the last version signed, so that a newer bundle is newer for every box
      contributors...  whom headquarters lets sign what: ``bundles.contributors``

Keys are OpenSSH Ed25519 private keys under a passphrase, as ``ssh-keygen`` makes them. Roots are made and replaced in
``bundles.roots``; what a reader checks is in ``bundles.format.verify``. Source of the roles: the TUF specification
1.0, consistent snapshots.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from bundles.contributors import (
    Accepted,
    Contributors,
    given_out_roles,
    keep_given_out,
    read_contributors,
    refuse_own_name,
    role_version,
)
from bundles.errors import SigningError
from bundles.format.digest import root_fingerprint
from bundles.format.durable import replace_file
from bundles.format.metadata import PUBLISHED, REVOKED
from bundles.keys import open_key, public_path, read_public
from bundles.package import LIFETIME

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
    publishers: tuple[str, ...] = ()
    """Names under which headquarters has ever signed a bundle: no contributor may have one of them."""


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
    """Open the headquarters' key: the one of ``hq.key``, ``hq-2.key`` ... that the newest root names.

    Raises:
        SigningError: the folder is no signing folder, the passphrase is wrong, or the root names no key here.
    """
    root = newest_root(folder).signed
    named = {keyid for role in HQ_ROLES for keyid in root.roles[role].keyids}
    for path in sorted(folder.glob("hq*.key")):
        if SSlibKey.from_crypto(read_public(public_path(path)).key).keyid in named:
            signer = CryptoSigner(open_key(path, passphrase))
            if all(signer.public_key.keyid in root.roles[role].keyids for role in HQ_ROLES):
                return Signer(folder=folder, hq=signer)
    raise SigningError(f"The root in {folder} does not name any hq.key there.", todo="Take both from one backup.")


def newest_root(folder: Path) -> Metadata[Root]:
    """The root with the highest number in a signing folder.

    Raises:
        SigningError: there is none, or it cannot be read.
    """
    numbered = {int(p.name.split(".")[0]): p for p in folder.glob("*.root.json") if p.name.split(".")[0].isdigit()}
    if not numbered:
        raise SigningError(
            f"{folder} is no signing folder: 1.root.json is missing.",
            todo=f"Make one with: fieldpost-bundle root init --out {folder}",
        )
    path = numbered[max(numbered)]
    try:
        return Metadata[Root].from_bytes(path.read_bytes())
    except DeserializationError as error:
        raise SigningError(f"{path} cannot be read: {error}.", todo="Take it from a backup.") from error


def publish(
    signer: Signer,
    targets: Mapping[str, tuple[int, str]],
    out: Path,
    *,
    bundle: str,
    date: datetime,
    accepted: Accepted = Accepted(),  # noqa: B008 a value without state
) -> int:
    """Sign ``targets`` (name to length and SHA-256) and write the metadata folder ``out``; returns the version.

    The version is one more than the last, or the last again when exactly the same is signed for the same date, so
    that a repeated build is byte-identical. It is on disk before the metadata exist: a version is never used twice.

    Args:
        accepted: contributors' packages in the bundle; their roles travel as they signed them.

    Raises:
        SigningError: published.json or contributors.json cannot be read, or a target was revoked.
    """
    date = date.astimezone(UTC).replace(microsecond=0)
    expires = date + LIFETIME
    files = {path: TargetFile(length, {"sha256": sha256}, path) for path, (length, sha256) in sorted(targets.items())}
    with _locked(signer.folder):
        contributors = read_contributors(signer.folder)
        _refuse_revoked(targets, contributors)
        last = read_published(signer.folder)
        own = {name.split("/")[1] for name in targets if name.startswith("bundles/")}
        publishers = tuple(sorted({*own, *(last.publishers if last else ())}))
        for name in contributors.by_name:
            refuse_own_name(name, publishers)
        roles = {name: role_version(data) for name, data in given_out_roles(signer.folder).items()}
        roles |= {name: role_version(data) for name, data in accepted.roles.items()}
        content = _content(targets, expires, signer, contributors, accepted)
        if last is not None and last.content == content:
            version = last.version
        else:
            version = last.version + 1 if last else 1
            state = Published(
                version=version, content=content, bundle=bundle, date=date.isoformat(), publishers=publishers
            )
            told = json.dumps({"format": 1, **asdict(state)}, indent=2, sort_keys=True) + "\n"
            replace_file(signer.folder / "published.json", told.encode(), mode=0o600)
        keep_given_out(signer.folder, accepted.roles)
    out.mkdir(parents=True)
    for name, data in signer.roots().items():
        (out / name).write_bytes(data)
    for name, data in accepted.roles.items():
        (out / f"{roles[name]}.{name}.json").write_bytes(data)
    # A contributor stays in the snapshot for ever: boxes refuse one that forgets a role. Only the delegation goes.
    meta = {"targets.json": MetaFile(version), **{f"{name}.json": MetaFile(roles[name]) for name in sorted(roles)}}
    revoked = {REVOKED: dict(sorted(contributors.revoked.items()))} if contributors.revoked else {}
    published = {PUBLISHED: date.strftime("%Y-%m-%dT%H:%M:%SZ")}
    signed_targets = Targets(
        version=version,
        expires=expires,
        targets=files,
        delegations=contributors.delegations(),
        unrecognized_fields=revoked,
    )
    snapshot = Snapshot(version=version, expires=expires, meta=meta)
    timestamp = Timestamp(
        version=version, expires=expires, snapshot_meta=MetaFile(version), unrecognized_fields=published
    )
    for name, signed in (
        (f"{version}.targets.json", signed_targets),
        (f"{version}.snapshot.json", snapshot),
        ("timestamp.json", timestamp),
    ):
        metadata: Metadata[Any] = Metadata(signed)
        metadata.sign(signer.hq)
        (out / name).write_bytes(metadata.to_bytes(JSONSerializer()))
    return version


def _refuse_revoked(targets: Mapping[str, tuple[int, str]], contributors: Contributors) -> None:
    for target in sorted(targets.keys() & contributors.revoked.keys()):
        raise SigningError(
            f"{target} was revoked: {contributors.revoked[target]}.",
            needed="A revoked component is never signed again.",
            todo="Give it a new version, or leave it out.",
        )


def read_published(folder: Path) -> Published | None:
    """What was signed last with this folder; None before the first build.

    Raises:
        SigningError: the file is there and unreadable. Starting again at 1 would make boxes refuse every new bundle.
    """
    path = folder / "published.json"
    try:
        raw = json.loads(path.read_bytes())
        return Published(
            version=int(raw["version"]),
            content=raw["content"],
            bundle=raw["bundle"],
            date=raw["date"],
            publishers=tuple(map(str, raw.get("publishers", ()))),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise SigningError(
            f"{path} cannot be read: {error!r}.",
            needed="Boxes refuse a version that is not newer than theirs.",
            todo="Take it from a backup, or set its version above every bundle that you gave out.",
        ) from error


def _content(
    targets: Mapping[str, tuple[int, str]],
    expires: datetime,
    signer: Signer,
    contributors: Contributors,
    accepted: Accepted,
) -> str:
    delegations = contributors.delegations()
    parts = {
        "targets": dict(targets),
        "expires": expires.isoformat(),
        "key": signer.hq.public_key.keyid,
        "roots": sorted(signer.roots()),
        "delegations": delegations.to_dict() if delegations else None,
        "revoked": dict(contributors.revoked),
        "roles": {name: hashlib.sha256(data).hexdigest() for name, data in accepted.roles.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two builds with one folder must not take the same version."""
    try:
        import fcntl
    except ImportError as error:
        raise SigningError(
            "Bundles are signed on Linux or macOS.", needed="Contributors check, pack and sign on any system."
        ) from error
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
