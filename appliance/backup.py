"""A box's own data on a stick, sealed to its organisation's recovery key, and back on another machine.

What a bundle brings is not in it: a new machine is installed from a stick first. ``backup_file`` has the file's form.

A backup is always older than what the box wrote after it. Two histories under one number would be a fork, so a restored
box begins a new one: its ``epoch`` grows by one, and the log until then is kept in ``data/history/EPOCH/``.
"""

import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyrage

from appliance.backup_file import signed_by, unpack, write
from appliance.config import Home, load_config
from appliance.errors import BackupError
from appliance.sync.client import alone
from appliance.sync.enrol import load_enrolment
from appliance.sync.identity import begin_new_history, load_or_make_identity

ENDING = ".backup"
_PATIENCE_S = 60.0
_PASSING = re.compile(r"(.*\.)?(lock|tmp|sock)|.*(-wal|-shm)|\..*")
"""Names of files that serve a running box only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A backup that is on the stick, read back."""

    path: Path
    box: str
    files: int
    bytes: int
    """Of the sealed file."""


def folder(stick: Path) -> Path:
    """Where backups lie on a stick."""
    return stick / "FIELDPOST" / "backup"


def back_up(home: Home, stick: Path, *, recipients: Sequence[str] = ()) -> Saved:
    """Write the box's data onto a stick so that only the recovery key can open it. The box may go on working.

    Args:
        recipients: age recipients; else the recovery keys that the hub's token brought.

    Raises:
        BackupError: there is nothing to save, no key to seal it to, or the stick does not take it.
        SyncError: the box's identity cannot be read.
        ConfigError: config.toml cannot be used, so what would be saved would not start again.
    """
    load_config(home)
    if not home.identity.exists():
        raise BackupError(f"{home.data} holds nothing yet.", todo="Start the box first, or name the right folder.")
    sealed_to = _recipients(home, recipients)
    identity = load_or_make_identity(home)
    shelf = folder(stick)
    try:
        shelf.mkdir(parents=True, exist_ok=True)
        path = shelf / f"{identity.box}-{_next_number(shelf, identity.box)}{ENDING}"
        draft = path.with_name(f".{path.name}.part")
        # No sync may change the outbox between its list and its files.
        with alone(home, _PATIENCE_S), draft.open("w+b") as file:
            files = write(file, _files(home), key=identity.key, recipients=sealed_to)
            size = file.tell()
        draft.rename(path)
        _sync_folder(shelf)
    except OSError as error:
        _forget_drafts(shelf)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BackupError(
                "There is no space left for the backup.",
                needed="The stick takes it sealed, and the box's disk holds a copy of its log while it is read.",
                todo="Free some space on both, then run this again. Nothing was changed.",
            ) from error
        raise BackupError(
            f"The backup cannot be written: {error.strerror or error}.", todo="Is the stick write-protected or full?"
        ) from error
    signed_by(path)
    return Saved(path=path, box=identity.box, files=files, bytes=size)


