"""Whom headquarters lets sign what, and which packages it has taken back: the delegations of a signing folder.

    KEYS/contributors.json          who may sign under which names, with which key; and what is revoked
    KEYS/contributors/<name>.json   a contributor's role as it was last given out; kept after they are revoked

What stands here takes effect with the next bundle, which headquarters signs with it. A delegation is terminating and
covers names such as ``adapters/amina/*`` only, so that no contributor can replace a base model, the runtime, the
installer, or another contributor's work. Source: TUF specification 1.0, delegations.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from securesystemslib.signer import SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Delegations, Key, Metadata, Targets
from tuf.api.serialization.json import JSONSerializer

from bundles.errors import PackageRefused, SigningError
from bundles.format.durable import replace_file
from bundles.format.errors import MissingFile
from bundles.format.kinds import CONTRIBUTED, KINDS
from bundles.format.layout import open_file
from bundles.keys import PublicKey, parse_public
from bundles.package import RESERVED, Package, read_signed_package
from bundles.recipe import NAME

MAX_ROLE_BYTES = 5_000_000
"""Of a contributor's metadata: what a box reads at most."""
_FOLDERS = tuple(f"{kind}s" for kind in CONTRIBUTED)
_PATTERN = re.compile(rf"({'|'.join(_FOLDERS)})/([^/]+)/([a-z0-9._-]*\*)")
_COMPONENT = re.compile(rf"({'|'.join(f'{kind}s' for kind in {*KINDS, *CONTRIBUTED})})/[a-z0-9._-]+/[0-9A-Za-z.+_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributor:
    """Somebody who may sign under some names."""

    key: str
    """Their public key's line."""
    paths: tuple[str, ...]
    """Patterns such as ``adapters/amina/*``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributors:
    """The delegations of one signing folder, as its next bundle will sign them."""

    by_name: Mapping[str, Contributor] = field(default_factory=dict)
    revoked: Mapping[str, str] = field(default_factory=dict)
    """Signed name of a component to the reason why no box shall use it any more."""

    def delegations(self) -> Delegations | None:
        """As TUF writes them; None when there are none."""
        if not self.by_name:
            return None
        keys: dict[str, Key] = {}
        roles = {}
        for name, contributor in sorted(self.by_name.items()):
            key = SSlibKey.from_crypto(parse_public(contributor.key, name).key)
            keys[key.keyid] = key
            roles[name] = DelegatedRole(
                name=name, keyids=[key.keyid], threshold=1, terminating=True, paths=list(contributor.paths)
            )
        return Delegations(keys=keys, roles=roles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What headquarters takes into a bundle from its contributors."""

    packages: tuple[Package, ...] = ()
    roles: Mapping[str, bytes] = field(default_factory=dict)
    """Contributor to their signed role, which covers all of their packages here."""


def read_contributors(folder: Path) -> Contributors:
    """The delegations of a signing folder.

    Raises:
        SigningError: the file is there and is not ours. Starting anew would forget what is revoked.
    """
    path = folder / "contributors.json"
    try:
        raw = json.loads(path.read_bytes())
        if raw["format"] != 1:
            raise ValueError(f"format {raw['format']}")
        by_name = {
            name: Contributor(key=parse_public(c["key"], name).line, paths=checked_paths(name, c["paths"]))
            for name, c in raw["contributors"].items()
        }
        return Contributors(by_name=by_name, revoked={str(k): str(v) for k, v in raw["revoked"].items()})
    except FileNotFoundError:
        return Contributors()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SigningError(f"{path} cannot be read: {error!r}.", todo="Take it from a backup.") from error


def write_contributors(folder: Path, contributors: Contributors) -> None:
    """Keep the delegations in a signing folder."""
    named = {name: {"key": c.key, "paths": list(c.paths)} for name, c in contributors.by_name.items()}
    raw = {"format": 1, "contributors": named, "revoked": dict(contributors.revoked)}
    data = (json.dumps(raw, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    replace_file(folder / "contributors.json", data, mode=0o600)


def delegate(
    contributors: Contributors, name: str, key: PublicKey, paths: Sequence[str], *, publishers: Collection[str] = ()
) -> Contributors:
    """Let ``name`` sign under ``paths`` with ``key``; what they could before is replaced.

    Args:
        publishers: names under which headquarters itself signs.

    Raises:
        SigningError: the name, a path, or the key of somebody else.
    """
    check_name(name)
    refuse_own_name(name, publishers)
    for other, contributor in contributors.by_name.items():
        if other != name and contributor.key == key.line:
            raise SigningError(
                f"This key is {other}'s.", needed="Each contributor signs with a key of their own.", todo="Ask for it."
            )
    added = Contributor(key=key.line, paths=checked_paths(name, paths))
    return replace(contributors, by_name={**contributors.by_name, name: added})


def check_name(name: str) -> None:
    """Raise SigningError unless a contributor can be called so."""
    if not NAME.fullmatch(name) or name in RESERVED:
        raise SigningError(
            f"A contributor cannot be called {name!r}.", needed="Small letters, digits, and . _ - within."
        )


def refuse_own_name(name: str, publishers: Collection[str]) -> None:
    """Raise SigningError when headquarters signs under that name: a contributor would speak as the NGO."""
    if name in publishers:
        raise SigningError(
            f"{name} is your organisation's own name: your bundles are published under it.",
            needed="A contributor signs under a name of their own.",
            todo="Choose another name with them.",
        )


def fingerprint(contributor: Contributor) -> str:
    """Of their key, as ssh shows it."""
    return parse_public(contributor.key, "the key").fingerprint


def checked_paths(name: str, paths: Sequence[str]) -> tuple[str, ...]:
    """The patterns, if each is one that this contributor may be given.

    Raises:
        SigningError: one leads beyond the contributor's own name, or to a kind that nobody else may sign.
    """
    if not paths:
        raise SigningError(f"{name} is given no path.", todo=f"Name some, such as adapters/{name}/*")
    for path in paths:
        found = _PATTERN.fullmatch(path)
        if found is None or found[2] != name:
            raise SigningError(
                f"{path!r} cannot be given to {name}.",
                needed=f"A contributor signs under their own name: {', '.join(f'{f}/{name}/*' for f in _FOLDERS)}.",
                todo="Models, the runtime, the stick's files and bundles are signed by headquarters alone.",
            )
    return tuple(dict.fromkeys(paths))


def revoke_contributor(folder: Path, contributors: Contributors, name: str, reason: str) -> Contributors:
    """Take the delegation back, and revoke every component of theirs that was ever given out.

    Raises:
        SigningError: there is no such contributor.
    """
    if name not in contributors.by_name:
        known = ", ".join(sorted(contributors.by_name)) or "nobody"
        raise SigningError(f"{name} is no contributor.", needed=f"There are: {known}.")
    targets = sorted(_targets_of(given_out_roles(folder).get(name)))
    left = {other: c for other, c in contributors.by_name.items() if other != name}
    return replace(contributors, by_name=left, revoked={**contributors.revoked, **dict.fromkeys(targets, reason)})


def revoke_component(contributors: Contributors, target: str, reason: str) -> Contributors:
    """Revoke one component of anybody's by its signed name.

    Raises:
        SigningError: that is no name under which a component is signed.
    """
    if not _COMPONENT.fullmatch(target):
        raise SigningError(
            f"{target!r} is no signed name of a component.",
            needed="One such as adapters/amina/steps-1.0.0 is needed; verify shows them.",
        )
    return replace(contributors, revoked={**contributors.revoked, target: reason})


def given_out_roles(folder: Path) -> dict[str, bytes]:
    """Every contributor's role as it was last given out, also of those who were revoked since."""
    return {path.stem: path.read_bytes() for path in sorted((folder / "contributors").glob("*.json"))}


def given_out_targets(folder: Path) -> frozenset[str]:
    """Signed names of everything that contributors ever had given out."""
    return frozenset(target for data in given_out_roles(folder).values() for target in _targets_of(data))


def _targets_of(role: bytes | None) -> Iterable[str]:
    return Metadata[Targets].from_bytes(role).signed.targets if role else ()


def keep_given_out(folder: Path, roles: Mapping[str, bytes]) -> None:
    """Remember contributors' roles as a bundle now gives them out."""
    (folder / "contributors").mkdir(mode=0o700, exist_ok=True)
    for name, data in roles.items():
        replace_file(folder / "contributors" / f"{name}.json", data, mode=0o600)


def role_version(data: bytes) -> int:
    """The version of a contributor's role that was accepted before."""
    return Metadata[Targets].from_bytes(data).signed.version


def accept_packages(folder: Path, packages: Iterable[Path]) -> Accepted:
    """Take contributors' packages: every byte is whole, and signed by whom this signing folder lets sign it.

    Raises:
        PackageRefused: the contributor is unknown or revoked, signed with another key, signed another's name, or gave
            a role that is older than what was given out already.
        FormatRefused, DamagedFile, MissingFile: it is no whole package.
        SigningError: contributors.json cannot be read.
    """
    contributors = read_contributors(folder)
    roles = given_out_roles(folder)
    used: dict[str, bytes] = {}
    read = []
    for path in packages:
        name = _signer_of(path)
        if name not in contributors.by_name:
            raise PackageRefused(
                f"{path} is from {name}, who is no contributor of yours.",
                todo=f"Run: fieldpost-bundle delegate {name} --paths 'adapters/{name}/*' --key {name}.pub",
            )
        data = _role_of(path, name)
        role = _checked_role(contributors, name, data, str(path / f"tuf/{name}.json"))
        known = used.get(name) or roles.get(name)
        # One role covers all packages of a contributor, so the newest counts; an older one alone could be a replay.
        newest = data if known is None or role.version >= role_version(known) else known
        _checked_role(contributors, name, newest, f"{name}'s newest role")
        used[name] = newest
        read.append(read_signed_package(path, name, role))  # only now is anything of it parsed
    for package in read:
        _check_covered(contributors, package, Metadata[Targets].from_bytes(used[package.contributor]).signed)
    return Accepted(packages=tuple(read), roles=used)


def _signer_of(package: Path) -> str:
    """Whose package it says it is: the name of its one role."""
    found = sorted(path.stem for path in (package / "tuf").glob("*.json"))
    if len(found) != 1:
        raise MissingFile(
            f"{package} holds {len(found)} roles: tuf/<contributor>.json.",
            needed="A package is signed by one contributor.",
            todo="Ask for it again, signed with: fieldpost-bundle sign",
        )
    return found[0]


def _role_of(package: Path, name: str) -> bytes:
    with open_file(package, f"tuf/{name}.json") as file:
        data = file.read(MAX_ROLE_BYTES + 1)
    if len(data) > MAX_ROLE_BYTES:
        raise PackageRefused(f"{package}/tuf/{name}.json is larger than {MAX_ROLE_BYTES:,} bytes.")
    return data


def _checked_role(contributors: Contributors, name: str, data: bytes, where: str) -> Targets:
    """The role, if the contributor's own key signed it, it is written as we write, and delegates nothing further."""
    delegator = Targets(delegations=contributors.delegations())
    fingerprint = parse_public(contributors.by_name[name].key, name).fingerprint
    try:
        metadata = Metadata[Targets].from_bytes(data)
        if metadata.signed.type != Targets.type:
            raise PackageRefused(f"{where} is no role of a contributor.", todo="Sign it again.")
        delegator.verify_delegate(name, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise PackageRefused(
            f"{where} is not signed by {name}.",
            needed=f"Their key here is {fingerprint}.",
            todo=f"Ask {name} to sign it again; when their key is a new one, delegate to that one.",
        ) from error
    if metadata.to_bytes(JSONSerializer()) != data or metadata.signed.delegations is not None:
        raise PackageRefused(f"{where} is not written as fieldpost-bundle writes it.", todo="Sign it again.")
    return metadata.signed


def _check_covered(contributors: Contributors, package: Package, role: Targets) -> None:
    name = package.contributor
    allowed = DelegatedRole(name, [], 1, True, list(contributors.by_name[name].paths))
    for target, blob in package.targets.items():
        if not allowed.is_delegated_path(target):
            raise PackageRefused(
                f"{name} may not sign {target}.",
                needed=f"They may sign: {', '.join(contributors.by_name[name].paths)}.",
                todo="Ask them for another name, or delegate anew: all their paths in one command.",
            )
        if target in contributors.revoked:
            raise PackageRefused(
                f"{target} was revoked: {contributors.revoked[target]}.", todo="Take a newer version of it."
            )
        signed = role.targets.get(target)
        if signed is None or signed.length != blob.size or signed.hashes != {"sha256": blob.digest[7:]}:
            raise PackageRefused(
                f"{name}'s newest role, version {role.version}, does not cover {target} in {package.folder}.",
                needed=f"A version above {role.version} that does.",
                todo=f"Ask {name} to sign it again, if need be with --version {role.version + 1}.",
            )
