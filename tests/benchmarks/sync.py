"""The log's way to the hub: how fast a hub takes batches in, on both of its databases.

Records are made up, in the form and size of real ones (``tests/support/chats.py``), and sealed as a box seals them. The
hub does all it does in earnest: it checks the signature, decrypts, recomputes the chain, archives and commits durably.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.files import write_private
from appliance.hub.ingest import Hub
from appliance.hub.rebuild import rebuild
from appliance.hub.storage import Admitted
from appliance.log import chain
from appliance.log.chain import GENESIS, Record
from appliance.sync import batch
from appliance.sync.wire import box_name, public_bytes
from tests.benchmarks.frame import Row
from tests.support.chats import chats
from tests.support.postgres import postgres

RECORDS = 20_000
AT_ONCE = 200
"""Records of a batch: what fits the 64 kB that a box cuts at."""
TARGETS = {"SQLite": 25_000, "PostgreSQL": 15_000}


def measure(quick: bool) -> list[Row]:
    """Records a second, of one process and one box."""
    records = RECORDS // 10 if quick else RECORDS
    with tempfile.TemporaryDirectory() as folder:
        return list(_ingest(Path(folder), records))


def _ingest(folder: Path, records: int) -> Iterator[Row]:
    with _hubs(folder) as hubs:
        key = Ed25519PrivateKey.generate()
        known = Admitted(box=_box(key), site="x", key=public_bytes(key), token="x", revoked_ms=None)
        for hub in hubs.values():
            hub.storage.readmit(known, 0)
        identity = hubs["SQLite"].keys.opening
        spent, opening, forcing = dict.fromkeys(hubs, 0.0), 0.0, 0.0
        for data in _sealed(key, [hub.keys.recipient for hub in hubs.values()], records):
            for name, hub in hubs.items():  # in turn, so that whatever else the machine does befalls both
                spent[name] += _seconds(partial(hub.ingest, data))
            opening += _seconds(partial(batch.open_batch, data, key_of=lambda _: known.key, identity=identity))
            forcing += _seconds(partial(write_private, folder / "forced", data))
        for name, seconds in spent.items():
            yield Row(metric=f"taken in, {name}", value=records / seconds, unit="records/s", target=TARGETS[name])
        yield Row(metric="bound: checking and opening alone", value=records / opening, unit="records/s")
        yield Row(metric="bound: forcing the archive's file alone", value=records / forcing, unit="records/s")


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def _hubs(folder: Path) -> Iterator[dict[str, Hub]]:
    with postgres(durable=True) as server:
        rebuild(folder / "postgresql", database=server.database())
        with Hub.open(folder / "sqlite") as one, Hub.open(folder / "postgresql") as other:
            yield {"SQLite": one, "PostgreSQL": other}


def _box(key: Ed25519PrivateKey) -> str:
    return box_name(public_bytes(key))


def _sealed(key: Ed25519PrivateKey, recipients: list[str], count: int) -> Iterator[bytes]:
    """The batches of a log of ``count`` chat records."""
    bodies = chats(count)
    previous, seq = GENESIS, 0
    while seq < count:
        before, records = previous, []
        for body in (next(bodies) for _ in range(min(AT_ONCE, count - seq))):
            seq += 1
            salt, data = os.urandom(chain.SALT_BYTES), chain.canonical(body)
            commitment = chain.commitment(salt, data)
            previous = chain.link(previous, "chat", seq, 1, seq * 1000, seq * 1000, commitment)
            records.append(
                Record(
                    stream="chat", seq=seq, boot=1, mono_ms=seq * 1000, wall_ms=seq * 1000, egress=True, salt=salt,
                    body=data, commitment=commitment, hash=previous,
                )
            )  # fmt: skip
        yield batch.seal(records, box=_box(key), epoch=1, previous=before, key=key, recipients=recipients)