def restore(home: Home, backup: Path, key: Path, *, box: str = "") -> str:
    """Bring a backup back into a HOME whose release is installed and which has no data yet; the box it was of.

    Args:
        backup: the file, or a stick that holds one.
        key: a file with the secret half of a recovery key, as age-keygen writes it.
        box: the name that the box must have; empty for any.

    Raises:
        BackupError: it is no backup, is damaged, is of another box or sealed to another key, or HOME has data already.
        SyncError: the identity in it cannot be used.
    """
    if not home.current.exists():
        raise BackupError(
            f"Nothing is installed in {home.root}.", todo="Install this machine from a stick first, then restore."
        )
    if home.data.exists() and any(home.data.iterdir()):
        raise BackupError(
            f"{home.data} holds the data of a box already.",
            needed="A restore never overwrites anything.",
            todo=f"Stop the box and move that folder away: mv {home.data} {home.data}.old",
        )
    path = _find(backup, box)
    made_by = signed_by(path)
    if box and made_by != box:
        raise BackupError(f"{path.name} is of {made_by}.", needed=f"{box} was asked for.", todo="Take another file.")
    draft = home.data.with_name("data.restoring")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    try:
        unpack(path, _identity(key), draft)
        _install(home, draft)
    except OSError as error:
        raise BackupError(
            f"The backup cannot be unpacked: {error.strerror or error}.", todo="Free some space, then run this again."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return made_by


def _recipients(home: Home, named: Sequence[str]) -> list[pyrage.x25519.Recipient]:
    enrolment = load_enrolment(home)
    texts = list(named) or list(enrolment.recipients[1:] if enrolment else ())
    if not texts:
        raise BackupError(
            "This box knows no recovery key.",
            needed="A backup is sealed to one, so that a lost stick tells nothing.",
            todo="Name the public half that age-keygen printed: --recipient age1...",
        )
    try:
        return [pyrage.x25519.Recipient.from_str(text) for text in texts]
    except pyrage.RecipientError as error:
        raise BackupError(
            f"{', '.join(texts)}: not every one is an age recipient.", needed="A line that begins with age1 is needed."
        ) from error


def _identity(key: Path) -> pyrage.x25519.Identity:
    try:
        lines = key.read_text(encoding="utf-8").splitlines()
        return pyrage.x25519.Identity.from_str(next(line for line in lines if line.startswith("AGE-SECRET-KEY-")))
    except (OSError, UnicodeDecodeError, StopIteration, pyrage.IdentityError) as error:
        raise BackupError(
            f"{key} holds no recovery key.",
            needed="The secret half is needed: a line that begins with AGE-SECRET-KEY-1.",
            todo="Your organisation keeps it off line; ask there.",
        ) from error


def _next_number(shelf: Path, box: str) -> int:
    numbers = re.compile(re.escape(box) + r"-(\d{1,6})" + re.escape(ENDING))
    found = (numbers.fullmatch(path.name) for path in shelf.iterdir())
    return max((int(match[1]) for match in found if match), default=0) + 1


def _find(backup: Path, box: str) -> Path:
    """The file itself, or the newest one on a stick."""
    if not backup.is_dir():
        return backup
    pattern = re.compile(r"(box-[a-z2-7]{16})-(\d{1,6})" + re.escape(ENDING))
    shelf = folder(backup)
    matches = [m for path in (shelf.iterdir() if shelf.is_dir() else ()) if (m := pattern.fullmatch(path.name))]
    boxes = sorted({match[1] for match in matches})
    if box:
        matches = [match for match in matches if match[1] == box]
    elif len(boxes) > 1:
        raise BackupError(
            f"{shelf} holds backups of {', '.join(boxes)}.", needed="One box is restored.", todo="Name it with --box."
        )
    if not matches:
        raise BackupError(f"There is no backup of {box or 'a box'} in {shelf}.", todo="Name the stick, or the file.")
    return shelf / max(matches, key=lambda match: int(match[2]))[0]


def _files(home: Home) -> Iterator[tuple[str, Path]]:
    """What is saved, by its name in the archive. A database is copied as of one moment, whoever writes to it."""
    if (home.root / "config.toml").exists():
        yield "config.toml", home.root / "config.toml"
    copy = home.data / ".backup.sqlite"
    try:
        for path in sorted(home.data.rglob("*")):
            inside = path.relative_to(home.data)
            if inside.parts[0] == home.engine_cache.name or any(_PASSING.fullmatch(part) for part in inside.parts):
                continue
            if path.is_symlink() or not path.is_file():
                continue
            if path.suffix == ".sqlite":
                copy.unlink(missing_ok=True)
                os.close(os.open(copy, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
                reading = f"{path.absolute().as_uri()}?mode=ro"
                with (
                    closing(sqlite3.connect(reading, uri=True)) as source,
                    closing(sqlite3.connect(copy)) as target,
                ):
                    source.backup(target)
                yield f"data/{inside.as_posix()}", copy
            else:
                yield f"data/{inside.as_posix()}", path
    except sqlite3.Error as error:
        raise BackupError(f"{path} cannot be read: {error}.", todo="Run: fieldpost doctor") from error
    finally:
        copy.unlink(missing_ok=True)


def _install(home: Home, draft: Path) -> None:
    """The old log becomes history, a new one may begin, and all of it comes into place in one step."""
    data = draft / "data"
    restored = Home(root=draft)
    epoch = begin_new_history(restored)
    past = data / "history" / str(epoch - 1)
    past.mkdir(mode=0o700, parents=True)
    for name in (restored.log, restored.outbox):
        if name.exists():
            name.rename(past / name.name)
    for place in (*data.rglob("*"), data):
        if place.is_dir():
            place.chmod(0o700)
            _sync_folder(place)
    config = draft / "config.toml"
    if config.exists() and not (home.root / "config.toml").exists():
        config.rename(home.root / "config.toml")
    if home.data.exists():
        home.data.rmdir()
    data.rename(home.data)
    _sync_folder(home.root)


def _forget_drafts(shelf: Path) -> None:
    for draft in shelf.glob(".*.part") if shelf.is_dir() else ():
        draft.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
