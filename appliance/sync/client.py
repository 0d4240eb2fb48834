"""The log's way to the hub on one page: what is new is sealed, brought there, and let go once signed for.

What a batch is, how it travels and what a receipt must hold is decided in the neighbouring modules.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.config import Home
from appliance.errors import SyncError
from appliance.log.store import Log
from appliance.sync import stick as on_stick
from appliance.sync.enrol import Enrolment, confirm, load_enrolment
from appliance.sync.identity import Identity, load_or_make_identity
from appliance.sync.outbox import LINK, STICK, Outbox, Sealed
from appliance.sync.transport import HubLink, full_jitter
from appliance.sync.update import load_desired, note_desired
from appliance.sync.wire import read_receipt

PATIENCE_S = 120.0
"""Seconds to wait for another sync of this box to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What one contact did."""

    sent: int
    """Batches brought on their way."""
    acknowledged: int
    """Records that the hub has signed for, beyond those of earlier contacts."""
    waiting: int
    """Records that it has not signed for."""
    hub: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncState:
    """How the box stands with its hub."""

    hub: str | None
    """Its address, ``(stick only)``, or None before the enrolment."""
    pending: int
    """Records that the hub has not acknowledged."""
    last_contact: str | None
    """ISO 8601, by the hub's clock, because the box's may be wrong."""
    release_left: int | None
    """Bytes to come of the release that the hub wants here; None when it wants none, or is not known yet."""
    release_problem: str
    """Why that release was refused, or does not work."""


def sync_over_http(
    home: Home,
    *,
    wait: Callable[[int], float] = full_jitter,
    patience_s: float = PATIENCE_S,
    progress: Callable[[int], object] = lambda _: None,
    allow: Callable[[str, int], bool] = lambda _stream, _size: True,
    spend: Callable[[int], object] = lambda _: None,
) -> SyncReport:
    """Send everything that waits, the most urgent first. Without anything to say, nothing is sent at all.

    Args:
        wait: seconds before each further try when the link breaks.
        patience_s: how long another sync of this box may take before this one gives up.
        progress: told the number of records of each batch that has arrived.
        allow: whether a batch of a stream and so many bytes may go now; others wait for another contact.
        spend: told the bytes of each batch before it goes.

    Raises:
        SyncError: not enrolled, or the hub is away; whatever arrived, stays there, and the rest waits.
        LogError: the log cannot be read.
    """
    with _contact(home, patience_s) as contact:
        url = contact.enrolment.url
        if not url:
            raise SyncError(
                "The hub of this box has no address.",
                needed="It was enrolled without --url: only sticks go there.",
                todo="Use: fieldpost sync export --stick STICK",
            )
        sent: set[str] = set()
        with HubLink(url, wait=wait) as link:
            introduction = contact.enrolment.introduction(contact.identity)
            if introduction:
                contact.take(link.introduce(introduction), LINK)
            # Looked at anew after each batch: a safety record written meanwhile goes next, and what the hub turns out
            # to have lost is sealed again.
            while batch := next((b for b in contact.seal() if b.sha not in sent and allow(b.stream, b.size)), None):
                spend(batch.size)
                contact.outbox.mark_tried(batch)
                contact.take(link.send(batch.sha, batch.path.read_bytes(), tried=batch.tried), LINK)
                sent.add(batch.sha)
                progress(batch.n)
        return contact.report(len(sent))


def export_to_stick(home: Home, stick: Path) -> SyncReport:
    """Write everything that the hub has not acknowledged onto a stick; what went before goes again, as the same files.

    Raises:
        SyncError: not enrolled, or the stick is full or read-only; what is on it already stays good.
        LogError: the log cannot be read.
    """
    with _contact(home, PATIENCE_S) as contact:
        folder = on_stick.up(stick)
        introduction = contact.enrolment.introduction(contact.identity)
        if introduction:
            on_stick.put(folder / f"{contact.identity.box}.enrol", introduction)
        batches = contact.seal()
        for batch in batches:
            contact.outbox.mark_tried(batch)
            on_stick.put(folder / f"{batch.sha}.batch", batch.path.read_bytes())
        return contact.report(len(batches))


def import_from_stick(home: Home, stick: Path) -> SyncReport:
    """Take the hub's receipt for this box from a stick that came back.

    Raises:
        SyncError: not enrolled, or there is no receipt for this box on the stick.
        BatchRefused: the receipt is not signed by this box's hub.
        ForkDetected: the hub has another history under this box's name.
    """
    with _contact(home, PATIENCE_S) as contact:
        path = on_stick.ack(stick) / f"{contact.identity.box}.note"
        receipt = on_stick.read(path)
        if receipt is None:
            raise SyncError(
                f"There is no receipt for this box on the stick ({path.name}).",
                needed="The hub writes one when it takes the box's batches.",
                todo="Run at the hub: fieldpost-hub import STICK --data DIR",
            )
        contact.take(receipt, STICK)
        return contact.report(0)


def sync_state(home: Home) -> SyncState:
    """How the box stands with its hub. Asks nobody, waits for nobody.

    Raises:
        SyncError: what is known of the hub cannot be read.
        LogError: the log cannot be read.
    """
    enrolment = load_enrolment(home)
    records = Log.count(home.log) if home.log.exists() else 0
    if enrolment is None:
        return SyncState(hub=None, pending=records, last_contact=None, release_left=None, release_problem="")
    home.prepare_data()
    with Outbox(home.outbox) as outbox:
        pending = records - sum(outbox.acknowledged().values())
        last = outbox.last_contact()
    desired = load_desired(home)
    return SyncState(
        hub=_name(enrolment),
        release_left=desired.left if desired.release else None,
        release_problem=desired.problem,
        pending=max(0, pending),
        last_contact=datetime.fromtimestamp(last.hub_time_ms / 1000, UTC).isoformat(timespec="seconds")
        if last
        else None,
    )


class _Contact:
    """All that a contact needs, opened; nobody else syncs meanwhile."""

    def __init__(self, home: Home, enrolment: Enrolment, identity: Identity, log: Log, outbox: Outbox) -> None:
        self._home, self._log = home, log
        self.enrolment, self.identity, self.outbox = enrolment, identity, outbox
        self._before = sum(outbox.acknowledged().values())

    def seal(self) -> list[Sealed]:
        """Seal what is new; all batches that wait, the most urgent first."""
        self.outbox.seal_new(self._log, self.identity, self.enrolment.recipients)
        return self.outbox.waiting()

    def take(self, receipt: bytes, way: str) -> None:
        """Check the hub's words, then believe them."""
        read = read_receipt(receipt, self.enrolment.hub_key, box=self.identity.box, epoch=self.identity.epoch)
        self.outbox.take(read, self._log, wall_ms=time.time_ns() // 1_000_000, way=way)
        self.enrolment = confirm(self._home, self.enrolment)
        note_desired(self._home, read.desired)

    def report(self, sent: int) -> SyncReport:
        has = sum(self.outbox.acknowledged().values())
        written = sum(seq for seq, _ in self._log.heads().values())
        return SyncReport(
            sent=sent, acknowledged=max(0, has - self._before), waiting=written - has, hub=_name(self.enrolment)
        )


@contextmanager
def _contact(home: Home, patience_s: float) -> Iterator[_Contact]:
    enrolment = load_enrolment(home)
    if enrolment is None:
        raise SyncError(
            "This box belongs to no hub yet.",
            needed="A token from the hub is needed: fieldpost-hub enrol --data DIR --name SITE --url URL",
            todo="Then run: fieldpost sync enrol TOKEN",
        )
    identity = load_or_make_identity(home)
    if not home.log.exists():
        Log.open(home.log, identity.box).close()  # a new box: the hub may hear of it before it has said anything
    with alone(home, patience_s), Log.open_to_read(home.log, identity.box) as log, Outbox(home.outbox) as outbox:
        outbox.mend()
        # Read again: the sync that was waited for may have had the hub's first answer.
        yield _Contact(home, load_enrolment(home) or enrolment, identity, log, outbox)


@contextmanager
def alone(home: Home, patience_s: float) -> Iterator[None]:
    """Nobody else changes this box's outbox meanwhile.

    Raises:
        SyncError: somebody did for longer than ``patience_s``.
    """
    descriptor = os.open(home.data / "sync.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise SyncError(
                        "Another sync of this box is still running.", todo="Wait for it, then try again."
                    ) from None
                time.sleep(0.1)  # flock knows no patience of its own: it waits for ever or not at all
        yield
    finally:
        os.close(descriptor)


def _name(enrolment: Enrolment) -> str:
    return enrolment.url or "(stick only)"
