"""The hub as a process, with links that break and a plug that is pulled: each record arrives once."""

import json
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from appliance.config import SyncConfig
from appliance.errors import BatchRefused, SyncError
from appliance.hub.enrol import admit, issue_token
from appliance.hub.ingest import Hub
from appliance.hub.places import SQLITE
from appliance.hub.stick import import_stick
from appliance.hub.uploads import Taken, Uploads
from appliance.sync.background import Background
from appliance.sync.batch import MAX_BATCH
from appliance.sync.client import export_to_stick, sync_over_http, sync_state
from tests.support.scripted import eventually
from tests.support.site import CommandFailed, free_port, serving
from tests.sync.parts import same_history


@pytest.fixture
def database(request):
    """What is on the wire is the same for both databases: SQLite, unless a test asks for the other."""
    wanted = getattr(request, "param", SQLITE)
    return SQLITE if wanted == SQLITE else request.getfixturevalue("postgres_server").database()


@pytest.fixture
def port():
    return free_port()


@pytest.fixture(scope="module")
def shared_hub(tmp_path_factory):
    """A hub that is served to all tests which neither stop it nor count what is in it."""
    with Hub.open(tmp_path_factory.mktemp("shared") / "hub") as opened:
        yield opened


@pytest.fixture(scope="module")
def server(shared_hub):
    with serving("fieldpost-hub", "--data", shared_hub.folder) as running:
        yield running


@pytest.fixture
def served(shared_hub, server, make_box):
    """A box of the shared hub, which has not heard of it."""
    return make_box("served", token=issue_token(shared_hub.storage, shared_hub.keys, site="served", url=server.url))


@pytest.fixture
def online(make_box, port):
    """A box that knows the hub's address and has not spoken to it."""
    return make_box("online", url=f"http://127.0.0.1:{port}")


def port_of(server):
    return urlsplit(server.url).port


def break_off(port, sha, data, start, end):
    """PATCH as if to send all, and let the link die once some bytes have arrived."""
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(
            f"PATCH /v1/b/{sha} HTTP/1.1\r\nHost: hub\r\nUpload-Offset: {start}\r\nUpload-Length: {len(data)}\r\n"
            f"Upload-Complete: ?1\r\nContent-Length: {len(data) - start}\r\n\r\n".encode()
            + data[start:end]
        )
        deadline = time.monotonic() + 30
        while offset(port, sha) != (end, "?0") and time.monotonic() < deadline:
            time.sleep(0.005)


def offset(port, sha):
    answer = httpx.head(f"http://127.0.0.1:{port}/v1/b/{sha}", trust_env=False)
    return int(answer.headers["Upload-Offset"]), answer.headers["Upload-Complete"]


