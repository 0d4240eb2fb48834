"""SHA-256 digests as OCI writes them, and the fingerprint by which people compare roots."""

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def is_digest(text: object) -> bool:
    """Whether ``text`` is ``sha256:`` and 64 lower-case hex digits."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def digest_of(data: bytes) -> str:
    """``sha256:<hex>`` of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _untold(_size: int) -> None:
    """Nobody watches."""


def digest_of_file(path: Path, progress: Callable[[int], object] = _untold) -> tuple[str, int]:
    """``sha256:<hex>`` and size of a file, read in pieces; ``progress`` is told the bytes of each.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return digest_of_stream(file, progress)


def digest_of_stream(file: BinaryIO, progress: Callable[[int], object] = _untold) -> tuple[str, int]:
    """``sha256:<hex>`` and size of what is left to read; ``progress`` is told the bytes of each piece."""
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
        progress(len(chunk))
    return f"sha256:{digest.hexdigest()}", size


def root_fingerprint(root: bytes) -> str:
    """What people compare: ``SHA256:`` and unpadded base64 over the bytes of ``1.root.json``, as ssh shows keys."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(root).digest()).decode().rstrip("=")
