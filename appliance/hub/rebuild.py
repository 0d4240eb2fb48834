"""The hub's database made anew from what lies beside it: who was let in, and every batch as it came.

For the day the database is damaged, lost, or doubted. Receipts go on where they were, because the batches carry the
chains. Tokens that no box has used yet are not kept outside the database: make new ones.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BatchRefused, ForkDetected, HubError
from appliance.hub.ingest import admitted_folder
from appliance.hub.keys import HubKeys, load_or_make_keys
from appliance.hub.places import choose, named, place_of
from appliance.hub.storage import Admitted, Storage
from appliance.sync import batch
from appliance.sync.wire import public_bytes, unb64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What the new database was made of."""

    boxes: int
    batches: int
    refused: tuple[str, ...]
    """A sentence for each file that could not be taken in, with its name."""
    before: str | None
    """Where the old database lies now, if there was one."""


def rebuild(
    folder: Path,
    *,
    database: str | None = None,
    progress: Callable[[list[Path]], Iterable[Path]] = lambda files: files,
) -> Rebuilt:
    """Make the hub's database anew; the old one is kept.

    Args:
        database: move there, as ``appliance.hub.places.named`` understands it; a new hub may begin so.

    Raises:
        HubError: no hub is there, it is in use, or the disk or the database.
    """
    if database is None and not (folder / "hub.json").exists():
        raise HubError(f"There is no hub in {folder}.", needed="Its hub.json holds the keys.", todo="Bring it back.")
    place = place_of(folder) if database is None else named(folder, database)
    keys = load_or_make_keys(folder)
    with _alone(folder):
        refused: list[str] = []
        with place.draft() as storage:
            boxes = _let_in(storage, admitted_folder(folder), refused)
            batches = _take_in(storage, keys, folder / "batches", refused, progress)
        before = place.adopt()
        if database is not None:
            choose(folder, database)
    return Rebuilt(boxes=boxes, batches=batches, refused=tuple(refused), before=before)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HubError(f"The hub in {folder} is running.", todo="Stop it, then run this again.") from error
        yield
    finally:
        os.close(descriptor)


def _let_in(storage: Storage, folder: Path, refused: list[str]) -> int:
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
    storage: Storage,
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
