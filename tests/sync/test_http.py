"""Box and hub over a real loopback link that is cut, and processes that are killed: each record arrives once."""

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

from appliance.errors import BatchRefused, ForkDetected, SyncError
from appliance.hub.ingest import Hub
from appliance.sync.client import export_to_stick, import_from_stick, sync_over_http, sync_state
from appliance.sync.enrol import load_enrolment
from appliance.sync.outbox import Outbox
from appliance.sync.transport import HubLink
from tests.support.site import ROOT, free_port, run, serving
from tests.sync.parts import CONFIG, batches_at, joined, same_history, stored, token_of


@pytest.fixture
def hub(tmp_path):
    """A hub's folder opened in this process too; ``serving`` serves the same folder from another."""
    with Hub.open(tmp_path / "hub") as opened:
        yield opened


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def box(tmp_path, hub, port):
    return joined(tmp_path / "box", hub, url=f"http://127.0.0.1:{port}")


@pytest.fixture
def serve(tmp_path, port):
    return lambda: serving("fieldpost-hub", "--data", tmp_path / "hub", port=port)


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


def test_everything_arrives_once_and_is_then_dropped_from_the_outbox(box, hub, serve):
    box.write("chat", *({"q": n} for n in range(30)))
    box.write("safety", {"event": "filter"})
    box.write("feedback", {"text": "secret"}, egress=False)
    with serve() as server:
        report = sync_over_http(box.home, CONFIG)
        assert (report.sent, report.acknowledged, report.waiting) == (3, 32, 0)
        assert sync_over_http(box.home, CONFIG).sent == 0
        assert server.stop() == 0
    for stream in ("chat", "safety", "feedback"):
        assert same_history(hub, box, stream)
    assert stored(hub, box, "feedback")[0][2] is None
    assert box.batches() == []
    state = sync_state(box.home)
    assert (state.pending, state.hub) == (0, report.hub)
    assert state.last_contact


def test_a_hub_that_is_away_is_named_and_nothing_is_lost(box, hub, serve, port):
    box.write("chat", {"q": 1})
    with pytest.raises(SyncError, match=str(port)):
        sync_over_http(box.home, CONFIG)
    assert sync_state(box.home).pending == 1
    with serve():
        assert sync_over_http(box.home, CONFIG).waiting == 0


def test_an_upload_cut_at_any_byte_goes_on_there(box, hub, serve):
    with serve() as server:
        sync_over_http(box.home, CONFIG)
        places = random.Random(7)
        for n in range(25):
            box.write("chat", {"q": n, "text": "x" * places.randrange(400)})
            export_to_stick(box.home, box.home.root)
            (path,) = box.batches()
            data, sha = path.read_bytes(), path.stem
            cut = [0, 1, len(data) - 1][n] if n < 3 else places.randrange(len(data))
            half_a_patch(server.url, sha, data, 0, cut)
            assert sync_over_http(box.home, CONFIG).waiting == 0
    assert same_history(hub, box, "chat")
    assert batches_at(hub) == 25


def test_the_hub_killed_in_the_middle_of_an_upload_and_started_again(box, hub, serve):
    box.write("chat", *({"q": n} for n in range(50)))
    with serve() as server:
        sync_over_http(box.home, CONFIG)
        box.write("chat", *({"q": n} for n in range(50)))
        export_to_stick(box.home, box.home.root)
        (path,) = box.batches()
        half_a_patch(server.url, path.stem, path.read_bytes(), 0, 500)
        server.kill()
    with pytest.raises(SyncError):
        sync_over_http(box.home, CONFIG)
    with serve():
        assert sync_over_http(box.home, CONFIG).waiting == 0
    assert same_history(hub, box, "chat")


