"""One batch's way into the hub, whichever way it came: verified, archived, merged once, and signed for."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from appliance.errors import HubError
from appliance.files import write_private
from appliance.hub.keys import HubKeys, load_or_make_keys
from appliance.hub.storage import SqliteStorage, Storage
from appliance.sync import batch
from appliance.sync.wire import Receipt, write_receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """An open hub: its folder, its keys, its memory."""

    folder: Path
    keys: HubKeys
    storage: Storage
    _open: ExitStack

    @classmethod
    def open(cls, folder: Path, *, make: bool = True) -> Self:
        """Open the hub in ``folder``; the first time makes it, unless ``make`` is False.

        Raises:
            HubError: the folder cannot be used, or holds no hub and none shall be made.
        """
        if not make and not (folder / "hub.json").exists():
            raise HubError(
                f"There is no hub in {folder}.",
                todo='Name the right folder; fieldpost-hub enrol --data DIR --name "A site" makes a new hub.',
            )
        keys = load_or_make_keys(folder)
        stack = ExitStack()
        storage = stack.enter_context(SqliteStorage(folder / "hub.sqlite"))
        return cls(folder=folder, keys=keys, storage=storage, _open=stack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def ingest(self, data: bytes) -> batch.Header:
        """Take in a batch; again is the same as once.

        Raises:
            BatchRefused: it is not signed by an enrolled box, not for this hub, or not well-formed.
            ForkDetected: it does not fit what the box said before; nothing was merged.
            HubError: the disk.
        """
        sha = batch.name(data)
        known = self.storage.batch(sha)
        if known:
            return known[0]
        opened = batch.open_batch(data, key_of=self.storage.box_key, identity=self.keys.opening)
        self.storage.merge(sha, opened, len(data), _now_ms(), archive=lambda: self._archive(sha, data))
        return opened.header

    def receipt(self, box: str, epoch: int | None = None) -> bytes:
        """What the hub has of a box, signed; of the newest epoch if none is named."""
        epoch, heads = self.storage.heads(box, epoch)
        receipt = Receipt(
            box=box,
            epoch=epoch,
            ack={stream: seq for stream, (seq, _) in heads.items()},
            heads={stream: hash for stream, (_, hash) in heads.items()},
            hub_time_ms=_now_ms(),
        )
        return write_receipt(receipt, self.keys.signing)

    def _archive(self, sha: str, data: bytes) -> None:
        """Keep the batch as it came, sealed: the box's own signature over what the hub says it has."""
        folder = self.folder / "batches" / sha[:2]
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(folder / f"{sha}.batch", data)
        except OSError as error:
            raise HubError(f"{folder} cannot be written: {error.strerror}.", todo="Free space on the disk.") from error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
