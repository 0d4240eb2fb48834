"""Unpacks an Argos Translate package at the workstation, so that no box ever opens an archive.

A package is a zip with one folder: ``metadata.json``, ``sentencepiece.model`` (or ``bpe.model``), ``README.md`` and
``model/`` for CTranslate2. Only these names are let through. Stanza data, which many published packages hold, are
PyTorch pickles: such a package is refused, since the box splits sentences by itself.
"""

import errno
import json
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bundles.format.errors import ScanRefused
from bundles.format.screen import refuse_dangerous
from bundles.recipe import LANGUAGE

MAX_ENTRIES = 256
MAX_BYTES = 4 << 30
MAX_RATIO = 200
"""Unpacked to packed; real packages stay under 3, since weights hardly compress."""

_ALLOWED = re.compile(
    r"metadata\.json|README(\.md|\.txt)?|LICEN[CS]E(\.md|\.txt)?|sentencepiece\.model|bpe\.model"
    r"|model/(model\.bin|config\.json|(source|target|shared)_vocabulary\.(txt|json)|vmap\.txt)"
)
_NEEDED = ("metadata.json", "model/model.bin")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgosPackage:
    """An unpacked package."""

    source: str
    target: str
    """Language codes as in its metadata."""
    files: tuple[tuple[str, Path], ...]
    """Layer path, ``argos/en_sw/model/model.bin``, and where it was unpacked to; sorted."""

    @property
    def pair(self) -> str:
        return f"{self.source}>{self.target}"


def explode(package: Path, folder: Path) -> ArgosPackage:
    """Check a package and unpack it under ``folder``, which is made and must be the caller's own.

    Raises:
        ScanRefused: it is no Argos package, or holds a link, a path outside, a bomb, a pickle or Stanza data.
    """
    try:
        with zipfile.ZipFile(package) as archive:
            entries = _entries(archive, package)
            source, target = _languages(archive, entries["metadata.json"], package.name)
            if (folder / "argos" / f"{source}_{target}").exists():
                raise ScanRefused(f"{package.name} would give {source}>{target} twice.", todo="Keep one.")
            files = []
            for inside, entry in sorted(entries.items()):
                layer_path = f"argos/{source}_{target}/{inside}"
                path = folder / layer_path
                path.parent.mkdir(parents=True, exist_ok=True)
                _extract(archive, entry, path, f"{package.name}: {inside}")
                files.append((layer_path, path))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        # RuntimeError is an encrypted entry, NotImplementedError an unknown compression.
        raise ScanRefused(f"{package.name} is no sound zip archive: {error}.", todo="Get it again.") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # the disk
            raise
        # zipfile seeks to where an entry says that it lies, which can be before the file.
        raise ScanRefused(f"{package.name} is no sound zip archive: {error}.", todo="Get it again.") from error
    return ArgosPackage(source=source, target=target, files=tuple(files))


def _entries(archive: zipfile.ZipFile, package: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of the package's one folder by their path in it, each allowed and the whole within bounds."""
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise ScanRefused(f"{package.name} has {len(infos)} entries.", needed=f"At most {MAX_ENTRIES} are allowed.")
    total = sum(info.file_size for info in infos)
    if total > MAX_BYTES or total > MAX_RATIO * max(package.stat().st_size, 4096):
        raise ScanRefused(
            f"{package.name} would unpack to {total:,} bytes, as a decompression bomb does.", todo="Do not use it."
        )
    entries: dict[str, zipfile.ZipInfo] = {}
    tops: set[str] = set()
    for info in infos:
        name = f"{package.name}: {info.filename!r}"
        path = PurePosixPath(info.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in info.filename or not path.parts:
            raise ScanRefused(f"{name} leads out of the package.", todo="Do not use it.")
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ScanRefused(f"{name} is a link or a device.", todo="Do not use it.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ScanRefused(f"{name} is packed in an unusual way.", todo="Pack it again with an ordinary zip.")
        tops.add(path.parts[0])
        if info.is_dir():
            continue
        inside = str(PurePosixPath(*path.parts[1:]))
        if inside.split("/")[0] == "stanza":
            raise ScanRefused(
                f"{name} is Stanza data, a PyTorch pickle that runs code when it is loaded.",
                needed="The box splits sentences by itself.",
                todo="Pack it again without the stanza folder, as bundles/README.md shows.",
            )
        if not _ALLOWED.fullmatch(inside):
            raise ScanRefused(f"{name} has no place in an Argos package.", todo="Pack it again without that file.")
        if inside in entries:
            raise ScanRefused(f"{name} is there twice.", todo="Do not use it.")
        entries[inside] = info
    missing = [needed for needed in _NEEDED if needed not in entries]
    if missing or len(tops) != 1:
        raise ScanRefused(
            f"{package.name} is no Argos package: it has {len(tops)} top folders and lacks {missing or 'nothing'}.",
            needed="One folder with metadata.json and model/model.bin is needed.",
        )
    return entries


def _languages(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> tuple[str, str]:
    if entry.file_size > 1 << 20:
        raise ScanRefused(f"{name}: metadata.json has {entry.file_size:,} bytes.", todo="Do not use it.")
    try:
        metadata = json.loads(archive.read(entry))
        source, target = metadata["from_code"], metadata["to_code"]
    except (ValueError, KeyError, TypeError) as error:
        raise ScanRefused(f"{name}: metadata.json cannot be read: {error!r}.", todo="Get it again.") from error
    for code in (source, target):
        if not isinstance(code, str) or not LANGUAGE.fullmatch(code):
            raise ScanRefused(f"{name}: metadata.json names the language {code!r}.", needed="A code such as sw.")
    return source, target


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, name: str) -> None:
    with archive.open(entry) as packed, path.open("xb") as out:
        written = 0
        while chunk := packed.read(_CHUNK):
            if written == 0:
                refuse_dangerous(chunk, name)
            written += len(chunk)
            out.write(chunk)
    if written != entry.file_size:
        raise ScanRefused(f"{name} has {written:,} bytes and says {entry.file_size:,}.", todo="Get it again.")
