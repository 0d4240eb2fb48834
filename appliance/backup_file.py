"""One sealed file of a box: packed, compressed, encrypted and signed in one stream, so that its size does not matter.

    header      40 bytes: "FPBK", version (1 byte), three zeros, the box's Ed25519 public key (32)
    content     age( zstd( tar ) ): ``data/...`` and, where there is one, ``config.toml``
    signature   64 bytes: Ed25519 by the box over "fieldpost-backup-v1" 0x00 || SHA256(header || content)

Nothing is decrypted before the signature holds, and nothing is unpacked but plain files with these names. Which files
they are is left to ``backup``.
"""

import hashlib
import os
import shutil
import struct
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import pyrage
import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.errors import BackupError
from appliance.sync.wire import box_name, public_bytes

_HEADER = struct.Struct(">4sB3x32s")
_MAGIC, _VERSION = b"FPBK", 1
_DOMAIN = b"fieldpost-backup-v1\0"
_SIGNATURE_BYTES = 64
_LEVEL = 6
_PIECE = 1 << 20


def write(
    file: IO[bytes],
    files: Iterable[tuple[str, Path]],
    *,
    key: Ed25519PrivateKey,
    recipients: Sequence[pyrage.x25519.Recipient],
) -> int:
    """Write ``files`` (name in the archive, where it lies now) sealed and signed, and force them to the disk; how many.

    ``files`` may make each one as it is asked for: it is read before the next.

    Raises:
        OSError: the disk is full, or a file cannot be read.
    """
    target = _Written(file)
    target.write(_HEADER.pack(_MAGIC, _VERSION, public_bytes(key)))
    count = 0

    def pack(pipe: IO[bytes]) -> None:
        nonlocal count
        with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for name, path in files:
                archive.add(path, arcname=name, recursive=False)
                count += 1

    with _fed_by(pack) as pipe, zstandard.ZstdCompressor(level=_LEVEL).stream_reader(pipe) as packed:
        pyrage.encrypt_io(packed, target, recipients)
    file.write(key.sign(_DOMAIN + target.digest.digest()))
    file.flush()
    os.fsync(file.fileno())
    return count


def signed_by(path: Path) -> str:
    """The box that signed the file; reads every byte, past the memory, so that a bad stick is found now.

    Raises:
        BackupError: it cannot be read, is no backup, or one byte differs.
    """
    try:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            size = os.fstat(file.fileno()).st_size
            if size <= _HEADER.size + _SIGNATURE_BYTES:
                raise _no_backup(path)
            signed = _Part(file, size - _SIGNATURE_BYTES)
            header = signed.read(_HEADER.size)
            magic, version, public = _HEADER.unpack(header)
            if (magic, version) != (_MAGIC, _VERSION) or _HEADER.pack(magic, version, public) != header:
                raise _no_backup(path)
            digest = hashlib.sha256(header)
            while piece := signed.read(_PIECE):
                digest.update(piece)
            signature = file.read()
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _DOMAIN + digest.digest())
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror or error}.", todo="Use another stick.") from error
    except (InvalidSignature, ValueError) as error:
        raise BackupError(
            f"{path.name} is damaged or was changed.", needed="Not one byte may differ.", todo="Use another copy of it."
        ) from error
    return box_name(public)


def _no_backup(path: Path) -> BackupError:
    return BackupError(f"{path} is no backup that this version can read.", todo="Is it whole, or from a newer one?")


def unpack(path: Path, identity: pyrage.x25519.Identity, into: Path) -> None:
    """Unpack below ``into``, and force to the disk, what ``signed_by`` has found whole.

    Raises:
        BackupError: it is sealed to another key, or holds what is no file of a box.
        OSError: the disk is full.
    """

    def decrypt(pipe: IO[bytes]) -> None:
        with path.open("rb") as file:
            content = _Part(file, os.fstat(file.fileno()).st_size - _SIGNATURE_BYTES)
            content.read(_HEADER.size)
            pyrage.decrypt_io(content, pipe, [identity])

    try:
        with (
            _fed_by(decrypt) as pipe,
            zstandard.ZstdDecompressor(max_window_size=8 << 20).stream_reader(pipe) as packed,
            tarfile.open(fileobj=packed, mode="r|") as archive,
        ):
            for member in archive:
                inside = PurePosixPath(member.name)
                if not member.isreg() or inside.is_absolute() or ".." in inside.parts:
                    raise tarfile.TarError(f"{member.name} is no plain file")
                if inside.parts[0] != "data" and member.name != "config.toml":
                    raise tarfile.TarError(f"{member.name} does not belong to a box")
                place = into / inside
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                source = archive.extractfile(member)
                if source is None:
                    raise tarfile.TarError(f"{member.name} has no content")
                descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file, source:
                    shutil.copyfileobj(source, file, _PIECE)
                    file.flush()
                    os.fsync(descriptor)
    except pyrage.DecryptError as error:
        raise BackupError(
            f"{path.name} is sealed to another recovery key.", needed="The one that the box knew is needed."
        ) from error
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise BackupError(f"{path.name} is signed and cannot be unpacked: {error}.") from error


class _Written:
    """A file that is hashed as it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


class _Part:
    """Some bytes of a file, from where it stands."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


@contextmanager
def _fed_by(writer: Callable[[IO[bytes]], None]) -> Iterator[IO[bytes]]:
    """The reading end of a pipe that ``writer`` fills in a thread of its own; its failure is raised here.

    Whoever stops reading early ends the writer too.
    """
    reading, writing = os.pipe()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with os.fdopen(writing, "wb") as pipe:
                writer(pipe)
        except BrokenPipeError:
            pass
        except BaseException as error:  # it is raised again in the thread that waits for it
            failed.append(error)

    thread = threading.Thread(target=work, name="backup")
    thread.start()
    try:
        with os.fdopen(reading, "rb") as pipe:
            yield pipe
    except BaseException:
        thread.join()
        # What the reader saw is mostly the end of a stream that the writer could not finish; that is the reason.
        if failed:
            raise failed[0] from None
        raise
    thread.join()
    if failed:
        raise failed[0]