@pytest.mark.parametrize("database", [SQLITE, "postgresql"], indirect=True)
def test_a_batch_cut_at_many_bytes_and_a_hub_killed_between_goes_on_where_it_was(hub, online, port, same):
    admit(hub.storage, online.introduction())
    online.write("chat", *({"q": n, "text": str(n) * 50} for n in range(40)))
    (sealed,) = online.sealed()
    data = sealed.path.read_bytes()
    cuts = [1, 30, 47, 48, 60, 200, len(data) // 2, len(data) - 64, len(data) - 1]
    half = len(cuts) // 2
    with serving("fieldpost-hub", "--data", hub.folder, port=port) as server:
        for start, end in zip([0, *cuts], cuts[:half], strict=False):
            break_off(port, sealed.sha, data, start, end)
            assert offset(port, sealed.sha) == (end, "?0")
        server.kill()
    with serving("fieldpost-hub", "--data", hub.folder, port=port):
        assert offset(port, sealed.sha) == (cuts[half - 1], "?0")
        for start, end in zip(cuts[half - 1 :], cuts[half:], strict=False):
            break_off(port, sealed.sha, data, start, end)
            assert offset(port, sealed.sha) == (end, "?0")
        report = sync_over_http(online.home)
        assert (report.sent, report.acknowledged, report.waiting) == (1, 40, 0)
        assert offset(port, sealed.sha) == (len(data), "?1")
    assert same(online, "chat")
    assert online.sealed() == []
    assert list((hub.folder / "partial").iterdir()) == []


def test_when_nothing_is_new_nothing_is_sent(hub, online, port):
    online.write("chat", {"q": 1})
    with serving("fieldpost-hub", "--data", hub.folder, port=port) as server:
        assert sync_over_http(online.home).acknowledged == 1
        assert server.stop() == 0
    # Nobody listens any more: one request would be an error.
    report = sync_over_http(online.home)
    assert (report.sent, report.acknowledged, report.waiting) == (0, 0, 0)
    online.write("safety", {"event": 1})
    with pytest.raises(SyncError, match=f"127.0.0.1:{port} does not answer.*Nothing is lost"):
        sync_over_http(online.home)
    assert sync_state(online.home).pending == 1


def test_a_hub_that_has_it_from_a_stick_is_sent_no_byte_of_it_again(shared_hub, served, server, tmp_path):
    served.write("chat", {"q": 1})
    export_to_stick(served.home, tmp_path)
    import_stick(shared_hub, tmp_path)
    (sealed,) = served.sealed()
    assert offset(port_of(server), sealed.sha) == (sealed.size, "?1")
    assert sync_over_http(served.home).acknowledged == 1
    assert same_history(shared_hub, served, "chat")


def test_the_wrong_offset_is_answered_with_the_true_one_and_nonsense_with_words(server):
    sha = "a" * 64
    break_off(port_of(server), sha, bytes(100), 0, 10)

    def patch(sha, start, length, content=b""):
        headers = {"Upload-Offset": str(start), "Upload-Length": str(length), "Upload-Complete": "?1"}
        return httpx.patch(f"{server.url}/v1/b/{sha}", content=content, headers=headers, trust_env=False)

    wrong = patch(sha, 50, 100, b"x" * 50)
    assert (wrong.status_code, wrong.headers["Upload-Offset"]) == (409, "10")
    assert patch(sha, 10, 100, b"x" * 90).status_code == 422
    assert offset(port_of(server), sha) == (0, "?0")
    assert patch(sha, 0, MAX_BATCH + 1).status_code == 413
    assert patch(sha, 0, 10, b"x" * 20).status_code == 400
    assert patch("A" * 64, 0, 10).status_code == 400
    assert httpx.patch(f"{server.url}/v1/b/{sha}", content=b"x", trust_env=False).status_code == 400
    assert httpx.post(f"{server.url}/v1/enrol", content=b"x" * 5000, trust_env=False).status_code == 413
    assert httpx.post(f"{server.url}/v1/enrol", content=b"x", trust_env=False).status_code == 403
    assert httpx.get(f"{server.url}/docs", trust_env=False).status_code == 404


def test_a_stranger_is_refused_by_the_hub_itself(served, server):
    served.write("chat", {"q": 1})
    (sealed,) = served.sealed()
    data = sealed.path.read_bytes()
    headers = {"Upload-Offset": "0", "Upload-Length": str(len(data)), "Upload-Complete": "?1"}
    answer = httpx.patch(f"{server.url}/v1/b/{sealed.sha}", content=data, headers=headers, trust_env=False)
    assert (answer.status_code, "not enrolled" in answer.text) == (403, True)
    assert offset(port_of(server), sealed.sha) == (0, "?0")


def test_another_hub_at_the_address_is_not_believed(make_box, server):
    """The token is of the hub that nobody serves."""
    lost = make_box("lost", url=server.url)
    lost.write("chat", {"q": 1})
    with pytest.raises(BatchRefused):
        sync_over_http(lost.home)
    assert sync_state(lost.home).pending == 1


def test_a_serving_box_syncs_by_itself_once_the_hub_is_back(hub, online, port, same, caplog):
    online.write("chat", {"q": 1})
    caplog.set_level("INFO", "appliance.sync.background")
    with Background(online.home, SyncConfig(), online.write, every_s=0.05):
        eventually(lambda: "does not answer" in caplog.text)  # a hub that is away: the box goes on
        with serving("fieldpost-hub", "--data", hub.folder, port=port):
            eventually(lambda: online.rows("audit") and not sync_state(online.home).pending, within_s=60)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert same(online, "chat")
    assert same(online, "audit")
    (told,) = [json.loads(row.body) for row in online.rows("audit")]
    assert abs(told["hub_time_ms"] / 1000 - time.time()) < 600, "what time the hub had, once"


def test_a_port_that_is_taken_is_told(hub, port):
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(CommandFailed, match="cannot be used"),
        serving("fieldpost-hub", "--data", hub.folder, port=port),
    ):
        pass


def test_two_processes_do_not_mix_what_they_write_of_one_batch(tmp_path):
    """The old link's process has not noticed yet that the box came back on a new one, to another process."""
    old, new = Uploads(tmp_path / "partial"), Uploads(tmp_path / "partial")
    sha = "a" * 64
    late = old.begin(sha)
    old.add(sha, late, 0, b"abc")
    new.add(sha, new.begin(sha), 3, b"def")
    with pytest.raises(Taken):
        old.add(sha, late, 3, b"def")
    assert new.read(sha) == b"abcdef"


def test_partial_uploads_do_not_fill_the_disk(tmp_path):
    uploads = Uploads(tmp_path / "partial", most=30)
    for n in range(50):
        sha = f"{n:064x}"
        uploads.add(sha, uploads.begin(sha), 0, b"x")
    assert len(list((tmp_path / "partial").iterdir())) == 30
    assert uploads.offset(f"{49:064x}") == 1
