"""Thousands of faults between boxes and a hub, on both its databases: nothing lost, nothing twice, no fork unnoticed.

A case is one box and a plan drawn from its seed: records are written, sealed and brought to the hub by link and by
stick while faults strike where bytes leave a process: uploads cut at any byte, bits flipped on the way, batches again
and in any order, receipts lost, a hub that dies before, within or after its commit, batches damaged in the outbox, a
box that is copied. Every 33rd case runs box and hub in a process of their own and ends it by a real SIGKILL. In the end
the link is well, and the hub must have exactly what the box has.
"""

import os
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from appliance.config import Home
from appliance.errors import BatchRefused, FieldpostError, ForkDetected, HubError, SyncError
from appliance.hub.enrol import issue_token
from appliance.hub.ingest import Hub
from appliance.hub.rebuild import rebuild
from appliance.hub.stick import import_stick
from appliance.hub.storage import Storage
from appliance.hub.uploads import Uploads
from appliance.log.chain import STREAMS
from appliance.log.store import Log
from appliance.sync.client import export_to_stick, import_from_stick
from appliance.sync.enrol import enrol
from appliance.sync.identity import load_or_make_identity
from appliance.sync.outbox import LINK, Outbox
from appliance.sync.wire import public_bytes, read_receipt
from tests.soak.frame import Outcome
from tests.support.postgres import postgres

ROUNDS = 10_000
KILL_EVERY = 33
_STEPS = 6


class Died(Exception):
    """The hub's process ended here."""


@dataclass
class Fragile:
    """The hub's storage, which may die at a drawn point of a merge."""

    storage: Storage
    at: str = ""

    def merge(self, *values: Any, archive: Callable[[], None]) -> None:
        at, self.at = self.at, ""
        if at == "before":
            raise Died

        def archiving() -> None:
            archive()
            if at == "within":
                raise Died

        self.storage.merge(*values, archive=archiving)
        if at == "after":
            raise Died

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)


