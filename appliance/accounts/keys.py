"""Who may use the box's API: keys by name. Only their hashes are kept, so a stolen disk gives none away.

A key is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess. Without any key the API is off.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.errors import ConfigError
from appliance.files import write_private

PREFIX = "fp-"
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key, without the secret."""

    name: str
    sha256: str
    made_s: int
    """Seconds since 1970 by the box's clock."""


class Keys:
    """The keys in one file. Read anew whenever the file has changed, so a revoked key ends at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Key] = {}
        self._read_at: tuple[int, int] | None = None

    def make(self, name: str) -> str:
        """A new key; it is told once and never again.

        Raises:
            ConfigError: the name cannot be used or is taken, or the file cannot be read.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name for a key.", needed="Small letters, digits, dots and dashes are needed."
            )
        secret = PREFIX + secrets.token_urlsafe(32)
        with self._alone():
            keys = self._read()
            if any(key.name == name for key in keys):
                raise ConfigError(f"There is a key named {name}.", todo="Take another name, or revoke that one first.")
            self._write([*keys, Key(name=name, sha256=_hash(secret), made_s=int(time.time()))])
        return secret

    def revoke(self, name: str) -> None:
        """Forget a key; whoever holds it is refused from now on.

        Raises:
            ConfigError: there is none of that name, or the file cannot be read.
        """
        with self._alone():
            keys = self._read()
            if all(key.name != name for key in keys):
                known = ", ".join(key.name for key in keys) or "none"
                raise ConfigError(f"There is no key named {name}.", needed=f"There are: {known}.")
            self._write([key for key in keys if key.name != name])

    def all(self) -> list[Key]:
        """Every key, oldest first. Raises ConfigError: the file cannot be read."""
        return self._read()

    def owner(self, secret: str) -> str | None:
        """Whose key this is. Raises ConfigError: the file cannot be read."""
        try:
            status = self._path.stat()
            changed = (status.st_mtime_ns, status.st_ino)
        except FileNotFoundError:
            return None
        if changed != self._read_at:
            self._known, self._read_at = {key.sha256: key for key in self._read()}, changed
        key = self._known.get(_hash(secret))
        return key.name if key else None

    def _read(self) -> list[Key]:
        try:
            return [Key(**one) for one in json.loads(self._path.read_bytes())["keys"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self._path} cannot be read: {error!r}.", todo="Move it away and make the keys anew."
            ) from error

    def _write(self, keys: list[Key]) -> None:
        write_private(self._path, json.dumps({"keys": [asdict(key) for key in keys]}, indent=1).encode())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
