"""The hub's database made anew from what lies beside it: who was let in, and every batch as it came.

For the day the database is damaged, lost, or doubted. Receipts go on where they were, because the batches carry the
chains. Tokens that no box has used yet are not kept outside the database: make new ones.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BatchRefused, ForkDetected, HubError
from appliance.hub.ingest import DATABASE, admitted_folder
from appliance.hub.keys import HubKeys, load_or_make_keys
from appliance.hub.storage import Admitted, SqliteStorage
from appliance.sync import batch
from appliance.sync.wire import public_bytes, unb64

_FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What the new database was made of."""

    boxes: int
    batches: int
    refused: tuple[str, ...]
    """A sentence for each file that could not be taken in, with its name."""
    before: Path | None
    """Where the old database lies now."""


def rebuild(folder: Path, *, progress: Callable[[list[Path]], Iterable[Path]] = lambda files: files) -> Rebuilt:
    """Make ``folder/hub.sqlite`` anew; the old one is kept beside it.

    Raises:
        HubError: no hub is there, it is in use, or the disk.
    """
    if not (folder / "hub.json").exists():
        raise HubError(f"There is no hub in {folder}.", needed="Its hub.json holds the keys.", todo="Bring it back.")
    keys = load_or_make_keys(folder)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HubError(f"The hub in {folder} is running.", todo="Stop it, then run this again.") from error
        draft = folder / f"{DATABASE}.new"
        for name in _FILES:
            draft.with_name(name.replace(DATABASE, draft.name)).unlink(missing_ok=True)
        refused: list[str] = []
        with SqliteStorage(draft) as storage:
            boxes = _let_in(storage, admitted_folder(folder), refused)
            batches = _take_in(storage, keys, folder / "batches", refused, progress)
        before = _set_aside(folder)
        draft.rename(folder / DATABASE)
    finally:
        os.close(descriptor)
    return Rebuilt(boxes=boxes, batches=batches, refused=tuple(refused), before=before)


def _let_in(storage: SqliteStorage, folder: Path, refused: list[str]) -> int:
    files = sorted(folder.glob("*.json"))
    for path in files:
        try:
            raw = json.loads(path.read_bytes())
            box = Admitted(**{**raw, "key": unb64(raw["key"], 32)})
            storage.readmit(box, path.stat().st_mtime_ns // 1_000_000)
        except (OSError, ValueError, KeyError, TypeError) as error:
            refused.append(f"{path.name}: {error}")
    return len(files)


def _take_in(
    storage: SqliteStorage,
    keys: HubKeys,
    folder: Path,
    refused: list[str],
    progress: Callable[[list[Path]], Iterable[Path]],
) -> int:
    """In the order of their arrival, so that of two histories under one name the one that was first stays."""
    files = [path for path in folder.rglob("*") if path.suffix in (".batch", ".erased")]
    taken = 0
    for path in progress(sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name))):
        by_hub = path.suffix == ".erased"
        if not by_hub and path.with_suffix(".erased").exists():
            continue  # a crash left both: what was to be forgotten stays forgotten
        key = public_bytes(keys.signing)
        try:
            data = path.read_bytes()
            if not by_hub and batch.name(data) != path.stem:
                raise BatchRefused("It is not whole.", needed="The disk has changed it.")
            key_of = (lambda _: key) if by_hub else storage.box_key  # noqa: B023  (called at once)
            opened = batch.open_batch(data, key_of=key_of, identity=keys.opening)
            now_ms = path.stat().st_mtime_ns // 1_000_000
            storage.merge(path.stem, opened, len(data), now_ms, archive=lambda: None)
            taken += 1
        except (OSError, BatchRefused, ForkDetected) as error:
            refused.append(f"{path.name}: {error}")
    return taken


def _set_aside(folder: Path) -> Path | None:
    if not (folder / DATABASE).exists():
        return None
    number = 1
    while (kept := folder / f"before-rebuild-{number}").exists():
        number += 1
    kept.mkdir(mode=0o700)
    # The write-ahead log first: a database without it is older, but never wrong.
    for name in reversed(_FILES):
        if (folder / name).exists():
            (folder / name).rename(kept / name)
    return kept
