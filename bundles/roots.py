"""The root of an NGO's trust: which keys count. Each new one is signed by the one before.

    KEYS/
      root-1.key root-1.pub ...   one for each person who may decide about keys; they belong in safes
      hq.key hq.pub               signs bundles; after a rotation hq-2.key, where 2 is the root that names it
      1.root.json 2.root.json ... every root there ever was: a box that missed some follows them one by one
      3.root.draft.json           a root that still needs signatures

With a threshold of two or more, no single person and no single stolen key can change whom the boxes trust. A new root
needs the threshold of the old root and its own. Source: TUF specification 1.0, 5.3 and 6.1.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from bundles.errors import SigningError
from bundles.format.digest import root_fingerprint
from bundles.format.durable import replace_file
from bundles.keys import KDF_ROUNDS, check_passphrase, new_key, open_key, public_of, read_public
from bundles.package import LIFETIME
from bundles.trust import HQ_ROLES, newest_root

MAX_KEYS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RootDraft:
    """A root, and how many signatures it lacks; with none lacking it counts."""

    number: int
    path: Path
    """``N.root.json`` when it counts, else ``N.root.draft.json``."""
    lacks_old: int
    """Signatures by the root keys that counted before."""
    lacks_new: int
    """Signatures by the root keys that count from now on."""

    @property
    def counts(self) -> bool:
        return self.lacks_old == self.lacks_new == 0


def init_root(
    folder: Path,
    *,
    root_passphrases: Sequence[str],
    hq_passphrase: str,
    date: datetime,
    threshold: int = 1,
    kdf_rounds: int = KDF_ROUNDS,
) -> str:
    """Make a signing folder with a root key for each passphrase; returns the root's fingerprint.

    Raises:
        SigningError: a passphrase is too short, the threshold cannot be met, or the folder already holds something.
    """
    for passphrase in (*root_passphrases, hq_passphrase):
        check_passphrase(passphrase)
    if not 1 <= threshold <= len(root_passphrases) <= MAX_KEYS:
        raise SigningError(
            f"{len(root_passphrases)} root keys and a threshold of {threshold}.",
            needed=f"1 to {MAX_KEYS} keys, and a threshold that they can meet.",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SigningError(f"{folder} already holds something.", needed="Keys are never overwritten.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    root_keys = [
        new_key(folder / f"root-{number}.key", passphrase, kdf_rounds=kdf_rounds)
        for number, passphrase in enumerate(root_passphrases, 1)
    ]
    hq = new_key(folder / "hq.key", hq_passphrase, kdf_rounds=kdf_rounds)
    root = Root(version=1, expires=_expiry(date), consistent_snapshot=True)
    for key in root_keys:
        root.add_key(_tuf_key(key), Root.type)
    root.roles[Root.type].threshold = threshold
    for role in HQ_ROLES:
        root.add_key(_tuf_key(hq), role)
    metadata = Metadata(root)
    for key in root_keys:
        metadata.sign(CryptoSigner(key), append=True)
    data = metadata.to_bytes(JSONSerializer())
    replace_file(folder / "1.root.json", data, mode=0o600)
    return root_fingerprint(data)


def rotate_hq(folder: Path, passphrase: str, *, date: datetime, kdf_rounds: int = KDF_ROUNDS) -> RootDraft:
    """Draft a root that names a new headquarters' key only; the old one signs until the draft counts.

    Raises:
        SigningError: it is no signing folder, another draft waits, or the passphrase is too short.
    """
    root = _next_root(folder, date)
    key = new_key(folder / f"hq-{root.version}.key", passphrase, kdf_rounds=kdf_rounds)
    for role in HQ_ROLES:
        for keyid in list(root.roles[role].keyids):
            root.revoke_key(keyid, role)
        root.add_key(_tuf_key(key), role)
    return _keep_draft(folder, Metadata(root))


def rotate_root(
    folder: Path,
    passphrase: str,
    *,
    date: datetime,
    retire: Path | None = None,
    threshold: int | None = None,
    kdf_rounds: int = KDF_ROUNDS,
) -> RootDraft:
    """Draft a root with a new root key, signed by that key; ``retire`` is the public half of one that counts no more.

    Raises:
        SigningError: it is no signing folder, another draft waits, the retired key does not count now, or the
            threshold cannot be met.
    """
    root = _next_root(folder, date)
    role = root.roles[Root.type]
    if retire is not None:
        keyid = SSlibKey.from_crypto(read_public(retire).key).keyid
        if keyid not in role.keyids:
            raise SigningError(f"{retire} is no root key that counts now.", todo="Name the .pub file of one that does.")
        root.revoke_key(keyid, Root.type)
    role.threshold = threshold if threshold is not None else role.threshold
    if not 1 <= role.threshold <= len(role.keyids) + 1 <= MAX_KEYS:
        raise SigningError(
            f"A threshold of {role.threshold} with {len(role.keyids) + 1} root keys cannot be met.",
            needed=f"1 to {MAX_KEYS} keys, and a threshold that they can meet.",
        )
    taken = {path.stem for path in folder.glob("root-*")}
    name = next(f"root-{number}" for number in range(1, 10_000) if f"root-{number}" not in taken)
    key = new_key(folder / f"{name}.key", passphrase, kdf_rounds=kdf_rounds)
    root.add_key(_tuf_key(key), Root.type)
    metadata = Metadata(root)
    metadata.sign(CryptoSigner(key))
    return _keep_draft(folder, metadata)


def sign_root(draft: Path, key: Path, passphrase: str) -> RootDraft:
    """Add a signature to a drafted root; with the last one lacking, the root counts from the next bundle on.

    Raises:
        SigningError: it is no draft, or this key has no say in it.
    """
    try:
        metadata = Metadata[Root].from_bytes(draft.read_bytes())
        if metadata.signed.type != Root.type:
            raise ValueError("it is no root")
    except (OSError, RepositoryError, ValueError) as error:
        raise SigningError(f"{draft} cannot be signed: {error}.", needed="The draft of a root is needed.") from error
    signer = CryptoSigner(open_key(key, passphrase))
    old = newest_root(draft.parent).signed
    may = {*old.roles[Root.type].keyids, *metadata.signed.roles[Root.type].keyids}
    if signer.public_key.keyid not in may:
        raise SigningError(f"{key} is no root key, neither of the old root nor of the new one.")
    metadata.sign(signer, append=True)
    return _keep_draft(draft.parent, metadata)


def key_fingerprints(folder: Path) -> dict[str, str]:
    """File name of every public key in a signing folder to its fingerprint, as ssh shows it."""
    return {path.name: read_public(path).fingerprint for path in sorted(folder.glob("*.pub"))}


def _next_root(folder: Path, date: datetime) -> Root:
    waiting = sorted(folder.glob("*.root.draft.json"))
    if waiting:
        raise SigningError(
            f"{waiting[0]} still waits for signatures.",
            todo=f"Sign it: fieldpost-bundle sign {waiting[0]} --key ROOT.key; or remove it and the key made for it.",
        )
    root = deepcopy(newest_root(folder).signed)
    root.version += 1
    root.expires = _expiry(date)
    return root


def _keep_draft(folder: Path, metadata: Metadata[Root]) -> RootDraft:
    """Keep it as a draft, or as the newest root once enough have signed."""
    new = metadata.signed
    draft, final = folder / f"{new.version}.root.draft.json", folder / f"{new.version}.root.json"
    old = newest_root(folder).signed
    if old.version != new.version - 1:
        raise SigningError(f"{draft} follows root {new.version - 1}.", needed=f"The newest root is {old.version}.")
    lacks_old, lacks_new = _lacks(old, metadata), _lacks(new, metadata)
    data = metadata.to_bytes(JSONSerializer())
    if lacks_old or lacks_new:
        replace_file(draft, data, mode=0o600)
        return RootDraft(number=new.version, path=draft, lacks_old=lacks_old, lacks_new=lacks_new)
    replace_file(final, data, mode=0o600)
    draft.unlink(missing_ok=True)
    return RootDraft(number=new.version, path=final, lacks_old=0, lacks_new=0)


def _lacks(delegator: Root, metadata: Metadata[Root]) -> int:
    result = delegator.get_verification_result(Root.type, metadata.signed_bytes, metadata.signatures)
    return max(0, delegator.roles[Root.type].threshold - len(result.signed))


def _expiry(date: datetime) -> datetime:
    return date.astimezone(UTC).replace(microsecond=0) + LIFETIME


def _tuf_key(key: Ed25519PrivateKey) -> SSlibKey:
    return SSlibKey.from_crypto(public_of(key).key)
