"""One memory behind two databases: moving between them, processes side by side, words when it is away."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from appliance.errors import HubError
from appliance.hub.enrol import issue_token
from appliance.hub.ingest import Hub
from appliance.hub.places import SQLITE, named, place_of
from appliance.hub.rebuild import rebuild
from appliance.log.store import Log
from appliance.sync.client import sync_over_http
from appliance.sync.erase import erase
from tests.support.site import run, serving
from tests.sync.parts import batches_at, same_history, table


def fill(box, *, chats=4):
    for n in range(chats):
        box.write("chat", {"q": n})
        box.sealed()  # a batch each
    box.write("safety", {"event": "x"})
    return [sealed.path.read_bytes() for sealed in box.sealed()]


@pytest.mark.parametrize("database", [SQLITE], indirect=True)
def test_a_hub_moves_to_postgresql_and_back_and_goes_on(make_box, hub, postgres_server):
    box = make_box()
    hub.admit(box.introduction())
    for data in fill(box):
        hub.ingest(data)
    ack = hub.storage.heads(box.identity.box, 1)
    hub.__exit__()
    url = postgres_server.database()
    moved = run("fieldpost-hub", "database", url, "--data", hub.folder)
    assert "Made anew from 1 boxes and 5 batches." in moved.stdout
    assert (hub.folder / "database").stat().st_mode & 0o777 == 0o600
    with Hub.open(hub.folder) as there:
        assert there.storage.heads(box.identity.box, 1) == ack
        assert same_history(there, box, "chat")
        box.write("chat", {"q": "next"})
        for sealed in box.sealed():
            there.ingest(sealed.path.read_bytes())
    back = rebuild(hub.folder, database=SQLITE)
    assert back.before == str(hub.folder / "before-rebuild-1")
    with Hub.open(hub.folder) as again:
        assert same_history(again, box, "chat")
        assert len(table(again, "SELECT seq FROM record WHERE stream='chat'")) == 5


def test_many_threads_with_the_same_batches_store_each_record_once(hub, make_box):
    boxes = [make_box(f"box{n}", admitted=True) for n in range(3)]
    batches = [data for box in boxes for data in fill(box)] * 3
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(hub.ingest, batches))
    for box in boxes:
        assert same_history(hub, box, "chat")
        assert same_history(hub, box, "safety")
        assert batches_at(hub, box) == 5
        assert hub.storage.heads(box.identity.box, 1)[1]["chat"][0] == 4


def test_a_request_to_forget_and_what_it_speaks_of_may_arrive_at_once(hub, make_box):
    """Two processes, each with a connection of its own, as two hubs of one folder."""
    for round_number in range(6):
        box = make_box(f"box{round_number}", admitted=True)
        box.write("chat", {"q": "to be forgotten"})
        (late,) = [sealed.path.read_bytes() for sealed in box.sealed()]
        with Log.open(box.home.log, box.identity.box) as log:
            erase(box.home, log, {"chat": [1]})
        (request,) = [s.path.read_bytes() for s in box.sealed() if s.stream == "audit"]
        with Hub.open(hub.folder) as other:
            both = threading.Barrier(2)
            with ThreadPoolExecutor(2) as pool:

                def take(one, data, both=both):
                    both.wait()
                    one.ingest(data)

                list(pool.map(take, [hub, other], [request, late] if round_number % 2 else [late, request]))
        ((body,),) = table(hub, "SELECT body FROM record WHERE box=? AND stream='chat'", box.identity.box)
        assert body is None
        hub.ingest(late)
        assert hub.storage.unclean() == []


def test_several_processes_answer_at_one_address(hub, make_box):
    with serving("fieldpost-hub", "--data", hub.folder, "--processes", "3") as server:
        boxes = []
        for n in range(6):
            token = issue_token(hub.storage, hub.keys, site=f"box{n}", url=server.url)
            boxes.append(make_box(f"box{n}", token=token))
            fill(boxes[-1])
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda box: sync_over_http(box.home), boxes))
        assert all(same_history(hub, box, "chat") for box in boxes)
        assert server.stop() == 0


def test_when_one_of_several_processes_dies_all_end_and_say_so(hub):
    with serving("fieldpost-hub", "--data", hub.folder, "--processes", "2") as server:
        children = run("ps", "--ppid", str(server.process.pid), "-o", "pid=").stdout.split()
        assert len(children) == 2
        run("kill", "-KILL", children[1])
        assert server.process.wait(30) == 1
    assert any("ended by itself" in line for line in server.output)


def test_a_database_that_is_away_empty_or_none_is_told_without_its_password(tmp_path, postgres_server):
    with Hub.open(tmp_path / "hub"):
        pass
    with pytest.raises(HubError, match="no address of a database"):
        named(tmp_path, "mysql://x")
    with pytest.raises(HubError, match="cannot be used") as told:
        rebuild(tmp_path / "hub", database="postgresql://someone:secret@127.0.0.1:1/hub")
    assert "secret" not in str(told.value)
    assert not (tmp_path / "hub" / "database").exists(), "the hub stays where it was"
    url = postgres_server.database()
    rebuild(tmp_path / "hub", database=url)
    with psycopg.connect(url) as connection:
        connection.execute("DROP SCHEMA fieldpost CASCADE")
    with pytest.raises(HubError, match="holds no data of a hub"):
        Hub.open(tmp_path / "hub")


def test_a_database_of_a_newer_version_is_left_alone(tmp_path, postgres_server):
    url = postgres_server.database()
    rebuild(tmp_path / "hub", database=url)
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO fieldpost.version VALUES (99)")
    with pytest.raises(HubError, match="newer Fieldpost"):
        place_of(tmp_path / "hub").open()
