"""Box and hub over a real loopback link that is cut, and processes that are killed: each record arrives once."""

import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.errors import ForkDetected, SyncError
from appliance.hub.ingest import Hub
from appliance.hub.stick import import_stick
from appliance.log.store import Log
from appliance.sync.client import export_to_stick, import_from_stick, sync_over_http, sync_state
from appliance.sync.enrol import enrol, load_enrolment
from appliance.sync.transport import HubLink
from tests.support.site import ROOT, free_port, serving
from tests.sync.parts import batches_at, joined, same_history, stored, token_of


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub's folder opened in this process too; ``server`` serves the same folder from another, to all tests."""
    with Hub.open(tmp_path_factory.mktemp("site") / "hub") as opened:
        yield opened


@pytest.fixture(scope="module")
def server(hub):
    with serving("fieldpost-hub", "--data", hub.folder) as running:
        yield running


@pytest.fixture
def box(tmp_path, hub, server):
    return joined(tmp_path / "box", hub, url=server.url)


@pytest.fixture
def own_hub(tmp_path):
    """A hub for a test that stops it, or takes its data away."""
    with Hub.open(tmp_path / "own") as opened:
        yield opened


def half_a_patch(url, path, data, start, length):
    """Send some bytes of a batch, and break off as a lost link does."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port)) as link:
        link.sendall(
            f"PATCH /v1/b/{path} HTTP/1.1\r\nHost: x\r\nUpload-Offset: {start}\r\nUpload-Complete: ?1\r\n"
            f"Upload-Length: {len(data)}\r\nContent-Length: {len(data) - start}\r\n\r\n".encode()
        )
        link.sendall(data[start : start + length])
        # The web server forgets what it has not handed on when the link goes: see it arrive first.
        assert offset_becomes(start + length, f"{url}/v1/b/{path}")


def offset_becomes(wanted, url):
    """Whether the hub gets that far; asked again and again, for 20 s at most."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if int(httpx.head(url, trust_env=False).headers["Upload-Offset"]) == wanted:
            return True
        time.sleep(0.01)
    return False


def test_everything_arrives_once_and_is_then_dropped_from_the_outbox(box, hub):
    box.write("chat", *({"q": n} for n in range(30)))
    box.write("safety", {"event": "filter"})
    box.write("feedback", {"text": "secret"}, egress=False)
    report = sync_over_http(box.home)
    assert (report.sent, report.acknowledged, report.waiting) == (3, 32, 0)
    assert sync_over_http(box.home).sent == 0
    for stream in ("chat", "safety", "feedback"):
        assert same_history(hub, box, stream)
    assert stored(hub, box, "feedback")[0][2] is None
    assert box.batches() == []
    state = sync_state(box.home)
    assert (state.pending, state.hub) == (0, report.hub)
    assert state.last_contact


def test_a_sync_is_no_start_of_the_box(box):
    box.write("chat", {"q": 1})
    sync_over_http(box.home)
    box.write("chat", {"q": 2})
    assert [record.boot for record in box.rows("chat")] == [1, 2]


def test_an_upload_cut_at_any_byte_goes_on_there(box, hub, server):
    sync_over_http(box.home)
    places = random.Random(7)
    for n in range(10):
        box.write("chat", {"q": n, "text": "x" * places.randrange(400)})
        export_to_stick(box.home, box.home.root)
        (path,) = box.batches()
        data, sha = path.read_bytes(), path.stem
        cut = [0, 1, len(data) - 1][n] if n < 3 else places.randrange(len(data))
        half_a_patch(server.url, sha, data, 0, cut)
        assert sync_over_http(box.home).waiting == 0
    assert same_history(hub, box, "chat")
    assert batches_at(hub, box) == 10


def test_the_hub_killed_in_the_middle_of_an_upload_and_started_again(own_hub, tmp_path):
    port = free_port()
    box = joined(tmp_path / "box", own_hub, url=f"http://127.0.0.1:{port}")
    box.write("chat", *({"q": n} for n in range(50)))
    with serving("fieldpost-hub", "--data", own_hub.folder, port=port) as server:
        sync_over_http(box.home)
        box.write("chat", *({"q": n} for n in range(50)))
        export_to_stick(box.home, box.home.root)
        (path,) = box.batches()
        half_a_patch(server.url, path.stem, path.read_bytes(), 0, 500)
        server.kill()
    with pytest.raises(SyncError, match=str(port)):
        sync_over_http(box.home, wait=lambda _: 0)
    assert sync_state(box.home).pending == 50
    with serving("fieldpost-hub", "--data", own_hub.folder, port=port):
        assert sync_over_http(box.home).waiting == 0
    assert same_history(own_hub, box, "chat")


