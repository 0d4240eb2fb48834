"""A hub and boxes in folders of their own, with real keys, logs and batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.config import Home
from appliance.hub.enrol import admit, issue_token
from appliance.hub.ingest import Hub
from appliance.hub.places import SQLITE
from appliance.hub.rebuild import rebuild
from appliance.log.chain import Record
from appliance.log.store import Log
from appliance.sync.enrol import Enrolment, enrol
from appliance.sync.identity import Identity, load_or_make_identity
from appliance.sync.outbox import Outbox, Sealed
from tests.support.postgres import Postgres, postgres
from tests.sync.parts import same_history


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    home: Home
    enrolment: Enrolment
    identity: Identity

    def write(self, stream: str, *bodies: dict, egress: bool = True) -> None:
        with Log.open(self.home.log, self.identity.box) as log:
            for body in bodies:
                log.append(stream, body, egress=egress)

    def rows(self, stream: str) -> list[Record]:
        with Log.open_to_read(self.home.log, self.identity.box) as log:
            return log.rows(stream, 1, 10_000)

    def sealed(self) -> list[Sealed]:
        """What waits, sealed as a sync would."""
        with Log.open_to_read(self.home.log, self.identity.box) as log, Outbox(self.home.outbox) as outbox:
            outbox.seal_new(log, self.identity, self.enrolment.recipients)
            return outbox.waiting()

    def introduction(self) -> bytes:
        made = self.enrolment.introduction(self.identity)
        assert made
        return made


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=[SQLITE, "postgresql"])
def database(request) -> str:
    """Each of the hub's databases, as a URL."""
    return SQLITE if request.param == SQLITE else request.getfixturevalue("postgres_server").database()


@pytest.fixture
def hub(tmp_path, database) -> Iterator[Hub]:
    if database != SQLITE:
        rebuild(tmp_path / "hub", database=database)
    with Hub.open(tmp_path / "hub") as opened:
        yield opened


@pytest.fixture
def make_box(tmp_path, hub) -> Callable[..., Box]:
    def make(name: str = "box", *, url: str = "", token: str = "", admitted: bool = False) -> Box:
        home = Home(root=Path(tmp_path / name))
        home.root.mkdir()
        token = token or issue_token(hub.storage, hub.keys, site=name, url=url)
        box = Box(home=home, enrolment=enrol(home, token), identity=load_or_make_identity(home))
        if admitted:
            admit(hub.storage, box.introduction())
        return box

    return make


@pytest.fixture
def box(make_box) -> Box:
    """A box that the hub has let in."""
    return make_box(admitted=True)


@pytest.fixture
def same(hub) -> Callable[[Box, str], bool]:
    """Whether the hub has exactly a box's records: each once, none missing, none else."""
    return lambda box, stream: same_history(hub, box, stream)
