"""Fetching from a Hub that drops, lies, forgets and changes its mind; a resume in a new process included."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundles.errors import FetchError
from bundles.fetch import fetch, list_repository
from tests.support.hub_double import HubDouble

DATA = b"GGUF" + bytes(range(256)) * 4096
SHA256 = hashlib.sha256(DATA).hexdigest()
REPO, FILE = "org/tiny-GGUF", "tiny-q8_0.gguf"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    with HubDouble() as double:
        monkeypatch.setenv("HF_ENDPOINT", double.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield double


def get(hub: HubDouble, cache: Path, *, waits_s: tuple[float, ...] = (0, 0)) -> Path:
    commit = hub.repositories[REPO].newest
    return fetch(REPO, commit, FILE, size=len(DATA), sha256=SHA256, cache=cache, waits_s=waits_s)


def part(cache: Path) -> Path:
    return cache / "sha256" / f"{SHA256}.part"


def test_the_listing_has_sizes_and_digests_of_large_files(hub: HubDouble) -> None:
    commit = hub.add(REPO, {FILE: DATA, "README.md": b"# tiny\n"})
    hub.add(REPO, {FILE: DATA, "README.md": b"# newer\n"})
    listing = list_repository(REPO, commit)
    assert listing.revision == commit
    assert (listing.files[FILE].size, listing.files[FILE].sha256) == (len(DATA), SHA256)
    assert (listing.files["README.md"].size, listing.files["README.md"].sha256) == (7, None)
    assert list_repository(REPO, None).revision == hub.repositories[REPO].newest != commit


def test_a_file_arrives_and_the_second_time_comes_from_the_cache(hub: HubDouble, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    assert get(hub, tmp_path).read_bytes() == DATA
    asked = len(hub.requests)
    assert get(hub, tmp_path).read_bytes() == DATA
    assert len(hub.requests) == asked
    assert not part(tmp_path).exists()


def test_a_damaged_cache_is_fetched_again(hub: HubDouble, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    path = get(hub, tmp_path)
    path.write_bytes(DATA[:-1] + b"?")
    assert get(hub, tmp_path).read_bytes() == DATA


def test_the_token_is_not_shown_to_the_storage(hub: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.add(REPO, {FILE: DATA})
    get(hub, tmp_path)
    seen = {(request.host, request.token) for request in hub.requests}
    assert seen == {("hub", "Bearer hf_secret"), ("storage", None)}


def test_dropped_connections_are_taken_up_where_they_broke(hub: HubDouble, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    hub.drop_after = 300_000
    assert get(hub, tmp_path).read_bytes() == DATA
    assert hub.ranges() == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_killed_process_is_taken_up_by_a_new_one(hub: HubDouble, tmp_path: Path) -> None:
    commit = hub.add(REPO, {FILE: DATA})
    hub.stall_after = 700_000
    code = (
        "import sys; from pathlib import Path; from bundles.fetch import fetch; "
        f"fetch({REPO!r}, {commit!r}, {FILE!r}, size={len(DATA)}, sha256={SHA256!r}, cache=Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    first = subprocess.Popen(command, env=environment)
    try:
        assert hub.stalled.wait(60)
        deadline = time.monotonic() + 60
        while not part(tmp_path).exists() or part(tmp_path).stat().st_size < 700_000:
            assert time.monotonic() < deadline and first.poll() is None
            time.sleep(0.01)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    hub.heal()
    subprocess.run(command, env=environment, check=True, timeout=60)
    assert (tmp_path / "sha256" / SHA256).read_bytes() == DATA
    assert hub.ranges() == [None, "bytes=700000-"]


def test_a_server_without_range_costs_bytes_and_not_correctness(hub: HubDouble, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    hub.drop_after = 600_000
    with pytest.raises(FetchError):
        hub.ignore_range = True
        get(hub, tmp_path)
    assert part(tmp_path).stat().st_size == 600_000
    hub.drop_after = None
    assert get(hub, tmp_path).read_bytes() == DATA


def test_giving_up_keeps_what_came(hub: HubDouble, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    hub.drop_after = 0
    with pytest.raises(FetchError, match=r"stopped at 0 of 1,048,580 bytes"):
        get(hub, tmp_path)
    assert len(hub.ranges()) == 3  # the first try and one for each wait


def test_a_corrupt_body_of_the_right_size_is_refused_and_forgotten(hub: HubDouble, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    hub.corrupt = True
    with pytest.raises(FetchError, match=f"It should be {SHA256}"):
        get(hub, tmp_path)
    assert not (tmp_path / "sha256" / SHA256).exists()
    hub.heal()
    assert get(hub, tmp_path).read_bytes() == DATA


def test_a_file_changed_under_its_revision_is_refused(hub: HubDouble, tmp_path: Path) -> None:
    commit = hub.add(REPO, {FILE: DATA})
    hub.add(REPO, {FILE: DATA[:-4] + b"evil"}, commit=commit)
    with pytest.raises(FetchError, match="arrived with SHA-256"):
        get(hub, tmp_path)


def test_a_longer_body_is_not_stored(hub: HubDouble, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA + b"more" * 100_000})
    assert get(hub, tmp_path).stat().st_size == len(DATA)


@pytest.mark.parametrize(
    ("repo", "revision", "file", "needle"),
    [
        ("org/none", "0" * 40, FILE, "knows no repository"),
        (REPO, "0" * 40, FILE, "no such revision"),
        (REPO, "", "other.gguf", "has no file"),
    ],
)
def test_what_is_not_there_is_said_at_once(
    hub: HubDouble, tmp_path: Path, repo: str, revision: str, file: str, needle: str
) -> None:
    commit = hub.add(REPO, {FILE: DATA})
    with pytest.raises(FetchError, match=needle):
        fetch(repo, revision or commit, file, size=1, sha256=SHA256, cache=tmp_path, waits_s=(60, 60))
    assert hub.ranges() == []


def test_an_overloaded_hub_is_asked_again(hub: HubDouble, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    hub.status = 503
    with pytest.raises(FetchError, match="stopped at 0"):
        get(hub, tmp_path)
    assert len(hub.requests) == 3


def test_a_hub_that_is_not_there_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match="could not be asked"):
        list_repository(REPO, None)


def test_a_full_disk_is_told_before_anything_is_fetched(hub: HubDouble, tmp_path: Path) -> None:
    commit = hub.add(REPO, {FILE: DATA})
    with pytest.raises(FetchError, match="name another folder"):
        fetch(REPO, commit, FILE, size=1 << 60, sha256=SHA256, cache=tmp_path)
    assert hub.requests == []


def test_two_builds_do_not_write_one_part(hub: HubDouble, tmp_path: Path) -> None:
    import fcntl

    hub.add(REPO, {FILE: DATA})
    part(tmp_path).parent.mkdir(parents=True)
    with part(tmp_path).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FetchError, match="Another process"):
            get(hub, tmp_path)


def test_whatever_the_wire_does_no_wrong_byte_is_kept(hub: HubDouble, tmp_path: Path) -> None:
    """Twenty-five ways of failing, each some faults in a row, cut anywhere; then it heals and the rest arrives."""
    data = random.Random(0).randbytes(40_000)
    sha256 = hashlib.sha256(data).hexdigest()
    commit = hub.add(REPO, {FILE: data})
    for seed in range(25):
        rng, cache = random.Random(seed), tmp_path / str(seed)
        done = cache / "sha256" / sha256

        def attempt(cache: Path = cache) -> bytes:
            return fetch(REPO, commit, FILE, size=len(data), sha256=sha256, cache=cache, waits_s=()).read_bytes()

        for _ in range(rng.randint(1, 4)):
            hub.heal()
            hub.drop_after = rng.choice([0, rng.randrange(4_000, len(data)), len(data) - 1])
            hub.corrupt = rng.random() < 0.4
            hub.ignore_range = rng.random() < 0.3
            hub.status = rng.choice([None, None, None, 503])
            try:
                assert attempt() == data
            except FetchError:
                assert not done.exists()
        hub.heal()
        try:
            assert attempt() == data
        except FetchError as error:
            # A corrupt part from before is found by its digest, forgotten, and fetched anew.
            assert "It should be" in str(error) and not done.exists()
            assert attempt() == data