FORKING = """
import os, sys
from pathlib import Path
from appliance.config import Config, Home
from appliance.sync.client import sync_over_http
for go in sys.stdin:
    if not (pid := os.fork()):
        try:
            sync_over_http(Home(root=Path(sys.argv[1])))
        finally:
            os._exit(0)
    print(pid, flush=True)
    sys.stdin.readline()  # until then it is not reaped, and its number is nobody else's
    print(os.waitpid(pid, 0)[1], flush=True)
"""


def test_the_box_killed_at_any_moment_of_a_sync(box, hub):
    endings = []
    command = [sys.executable, "-c", FORKING, str(box.home.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        for n in range(8):
            box.write("chat", *({"q": n, "k": k} for k in range(10)))
            box.write("metric", {"n": n})
            print("go", file=process.stdin, flush=True)
            pid = int(process.stdout.readline())
            time.sleep(n * 0.012)
            os.kill(pid, signal.SIGKILL)
            print("over", file=process.stdin, flush=True)
            endings.append(int(process.stdout.readline()))
        process.stdin.close()
    assert signal.SIGKILL in endings
    assert sync_over_http(box.home).waiting == 0
    for stream in ("chat", "metric"):
        assert same_history(hub, box, stream)
    assert box.batches() == []


def test_several_links_at_once_with_the_same_batch(box, hub, server):
    box.write("chat", *({"q": n, "t": random.Random(n).randbytes(200).hex()} for n in range(50)))
    with HubLink(server.url) as link:
        link.introduce(load_enrolment(box.home).introduction(box.identity))
    export_to_stick(box.home, box.home.root)
    (path,) = box.batches()
    problems = []

    def send():
        try:
            with HubLink(server.url, wait=lambda _: 0.01) as link:
                link.send(path.stem, path.read_bytes(), tried=False)
        except SyncError as error:
            problems.append(error)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sync_over_http(box.home).waiting == 0
    assert problems == []
    assert same_history(hub, box, "chat")
    assert batches_at(hub, box) == 1


def test_bytes_damaged_on_the_way_are_dropped_and_sent_again(box, hub, server):
    box.write("chat", {"q": 1})
    sync_over_http(box.home)
    box.write("chat", {"q": 2})
    export_to_stick(box.home, box.home.root)
    (path,) = box.batches()
    data = path.read_bytes()
    half_a_patch(server.url, path.stem, bytes(len(data)), 0, 100)
    with HubLink(server.url, wait=lambda _: 0) as link:
        link.send(path.stem, data, tried=True)
    assert same_history(hub, box, "chat")


def test_over_http_and_by_stick_each_record_is_stored_once(box, hub, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    box.write("chat", {"q": 1}, {"q": 2})
    export_to_stick(box.home, stick)
    import_stick(hub, stick)
    assert same_history(hub, box, "chat")
    assert sync_over_http(box.home).waiting == 0
    box.write("chat", {"q": 3})
    export_to_stick(box.home, stick)
    sync_over_http(box.home)
    import_stick(hub, stick)
    assert same_history(hub, box, "chat")
    assert import_from_stick(box.home, stick).waiting == 0
    assert list((stick / "FIELDPOST" / "up").iterdir()) == []


def test_a_box_rolled_back_is_told_and_nothing_is_merged(box, hub, tmp_path):
    before = roll_back(box, hub, tmp_path)
    box.write("chat", {"q": "and more"}, {"q": "and longer than what the hub has"})
    with pytest.raises(ForkDetected):
        sync_over_http(box.home)
    assert stored(hub, box, "chat") == before


def test_a_box_rolled_back_begins_a_new_history_as_its_error_says(box, hub, server, tmp_path):
    before = roll_back(box, hub, tmp_path)
    old = box.identity
    with pytest.raises(ForkDetected) as told:
        sync_over_http(box.home)
    assert "Move HOME/data away, keep it, and enrol this box again" in str(told.value)
    box.home.data.rename(tmp_path / "kept")
    enrol(box.home, token_of(hub, url=server.url))
    assert box.identity.box != old.box
    box.write("chat", {"q": "a new start"})
    report = sync_over_http(box.home)
    assert (report.acknowledged, report.waiting) == (1, 0)
    assert same_history(hub, box, "chat")
    assert [record.seq for record in box.rows("chat")] == [1]
    assert len(before) == 2  # what the hub had of the old one, it still has
    with sqlite3.connect(hub.folder / "hub.sqlite") as database:
        (kept,) = database.execute("SELECT count(*) FROM record WHERE box=?", [old.box]).fetchone()
    database.close()
    assert kept == 2
    with Log.open_to_read(tmp_path / "kept" / "log.sqlite", old.box) as log:
        assert log.verify().records["chat"] == 2


def roll_back(box, hub, tmp_path):
    """Bring the box back to an older backup, and let it write on; what the hub has of it."""
    box.write("chat", {"q": 1})
    sync_over_http(box.home)
    shutil.copytree(box.home.data, tmp_path / "backup")
    box.write("chat", {"q": 2})
    sync_over_http(box.home)
    shutil.rmtree(box.home.data)
    shutil.copytree(tmp_path / "backup", box.home.data)
    box.write("chat", {"q": "another"})
    with pytest.raises(ForkDetected):
        sync_over_http(box.home)
    return stored(hub, box, "chat")


def test_a_copied_box_gets_412_from_the_hub_and_nothing_is_merged(box, hub, server, tmp_path):
    box.write("chat", {"q": 1})
    sync_over_http(box.home)
    shutil.copytree(box.home.root, tmp_path / "copy")
    box.write("chat", {"q": "the one"})
    sync_over_http(box.home)
    copy = type(box)(home=type(box.home)(root=tmp_path / "copy"))
    copy.write("chat", {"q": "the other"})
    export_to_stick(copy.home, tmp_path)
    (path,) = copy.batches()
    with HubLink(server.url) as link, pytest.raises(ForkDetected):
        link.send(path.stem, path.read_bytes(), tried=False)
    with pytest.raises(ForkDetected, match="Move HOME/data away, keep it, and enrol this box again"):
        hub.ingest(path.read_bytes())
    assert same_history(hub, box, "chat")


def test_a_hub_restored_from_an_old_backup_gets_everything_again(own_hub, tmp_path):
    port = free_port()
    box = joined(tmp_path / "box", own_hub, url=f"http://127.0.0.1:{port}")
    for n in (1, 2):
        box.write("chat", {"q": n})
        export_to_stick(box.home, tmp_path)
        import_stick(own_hub, tmp_path)
        assert import_from_stick(box.home, tmp_path).waiting == 0
        with sqlite3.connect(own_hub.folder / "hub.sqlite") as database:
            database.execute(f"VACUUM INTO '{tmp_path / f'backup{n}'}'")
        database.close()
    own_hub.__exit__()
    for file in own_hub.folder.glob("hub.sqlite*"):
        file.unlink()
    shutil.copy(tmp_path / "backup1", own_hub.folder / "hub.sqlite")
    with serving("fieldpost-hub", "--data", own_hub.folder, port=port):
        box.write("chat", {"q": 3})
        assert sync_over_http(box.home).waiting == 0
    with Hub.open(own_hub.folder) as restored:
        assert same_history(restored, box, "chat")


def test_a_damaged_file_in_the_outbox_is_sealed_again(box, hub):
    box.write("chat", {"q": 1})
    export_to_stick(box.home, box.home.root)
    (path,) = box.batches()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    Path(box.home.outbox, "0" * 64 + ".batch").write_bytes(b"left by a crash")
    assert sync_over_http(box.home).waiting == 0
    assert same_history(hub, box, "chat")
    assert box.batches() == []


def test_large_logs_are_cut_into_segments(box, hub):
    box.write("chat", *({"t": random.Random(n).randbytes(6000).hex()} for n in range(30)))
    export_to_stick(box.home, box.home.root)
    sizes = [path.stat().st_size for path in box.batches()]
    assert len(sizes) > 2
    assert max(sizes) <= 64 * 1024
    assert sync_over_http(box.home).waiting == 0
    assert same_history(hub, box, "chat")


def test_a_second_token_of_the_same_hub_is_taken_and_another_hubs_is_not(box, hub, own_hub):
    assert enrol(box.home, token_of(hub, url="http://127.0.0.1:9")).url == "http://127.0.0.1:9"
    with pytest.raises(SyncError, match="belongs to the hub"):
        enrol(box.home, token_of(own_hub))
