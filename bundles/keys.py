"""OpenSSH Ed25519 key files: made, opened, read and shown as ``ssh-keygen`` does it.

A private key lies under a passphrase in a file of mode 0600; its public half is the one line that people pass on.
Works wherever Python does: contributors sign on their own laptops.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from bundles.errors import SigningError
from bundles.format.durable import replace_file

KDF_ROUNDS = 64
"""bcrypt rounds on a key file: half a second on a workstation for each guess of a passphrase."""
MIN_PASSPHRASE = 8
PUBLIC = ".pub"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """The public half of a key."""

    line: str
    """``ssh-ed25519 AAAA...``, without a comment."""
    key: Ed25519PublicKey

    @property
    def fingerprint(self) -> str:
        """``SHA256:...``, as ``ssh-keygen -l`` shows it."""
        wire = base64.b64decode(self.line.split()[1])
        return "SHA256:" + base64.b64encode(hashlib.sha256(wire).digest()).decode().rstrip("=")


def check_passphrase(passphrase: str) -> None:
    """Raise SigningError for a passphrase that is too short."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise SigningError(
            f"The passphrase has {len(passphrase)} characters.",
            needed=f"At least {MIN_PASSPHRASE} are needed.",
            todo="Take a sentence that you can remember.",
        )


def new_key(path: Path, passphrase: str, *, kdf_rounds: int = KDF_ROUNDS) -> Ed25519PrivateKey:
    """Make a key: the private half at ``path``, the public line beside it with ``.pub``.

    Raises:
        SigningError: the passphrase is too short, or one of the files is there already.
    """
    check_passphrase(passphrase)
    public = public_path(path)
    for taken in (path, public):
        if taken.exists():
            raise SigningError(f"{taken} is there already.", needed="Keys are never overwritten.")
    key = Ed25519PrivateKey.generate()
    encryption = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(kdf_rounds).build(passphrase.encode())
    replace_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption), mode=0o600)
    replace_file(public, f"{public_of(key).line} {path.stem}\n".encode(), mode=0o600)
    return key


def open_key(path: Path, passphrase: str) -> Ed25519PrivateKey:
    """Open a private key.

    Raises:
        SigningError: the file cannot be read, the passphrase is wrong, or it is a key of another type.
    """
    try:
        key = load_ssh_private_key(path.read_bytes(), passphrase.encode())
    except OSError as error:
        raise SigningError(f"The key {path} cannot be read: {error.strerror}.", todo="Check the path.") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningError(
            f"{path} does not open with this passphrase.", todo="Try again, or take the key from a backup."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningError(f"{path} is no Ed25519 key.", todo="Make one with: ssh-keygen -t ed25519")
    return key


def read_public(path: Path) -> PublicKey:
    """Read a public key as somebody sent it.

    Raises:
        SigningError: it is no OpenSSH Ed25519 public key; or the file of a private key, which nobody should send.
    """
    try:
        data = path.read_bytes()[:10_000]
    except OSError as error:
        raise SigningError(f"The key {path} cannot be read: {error.strerror}.", todo="Check the path.") from error
    if b"PRIVATE KEY" in data:
        raise SigningError(
            f"{path} is a private key.",
            needed="The public one is needed, the file that ends in .pub.",
            todo="If somebody sent it to you, ask them to make a new key: this one is no longer theirs alone.",
        )
    return parse_public(data.decode("utf-8", "replace"), str(path))


def parse_public(line: str, where: str) -> PublicKey:
    """A public key from its line; raises SigningError naming ``where``."""
    try:
        key = load_ssh_public_key(line.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(
            f"{where} is no OpenSSH public key.", needed="One line that begins with ssh-ed25519."
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise SigningError(f"{where} is no Ed25519 key.", todo="Make one with: ssh-keygen -t ed25519")
    return _public(key)


def public_of(key: Ed25519PrivateKey) -> PublicKey:
    """The public half of an opened key."""
    return _public(key.public_key())


def public_path(path: Path) -> Path:
    """Where a key's public half lies: ``hq.key`` has ``hq.pub``, ``id_ed25519`` has ``id_ed25519.pub``."""
    return path.with_suffix(PUBLIC) if path.suffix == ".key" else path.with_name(path.name + PUBLIC)


def _public(key: Ed25519PublicKey) -> PublicKey:
    return PublicKey(
        line=key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        key=key,
    )