def test_the_box_killed_at_any_moment_of_a_sync(box, hub, serve):
    program = (
        "import sys; from pathlib import Path; from appliance.config import Config, Home;"
        "from appliance.sync.client import sync_over_http; print('go', flush=True);"
        "sync_over_http(Home(root=Path(sys.argv[1])), Config())"
    )
    moments = random.Random(11)
    with serve():
        for n in range(8):
            box.write("chat", *({"q": n, "k": k} for k in range(20)))
            box.write("metric", {"n": n})
            command = [sys.executable, "-c", program, str(box.home.root)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
                process.stdout.readline()
                try:
                    process.wait(timeout=moments.uniform(0, 0.08))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
        assert sync_over_http(box.home, CONFIG).waiting == 0
    for stream in ("chat", "metric"):
        assert same_history(hub, box, stream)
    assert box.batches() == []


def test_several_links_at_once_with_the_same_batch(box, hub, serve):
    box.write("chat", *({"q": n, "t": random.Random(n).randbytes(200).hex()} for n in range(100)))
    with serve() as server:
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
        assert sync_over_http(box.home, CONFIG).waiting == 0
    assert problems == []
    assert same_history(hub, box, "chat")
    assert batches_at(hub) == 1


def test_bytes_damaged_on_the_way_are_dropped_and_sent_again(box, hub, serve):
    box.write("chat", {"q": 1})
    with serve() as server:
        sync_over_http(box.home, CONFIG)
        box.write("chat", {"q": 2})
        export_to_stick(box.home, box.home.root)
        (path,) = box.batches()
        data = path.read_bytes()
        half_a_patch(server.url, path.stem, bytes(len(data)), 0, 100)
        with HubLink(server.url, wait=lambda _: 0) as link:
            link.send(path.stem, data, tried=True)
    assert same_history(hub, box, "chat")


def test_over_http_and_by_stick_each_record_is_stored_once(box, hub, serve, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    box.write("chat", {"q": 1}, {"q": 2})
    export_to_stick(box.home, stick)
    run("fieldpost-hub", "import", stick, "--data", tmp_path / "hub")
    assert same_history(hub, box, "chat")
    with serve():
        assert sync_over_http(box.home, CONFIG).waiting == 0
        box.write("chat", {"q": 3})
        sync_over_http(box.home, CONFIG)
    run("fieldpost-hub", "import", stick, "--data", tmp_path / "hub")
    assert same_history(hub, box, "chat")
    assert import_from_stick(box.home, stick).waiting == 0
    assert list((stick / "FIELDPOST" / "up").iterdir()) == []


def test_another_hub_at_the_address_learns_nothing_and_confirms_nothing(box, tmp_path, port):
    box.write("chat", {"q": 1})
    with serving("fieldpost-hub", "--data", tmp_path / "other", port=port), pytest.raises(BatchRefused):
        sync_over_http(box.home, CONFIG)
    assert sync_state(box.home).pending == 1


def test_a_box_rolled_back_is_told_and_nothing_is_merged(box, hub, serve, tmp_path):
    box.write("chat", {"q": 1})
    with serve():
        sync_over_http(box.home, CONFIG)
        shutil.copytree(box.home.data, tmp_path / "backup")
        box.write("chat", {"q": 2})
        sync_over_http(box.home, CONFIG)
        before = stored(hub, box, "chat")
        shutil.rmtree(box.home.data)
        shutil.copytree(tmp_path / "backup", box.home.data)
        box.write("chat", {"q": "another"})
        with pytest.raises(ForkDetected):
            sync_over_http(box.home, CONFIG)
        box.write("chat", {"q": "and more"}, {"q": "and longer than what the hub has"})
        with pytest.raises(ForkDetected):
            sync_over_http(box.home, CONFIG)
    assert stored(hub, box, "chat") == before


def test_a_copied_box_gets_412_from_the_hub_and_nothing_is_merged(box, hub, serve, tmp_path):
    box.write("chat", {"q": 1})
    with serve() as server:
        sync_over_http(box.home, CONFIG)
        shutil.copytree(box.home.root, tmp_path / "copy")
        box.write("chat", {"q": "the one"})
        sync_over_http(box.home, CONFIG)
        copy = type(box)(home=type(box.home)(root=tmp_path / "copy"))
        copy.write("chat", {"q": "the other"})
        export_to_stick(copy.home, tmp_path)
        with Outbox(copy.home.outbox) as outbox, HubLink(server.url) as link, pytest.raises(ForkDetected):
            (sealed,) = outbox.waiting()
            link.send(sealed.sha, sealed.path.read_bytes(), tried=False)
    assert same_history(hub, box, "chat")


def test_a_hub_restored_from_an_old_backup_gets_everything_again(box, hub, serve, tmp_path):
    box.write("chat", {"q": 1})
    with serve():
        sync_over_http(box.home, CONFIG)
    with sqlite3.connect(tmp_path / "hub" / "hub.sqlite") as database:
        database.execute(f"VACUUM INTO '{tmp_path / 'backup'}'")
    database.close()
    with serve():
        box.write("chat", {"q": 2}, {"q": 3})
        sync_over_http(box.home, CONFIG)
    hub.__exit__()
    for file in (tmp_path / "hub").glob("hub.sqlite*"):
        file.unlink()
    shutil.copy(tmp_path / "backup", tmp_path / "hub" / "hub.sqlite")
    with serve():
        box.write("chat", {"q": 4})
        assert sync_over_http(box.home, CONFIG).waiting == 0
    assert same_history(hub, box, "chat")


def test_a_damaged_file_in_the_outbox_is_sealed_again(box, hub, serve):
    box.write("chat", {"q": 1})
    export_to_stick(box.home, box.home.root)
    (path,) = box.batches()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    Path(box.home.outbox, "0" * 64 + ".batch").write_bytes(b"left by a crash")
    with serve():
        assert sync_over_http(box.home, CONFIG).waiting == 0
    assert same_history(hub, box, "chat")
    assert box.batches() == []


def test_large_logs_are_cut_into_segments(box, hub, serve):
    box.write("chat", *({"t": random.Random(n).randbytes(3000).hex()} for n in range(60)))
    export_to_stick(box.home, box.home.root)
    sizes = [path.stat().st_size for path in box.batches()]
    assert len(sizes) > 2
    assert max(sizes) <= 64 * 1024
    with serve():
        assert sync_over_http(box.home, CONFIG).waiting == 0
    assert same_history(hub, box, "chat")


def test_a_second_token_of_the_same_hub_is_taken_and_another_hubs_is_not(box, hub, tmp_path):
    from appliance.sync.enrol import enrol

    assert enrol(box.home, token_of(hub, url="http://127.0.0.1:9")).url == "http://127.0.0.1:9"
    with Hub.open(tmp_path / "other") as other, pytest.raises(SyncError, match="belongs to the hub"):
        enrol(box.home, token_of(other))