@dataclass
class Case:
    """One box on a hub, and what has struck it."""

    hub: Hub
    home: Home
    stick: Path
    rng: random.Random
    faults: Counter[str]
    written: int = 0
    acknowledged: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))

    def write(self) -> None:
        with Log.open(self.home.log, load_or_make_identity(self.home).box) as log:
            for _ in range(self.rng.randrange(1, 8)):
                stream = self.rng.choice(STREAMS)
                body = {"q": self.written, "text": "x" * self.rng.randrange(300)}
                log.append(stream, body, egress=self.rng.random() < 0.8)
                self.written += 1

    def send(self, *, well: bool = False) -> None:
        """What a sync does, over a link that is cut wherever the seed says."""
        identity = load_or_make_identity(self.home)
        recipients = [self.hub.keys.recipient]
        with Log.open_to_read(self.home.log, identity.box) as log, Outbox(self.home.outbox) as outbox:
            outbox.mend()
            outbox.seal_new(log, identity, recipients)
            waiting = outbox.waiting()
            if not well and self.rng.random() < 0.5:
                self.rng.shuffle(waiting)
                self.faults["in another order"] += 1
            for sealed in waiting:
                if not sealed.path.exists():
                    continue  # a receipt has covered it meanwhile
                receipt = self._upload(sealed.sha, sealed.path.read_bytes(), well=well)
                if receipt is None:
                    continue
                key = public_bytes(self.hub.keys.signing)
                read = read_receipt(receipt, key, box=identity.box, epoch=identity.epoch)
                outbox.take(read, log, wall_ms=0, way=LINK)
                self.acknowledged = dict(read.ack)

    def _upload(self, sha: str, data: bytes, *, well: bool) -> bytes | None:
        uploads = Uploads(self.hub.folder / "partial")
        while (place := uploads.offset(sha)) < len(data):
            end = len(data) if well else self.rng.randrange(place, len(data)) + 1
            piece = bytearray(data[place:end])
            if not well and self.rng.random() < 0.1:
                piece[self.rng.randrange(len(piece))] ^= 1 << self.rng.randrange(8)
                self.faults["a bit flipped"] += 1
            writer = uploads.begin(sha)
            uploads.add(sha, writer, place, bytes(piece))
            uploads.end(sha, writer)
            if end < len(data):
                self.faults["cut"] += 1
                if self.rng.random() < 0.3:
                    return None
        arrived = uploads.read(sha)
        uploads.drop(sha)
        hub = self.hub
        if not well and self.rng.random() < 0.25:
            at = self.rng.choice(["before", "within", "after"])
            self.faults[f"the hub dies {at} its commit"] += 1
            hub = replace(hub, storage=Fragile(hub.storage, at))
        try:
            hub.ingest(arrived)
            if not well and self.rng.random() < 0.2:
                hub.ingest(arrived)
                self.faults["again"] += 1
        except Died:
            return None
        except BatchRefused:
            assert arrived != data, "a good batch was refused"
            return None
        if not well and self.rng.random() < 0.2:
            self.faults["receipt lost"] += 1
            return None
        identity = load_or_make_identity(self.home)
        return self.hub.receipt(identity.box, identity.epoch)

    def by_stick(self) -> None:
        export_to_stick(self.home, self.stick)
        self.faults["by stick"] += 1
        if self.rng.random() < 0.5:
            import_stick(self.hub, self.stick)
            if self.rng.random() < 0.5:
                import_from_stick(self.home, self.stick)

    def spoil_outbox(self) -> None:
        for path in self.home.outbox.glob("*.batch"):
            if self.rng.random() < 0.5:
                path.write_bytes(path.read_bytes()[: self.rng.randrange(100)])
                self.faults["batch damaged on the box"] += 1

    def killed(self) -> None:
        """Box and hub in a process of their own, ended by SIGKILL; what it had said was written must be there."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                with Hub.open(self.hub.folder) as hub:
                    child = replace(self, hub=hub)
                    while True:
                        child.write()
                        os.write(writer, f"{child.written}\n".encode())
                        child.send(well=True)
            finally:
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader) as told:
            seen = [told.readline() for _ in range(self.rng.randrange(1, 5))]
            signal.sigtimedwait([], self.rng.random() * 0.03)  # any instant of what comes next
            os.kill(pid, signal.SIGKILL)
            seen += told.readlines()
        os.waitpid(pid, 0)
        self.faults["SIGKILL"] += 1
        done = [int(line) for line in seen if line.endswith("\n")]
        assert _count(self.home) >= max(done, default=0), "a record was lost that append had returned for"
        self.written = _count(self.home)

    def forked(self) -> None:
        """A copy goes its own way: the hub takes one history and notices the other."""
        self.send(well=True)
        copy = replace(self, home=Home(root=self.home.root.with_name(f"{self.home.root.name}-copy")))
        shutil.copytree(self.home.root, copy.home.root)
        for one in (self, copy):
            with Log.open(one.home.log, load_or_make_identity(one.home).box) as log:
                log.append("chat", {"q": f"only here: {one.home.root.name}"})
        self.send(well=True)
        before = _at_hub(self)
        try:
            copy.send(well=True)
        except ForkDetected:
            self.faults["fork noticed"] += 1
        else:
            raise AssertionError("a fork went unnoticed")
        finally:
            shutil.rmtree(copy.home.root)
        assert _at_hub(self) == before, "a fork was merged"


def soak(rounds: int, seed: int) -> Outcome:
    """Run cases ``seed`` to ``seed + rounds - 1``, half of them on each database; a range of seeds can be run alone."""
    failures: list[str] = []
    rows = []
    with postgres() as server, tempfile.TemporaryDirectory(prefix="fieldpost-soak-") as scratch, ExitStack() as stack:
        rebuild(Path(scratch) / "postgresql", database=server.database())
        hubs = {name: stack.enter_context(Hub.open(Path(scratch) / name)) for name in ("sqlite", "postgresql")}
        counted = {name: Counter[str]() for name in hubs}
        for number in range(seed, seed + rounds):
            name = list(hubs)[number % 2]
            counted[name]["cases"] += 1
            try:
                with _case(hubs[name], Path(scratch) / "boxes", number, counted[name]) as case:
                    _play(case, number)
                    counted[name]["records"] += _count(case.home)
            except (FieldpostError, AssertionError, OSError) as error:
                failures.append(f"--rounds 1 --seed {number} ({name}): {type(error).__name__}: {error}")
    for what in sorted({what for counter in counted.values() for what in counter}, key=lambda w: (w != "cases", w)):
        rows.append((what, *(f"{counted[name][what]:,}" for name in counted)))
    return Outcome(heads=("what", "SQLite", "PostgreSQL"), rows=tuple(rows), failures=tuple(failures))


@contextmanager
def _case(hub: Hub, folder: Path, number: int, faults: Counter[str]) -> Iterator[Case]:
    root = folder / str(number)
    (root / "home").mkdir(parents=True)
    home = Home(root=root / "home")
    home.prepare_data()
    enrolment = enrol(home, issue_token(hub.storage, hub.keys, site=str(number), url=""))
    hub.admit(enrolment.introduction(load_or_make_identity(home)) or b"")
    (root / "stick").mkdir()
    try:
        yield Case(hub=hub, home=home, stick=root / "stick", rng=random.Random(number), faults=faults)
    finally:
        shutil.rmtree(root)


def _play(case: Case, number: int) -> None:
    case.write()
    for _ in range(case.rng.randrange(2, _STEPS)):
        step = case.rng.choices([case.write, case.send, case.by_stick, case.spoil_outbox], [4, 6, 2, 1])[0]
        try:
            step()
        except (SyncError, HubError) as error:
            assert not isinstance(error, ForkDetected), "a fork where there is none"
    if number % KILL_EVERY == 0:
        case.killed()
    for _ in range(2):  # the second brings what the first sealed anew
        case.send(well=True)
    _compare(case)
    if case.rng.random() < 0.2:
        case.forked()


def _compare(case: Case) -> None:
    identity = load_or_make_identity(case.home)
    with Log.open_to_read(case.home.log, identity.box) as log:
        report = log.verify()
        mine = sorted((record.stream, record.seq, record.hash) for record in log.records())
    assert report.ok, report.problem
    assert len(mine) >= case.written, "the box has lost a record"
    theirs = _at_hub(case)
    assert len(theirs) == len(set(theirs)), "a record is twice at the hub"
    assert theirs == mine, f"the hub has {len(theirs)} records, the box {len(mine)}"
    heads = case.hub.storage.heads(identity.box, identity.epoch)[1]
    for stream in STREAMS:
        assert case.acknowledged[stream] <= heads[stream][0], f"signed for {stream} beyond what is there"


def _at_hub(case: Case) -> list[tuple[str, int, bytes]]:
    query = "SELECT stream, seq, hash FROM record WHERE box=?"
    with case.hub.storage._tables.reading() as database:
        return sorted(database.rows(query, [load_or_make_identity(case.home).box]))


def _count(home: Home) -> int:
    return Log.count(home.log)
