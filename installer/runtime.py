"""The programs of a release, unpacked once: ``HOME/runtimes/<hex>``, shared by all releases that have the same.

HOME/
  runtimes/<hex>/   lib/python3.11/site-packages/..., and what makes it an environment of the box's own Python
  fieldpost         the command: runs the release in use

Nothing here is run before the self-test, and no pip or venv is needed: an environment is a folder with ``pyvenv.cfg``
and ``bin/python`` (PEP 405).
"""

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from bundles.format.durable import replace_file, switch, sync_folder
from bundles.format.manifest import Descriptor
from bundles.format.runtime_archive import open_runtime
from installer.errors import DiskLies
from installer.machine import Python

COMMAND = "fieldpost"
_SETTINGS = "fieldpost-machine.pth"
"""Python reads it whenever it starts here, also for workers, which inherit no environment."""
_CHUNK = 1 << 20
_RUN_COMMAND = b"""\
#!/bin/sh
# Fieldpost's command, as the release in use has it. Resolved once: an update must not change a running program.
here=$(dirname -- "$(readlink -f -- "$0")")
exec "$(readlink -f -- "$here/current/runtime")/bin/python" -I -m appliance.cli "$@"
"""


def room(runtime: Descriptor, home: Path) -> int:
    """Bytes that unpacking takes besides the archive; nothing where it lies unpacked already."""
    # Files end somewhere in a block, and Python keeps compiled modules beside them.
    return 0 if _folder(runtime.digest, home).is_dir() else runtime.size + runtime.size // 4


def unpack(
    tar: Path,
    digest: str,
    home: Path,
    python: Python,
    progress: Callable[[int], None],
    variables: Mapping[str, str] | None = None,
) -> Path:
    """Make sure that the runtime lies in ``home/runtimes``, every file as in the archive; returns its folder.

    What lies there already is compared, and mended file by file: a release in use may be running from it.

    Args:
        python: the interpreter of this box that runs it.
        progress: told bytes as they are unpacked or compared.
        variables: what its processes find in their environment unless somebody says otherwise.

    Raises:
        ScanRefused: the archive holds what it may not.
        DiskLies: the disk gives back other bytes than were written.
    """
    folder = _folder(digest, home)
    folder.parent.mkdir(exist_ok=True)
    for leftover in folder.parent.glob("*.tmp"):
        shutil.rmtree(leftover)
    draft = folder if folder.is_dir() else folder.with_suffix(".tmp")
    draft.mkdir(exist_ok=True)
    if _fill(tar, draft, progress):
        # One flush for all: thousands of small ones take minutes on a card.
        os.sync()
        if _fill(tar, draft, lambda _: None):
            raise DiskLies(
                "This box's disk gave back other bytes than were written.",
                needed="A disk or card that keeps what it is given is needed.",
                todo="Replace the disk or card, then install again.",
            )
    _make_environment(draft, python, variables or {})
    if draft != folder:
        draft.rename(folder)
        sync_folder(folder.parent)
    return folder


def keep_command(home: Path) -> Path:
    """Put the command into HOME; returns where it is."""
    path = home / COMMAND
    if path.is_symlink() or not path.is_file() or path.read_bytes() != _RUN_COMMAND:
        replace_file(path, _RUN_COMMAND, mode=0o755)
    return path


def _folder(digest: str, home: Path) -> Path:
    return home / "runtimes" / digest.removeprefix("sha256:")


def _fill(tar: Path, folder: Path, progress: Callable[[int], None]) -> int:
    """Write every file of the archive that is not in the folder as it should be; how many that were."""
    written = 0
    with open_runtime(tar) as entries:
        for archive, entry in entries:
            path = folder / entry.name
            if entry.isdir():
                path.mkdir(parents=True, exist_ok=True)
            elif not _is_like(path, archive, entry):
                path.parent.mkdir(parents=True, exist_ok=True)
                draft = path.with_name(path.name + ".tmp")
                with draft.open("wb") as out:
                    shutil.copyfileobj(_open(archive, entry), out, _CHUNK)
                draft.chmod(0o644)  # whatever the archive says: Python reads it, and nobody runs it
                draft.replace(path)
                written += 1
            progress(entry.size)
    return written


def _is_like(path: Path, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bool:
    """Whether a file is as in the archive, read from the medium."""
    if not path.is_file() or path.is_symlink() or path.stat().st_size != entry.size:
        return False
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return _digest(file) == _digest(_open(archive, entry))


def _open(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    source = archive.extractfile(entry)
    if source is None:
        raise tarfile.TarError(f"{entry.name} has no bytes")
    return source


def _digest(file: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()


def _make_environment(folder: Path, python: Python, variables: Mapping[str, str]) -> None:
    words = f"home = {python.path.parent}\ninclude-system-site-packages = false\n".encode()
    config, link = folder / "pyvenv.cfg", folder / "bin" / "python"
    if not config.is_file() or config.read_bytes() != words or link.resolve() != python.path:
        replace_file(config, words)
        link.parent.mkdir(exist_ok=True)
        switch(link, str(python.path))
    settings = folder / f"lib/python3.{python.minor}/site-packages" / _SETTINGS
    lines = "".join(f"import os; os.environ.setdefault({name!r}, {value!r})\n" for name, value in variables.items())
    if settings.exists() != bool(lines) or (lines and settings.read_text() != lines):
        settings.unlink(missing_ok=True)
        if lines:
            settings.parent.mkdir(parents=True, exist_ok=True)
            replace_file(settings, lines.encode())
