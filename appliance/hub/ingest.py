"""One batch's way into the hub, whichever way it came: verified, archived, merged once, and signed for."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from appliance.errors import BatchRefused, HubError
from appliance.files import write_private
from appliance.hub.enrol import admit
from appliance.hub.keys import HubKeys, load_or_make_keys
from appliance.hub.places import place_of
from appliance.hub.storage import Storage
from appliance.hub.wishes import desired
from appliance.sync import batch
from appliance.sync.wire import Receipt, b64, public_bytes, write_receipt


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
            HubError: the folder or its database cannot be used, or holds no hub and none shall be made.
        """
        if not make and not (folder / "hub.json").exists():
            raise HubError(
                f"There is no hub in {folder}.",
                todo='Name the right folder; fieldpost-hub enrol --data DIR --name "A site" makes a new hub.',
            )
        keys = load_or_make_keys(folder)
        stack = ExitStack()
        stack.enter_context(_in_use(folder))
        storage = stack.enter_context(place_of(folder).open())
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
        opened = batch.open_batch(data, key_of=self._key_of, identity=self.keys.opening)
        self.storage.merge(sha, opened, len(data), _now_ms(), archive=lambda: self._archive(sha, data))
        self._clean_archive()
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
            desired=desired(self.folder, self.storage, box),
        )
        return write_receipt(receipt, self.keys.signing)

    def admit(self, introduction: bytes) -> str:
        """Let a box in by what it says of itself; its name. The same again changes nothing.

        Raises:
            BatchRefused: see ``appliance.hub.enrol.admit``.
            HubError: the disk.
        """
        box = admit(self.storage, introduction)
        self._keep(box)
        return box

    def revoke(self, box: str) -> None:
        """Take nothing more from a box, until it comes with a new token.

        Raises:
            HubError: there is no such box, or the disk.
        """
        if self.storage.admitted(box) is None:
            raise HubError(f"There is no box {box} here.", todo="Look for its name: fieldpost-hub status --data DIR")
        self.storage.revoke(box, _now_ms())
        self._keep(box)

    def _key_of(self, box: str) -> bytes | None:
        known = self.storage.admitted(box)
        if known is not None and known.revoked_ms is not None:
            raise BatchRefused(
                f"The box {box} was shut out of this hub.",
                needed="What it sent before stays.",
                todo="If it is in good hands again, enrol it with a new token: fieldpost-hub enrol",
            )
        return known.key if known else None

    def _keep(self, box: str) -> None:
        """Who a box is stands beside the archive too, so that the database can be made anew from both."""
        with self._one_at_a_time(), _speaking(admitted_folder(self.folder) / f"{box}.json") as path:
            known = self.storage.admitted(box)
            assert known is not None, "only called for a box that was just let in"  # noqa: S101
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(path, json.dumps({**asdict(known), "key": b64(known.key)}).encode())

    def _archive(self, sha: str, data: bytes) -> None:
        """Keep the batch as it came, sealed: the box's own signature over what the hub says it has."""
        with _speaking(self._archived(sha)) as path:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, data)

    def _clean_archive(self) -> None:
        """Write anew each archived batch that holds what a box asked to be forgotten.

        The hub cannot sign for the box, so it signs itself, as ``SHA.erased``. The chain through the commitments, and
        the head that a later batch of the box's own continues, prove the rest. What a crash leaves over is done next
        time: the list is in the database.
        """
        for sha in self.storage.unclean():
            with self._one_at_a_time(), _speaking(self._archived(sha)) as path:
                cleaned = path.with_suffix(".erased")
                signed_by_hub = cleaned.exists()
                data = (cleaned if signed_by_hub else path).read_bytes()
                key_of = (lambda _: public_bytes(self.keys.signing)) if signed_by_hub else self.storage.box_key
                opened = batch.open_batch(data, key_of=key_of, identity=self.keys.opening)
                gone = self.storage.erased(opened.header)
                records = [replace(r, body=None, salt=b"") if r.seq in gone else r for r in opened.records]
                sealed = batch.seal(
                    records,
                    box=opened.header.box,
                    epoch=opened.header.epoch,
                    previous=opened.previous,
                    key=self.keys.signing,
                    recipients=[self.keys.recipient],
                )
                write_private(cleaned, sealed)
                path.unlink(missing_ok=True)
            self.storage.clean(sha)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Of all threads and processes: what is read and written anew must not have two writers."""
        with _speaking(self.folder / "archive.lock") as path:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _archived(self, sha: str) -> Path:
        return self.folder / "batches" / sha[:2] / f"{sha}.batch"


@contextmanager
def _in_use(folder: Path) -> Iterator[None]:
    """Several processes may use a hub at once; none while its database is made anew."""
    with _speaking(folder / "lock") as path:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HubError(f"The database of {folder} is being made anew.", todo="Wait until that is done.") from error
        yield
    finally:
        os.close(descriptor)


def admitted_folder(folder: Path) -> Path:
    """Who was let in, a file a box."""
    return folder / "boxes"


@contextmanager
def _speaking(path: Path) -> Iterator[Path]:
    try:
        yield path
    except OSError as error:
        raise HubError(f"{path} cannot be written: {error.strerror}.", todo="Free space on the disk.") from error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
