"""A box and a hub in two folders, for the tests of sync and hub. Real keys, real logs, real batches."""

from dataclasses import dataclass
from pathlib import Path

from appliance.config import Config, Home
from appliance.hub.enrol import issue_token
from appliance.hub.ingest import Hub
from appliance.log.store import Log
from appliance.sync.enrol import enrol
from appliance.sync.identity import Identity, load_or_make_identity

CONFIG = Config()


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A box's HOME."""

    home: Home

    @property
    def identity(self) -> Identity:
        return load_or_make_identity(self.home)

    def write(self, stream: str, *bodies: dict, egress: bool = True) -> None:
        with Log.open(self.home.log, self.identity.box) as log:
            for body in bodies:
                log.append(stream, body, egress=egress)

    def rows(self, stream: str) -> list:
        with Log.open_to_read(self.home.log, self.identity.box) as log:
            return log.rows(stream, 1, 10_000)

    def batches(self) -> list[Path]:
        return sorted(self.home.outbox.glob("*.batch"))


def make_box(folder: Path) -> Box:
    (folder / "home").mkdir(parents=True)
    box = Box(home=Home(root=folder / "home"))
    box.home.prepare_data()
    return box


def token_of(hub: Hub, *, url: str = "", name: str = "Kisumu", recovery: tuple[str, ...] = ()) -> str:
    return issue_token(hub.storage, hub.keys, site=name, url=url, recovery=recovery)


def joined(folder: Path, hub: Hub, *, url: str = "", recovery: tuple[str, ...] = ()) -> Box:
    """A box that holds a token of the hub; the hub has not heard of it yet."""
    box = make_box(folder)
    enrol(box.home, token_of(hub, url=url, recovery=recovery))
    return box


def table(hub: Hub, query: str, *values: object) -> list[tuple]:
    """What a query finds in the hub's database, whichever it is; ``?`` stands for a value."""
    with hub.storage._tables.reading() as database:
        return database.rows(query, values)


def stored(hub: Hub, box: Box, stream: str) -> list[tuple[int, bytes, str | None]]:
    """Number, hash and body of each record that the hub has."""
    query = "SELECT seq, hash, body FROM record WHERE box=? AND stream=? ORDER BY epoch, seq"
    return table(hub, query, box.identity.box, stream)


def batches_at(hub: Hub, box: Box) -> int:
    """How many batches of a box the hub has taken in."""
    return table(hub, "SELECT count(*) FROM batch WHERE box=?", box.identity.box)[0][0]


def same_history(hub: Hub, box: Box, stream: str) -> bool:
    """Whether the hub has exactly the box's records: each once, none missing, none else."""
    return [(seq, digest) for seq, digest, _ in stored(hub, box, stream)] == [
        (record.seq, record.hash) for record in box.rows(stream)
    ]
