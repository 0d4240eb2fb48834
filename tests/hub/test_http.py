"""The hub as a process, with links that break and a plug that is pulled: each record arrives once."""

import socket
import time

import httpx
import pytest

from appliance.config import Config
from appliance.errors import BatchRefused, SyncError
from appliance.hub.uploads import MOST_PARTIAL, Uploads
from appliance.sync.background import Background
from appliance.sync.batch import MAX_BATCH
from appliance.sync.client import export_to_stick, import_from_stick, sync_over_http, sync_state
from tests.support.site import CommandFailed, free_port, run, serving


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def online(make_box, port):
    """A box that knows the hub's address and has not spoken to it."""
    return make_box("online", url=f"http://127.0.0.1:{port}")


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


def test_a_batch_cut_at_many_bytes_and_a_hub_killed_between_goes_on_where_it_was(hub, online, port, same):
    with serving("fieldpost-hub", "--data", hub.folder, port=port):
        assert sync_over_http(online.home, Config()).sent == 0
    online.write("chat", *({"q": n, "text": str(n) * 50} for n in range(40)))
    (sealed,) = online.sealed()
    data = sealed.path.read_bytes()
    cuts = [*range(1, 60, 7), *range(60, len(data) - 1, len(data) // 20), len(data) - 1]
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
        report = sync_over_http(online.home, Config())
        assert (report.sent, report.acknowledged, report.waiting) == (1, 40, 0)
        assert offset(port, sealed.sha) == (len(data), "?1")
    assert same(online, "chat")
    assert online.sealed() == []
    assert list((hub.folder / "partial").iterdir()) == []


def test_when_nothing_is_new_nothing_is_sent(hub, online, port):
    online.write("chat", {"q": 1})
    with serving("fieldpost-hub", "--data", hub.folder, port=port) as server:
        assert sync_over_http(online.home, Config()).acknowledged == 1
        assert server.stop() == 0
    # Nobody listens any more: one request would be an error.
    report = sync_over_http(online.home, Config())
    assert (report.sent, report.acknowledged, report.waiting) == (0, 0, 0)
    online.write("safety", {"event": 1})
    with pytest.raises(SyncError, match=f"127.0.0.1:{port} does not answer.*Nothing is lost"):
        sync_over_http(online.home, Config())
    assert sync_state(online.home).pending == 1


def test_over_the_link_and_on_a_stick_each_record_is_there_once(hub, online, port, same, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    online.write("chat", {"q": 1}, {"q": 2})
    export_to_stick(online.home, stick)
    with serving("fieldpost-hub", "--data", hub.folder, port=port):
        online.write("chat", {"q": 3})
        assert sync_over_http(online.home, Config()).waiting == 0
    run("fieldpost-hub", "import", stick, "--data", hub.folder)
    assert import_from_stick(online.home, stick).waiting == 0
    assert same(online, "chat")


def test_a_hub_that_has_it_from_a_stick_is_sent_no_byte_of_it_again(hub, online, port, same, tmp_path):
    online.write("chat", {"q": 1})
    export_to_stick(online.home, tmp_path)
    run("fieldpost-hub", "import", tmp_path, "--data", hub.folder)
    (sealed,) = online.sealed()
    with serving("fieldpost-hub", "--data", hub.folder, port=port):
        assert offset(port, sealed.sha) == (sealed.size, "?1")
        assert sync_over_http(online.home, Config()).acknowledged == 1
    assert same(online, "chat")


def test_the_wrong_offset_is_answered_with_the_true_one_and_nonsense_with_words(hub, online, port):
    sha = "a" * 64
    with serving("fieldpost-hub", "--data", hub.folder, port=port) as server:
        break_off(port, sha, bytes(100), 0, 10)

        def patch(sha, start, length, content=b""):
            headers = {"Upload-Offset": str(start), "Upload-Length": str(length), "Upload-Complete": "?1"}
            return httpx.patch(f"{server.url}/v1/b/{sha}", content=content, headers=headers, trust_env=False)

        wrong = patch(sha, 50, 100, b"x" * 50)
        assert (wrong.status_code, wrong.headers["Upload-Offset"]) == (409, "10")
        assert patch(sha, 10, 100, b"x" * 90).status_code == 422
        assert offset(port, sha) == (0, "?0")
        assert patch(sha, 0, MAX_BATCH + 1).status_code == 413
        assert patch(sha, 0, 10, b"x" * 20).status_code == 400
        assert patch("A" * 64, 0, 10).status_code == 400
        assert httpx.patch(f"{server.url}/v1/b/{sha}", content=b"x", trust_env=False).status_code == 400
        assert httpx.post(f"{server.url}/v1/enrol", content=b"x" * 5000, trust_env=False).status_code == 413
        assert httpx.post(f"{server.url}/v1/enrol", content=b"x", trust_env=False).status_code == 403
        assert httpx.get(f"{server.url}/docs", trust_env=False).status_code == 404


def test_a_stranger_and_a_fork_are_refused_by_the_hub_itself(hub, online, port, tmp_path):
    online.write("chat", {"q": 1})
    with serving("fieldpost-hub", "--data", hub.folder, port=port) as server:
        (sealed,) = online.sealed()
        data = sealed.path.read_bytes()
        headers = {"Upload-Offset": "0", "Upload-Length": str(len(data)), "Upload-Complete": "?1"}
        answer = httpx.patch(f"{server.url}/v1/b/{sealed.sha}", content=data, headers=headers, trust_env=False)
        assert (answer.status_code, "not enrolled" in answer.text) == (403, True)
        assert offset(port, sealed.sha) == (0, "?0")


def test_another_hub_at_the_address_is_not_believed(online, port, tmp_path):
    online.write("chat", {"q": 1})
    with serving("fieldpost-hub", "--data", tmp_path / "other", port=port), pytest.raises(BatchRefused):
        sync_over_http(online.home, Config())
    assert sync_state(online.home).pending == 1


def test_a_serving_box_syncs_by_itself_once_the_hub_is_back(hub, online, port, same):
    online.write("chat", {"q": 1})
    with Background(online.home, every_s=0.05):
        time.sleep(0.2)  # it looks for a hub that is away: the box goes on
        with serving("fieldpost-hub", "--data", hub.folder, port=port):
            deadline = time.monotonic() + 60
            while sync_state(online.home).pending and time.monotonic() < deadline:
                time.sleep(0.05)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert same(online, "chat")
    assert sync_state(online.home).pending == 0


def test_a_port_that_is_taken_is_told(hub, port):
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(CommandFailed, match="cannot listen"),
        serving("fieldpost-hub", "--data", hub.folder, port=port),
    ):
        pass


def test_partial_uploads_do_not_fill_the_disk(tmp_path):
    uploads = Uploads(tmp_path / "partial")
    for n in range(MOST_PARTIAL + 20):
        sha = f"{n:064x}"
        uploads.add(sha, uploads.begin(sha), 0, b"x")
    assert len(list((tmp_path / "partial").iterdir())) == MOST_PARTIAL
    assert uploads.offset(f"{MOST_PARTIAL + 19:064x}") == 1
