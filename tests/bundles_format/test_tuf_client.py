"""Our verifier by TUF's own rules, through the command line of TUF's conformance suite and over HTTP.

Each area of that suite has its tests here: starting, updating, downloading, expiry, rollback, keys and thresholds,
rotation, delegations, unusual names, hashes, and what lies in the metadata folder after a refusal.
"""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.tuf_client_runner import CLIENT, Client
from tests.support.tuf_repository import TOP, Repository

PAST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


# Starting and updating


def test_a_first_refresh_asks_for_each_role_once(repo, meet):
    client = meet(repo)
    assert client.refresh() == 0
    assert repo.asked == ["2.root", "timestamp", "1.snapshot", "1.targets"]
    assert client.trusts == {"root": 1, "snapshot": 1, "targets": 1, "timestamp": 1}
    assert client.refresh() == 0
    assert repo.asked == ["2.root", "timestamp"]


def test_what_is_stored_is_what_was_served_byte_for_byte(repo, meet):
    client = meet(repo)
    client.refresh()
    assert {role: (client.metadata / f"{role}.json").read_bytes() for role in TOP} == {
        role: versions[-1] for role, versions in repo.published.items()
    }


@pytest.mark.parametrize("spoil", [lambda raw: raw["signed"].pop("version"), lambda raw: raw["signatures"].clear()])
def test_a_bad_first_root_asks_for_nothing(repo, meet, spoil):
    raw = json.loads(repo.published["root"][0])
    spoil(raw)
    repo.published["root"][0] = json.dumps(raw).encode()
    client = meet(repo)
    assert client.refresh() == 1 and repo.asked == []


@pytest.mark.parametrize(
    ("role", "left"),
    [
        ("root", {"root": 1}),
        ("timestamp", {"root": 1}),
        ("snapshot", {"root": 1, "timestamp": 1}),
        ("targets", {"root": 1, "snapshot": 1, "timestamp": 1}),
    ],
)
def test_an_unsigned_role_ends_the_refresh_there(role, left, meet):
    repo = Repository()
    client = meet(repo)
    repo.signers[role] = []
    if role == "root":
        repo.publish("root")
    else:
        for one in ("targets", "snapshot", "timestamp"):
            del repo.published[one]
        repo.publish_all()
    assert client.refresh() == 1 and client.trusts == left


def test_a_timestamp_of_the_same_version_is_not_taken_again(repo, meet):
    client = meet(repo)
    client.refresh()
    before = (client.metadata / "timestamp.json").read_bytes()
    repo.signed["timestamp"].snapshot_meta.version = 100
    repo.publish("timestamp", version=1)
    assert client.refresh() == 0
    assert (client.metadata / "timestamp.json").read_bytes() == before


def test_fields_that_nobody_knows_are_signed_too(repo, meet):
    client = meet(repo)
    client.refresh()
    repo.root.unrecognized_fields["new"] = {"a": [1, 2]}
    repo.root.roles["root"].unrecognized_fields["more"] = "x"
    next(iter(repo.root.keys.values())).unrecognized_fields["odd"] = True
    repo.publish("root")
    assert client.refresh() == 0 and client.trusts["root"] == 2
    raw = json.loads(repo.published["root"][-1])
    raw["signed"]["version"], raw["signed"]["new"] = 3, {"a": [2, 1]}
    repo.published["root"].append(json.dumps(raw).encode())
    assert client.refresh() == 1 and client.trusts["root"] == 2


def test_without_consistent_snapshots_names_have_no_versions(meet):
    repo = Repository(consistent=False)
    repo.add("targets", "a/b.txt", b"data")
    repo.publish_all()
    client = meet(repo)
    assert client.download("a/b.txt") == 0
    assert repo.asked == ["2.root", "timestamp", "snapshot", "targets", "a/b.txt"] and client.files == [b"data"]


def test_hashes_and_lengths_of_metadata_count_where_they_are_given(meet):
    repo = Repository(hashes=True)
    client = meet(repo)
    assert client.refresh() == 0
    repo.publish("targets")
    repo.signed["snapshot"].meta["targets.json"].hashes["sha256"] = "46" * 32
    repo.publish("snapshot", "timestamp")
    assert client.refresh() == 1
    assert client.trusts == {"root": 1, "snapshot": 2, "targets": 1, "timestamp": 2}
    repo.signed["snapshot"].meta["targets.json"].hashes = None
    repo.signed["snapshot"].meta["targets.json"].length = 10
    repo.publish("snapshot", "timestamp")
    assert client.refresh() == 1 and client.trusts["targets"] == 1


@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "rsa-pkcs1"])
def test_every_kind_of_key_counts(kind, meet):
    assert meet(Repository(kind=kind)).refresh() == 0


@pytest.mark.parametrize("there", ["root", "timestamp", "targets/"])
def test_a_server_that_hangs_up_is_a_refusal_in_words(there, repo, meet, capsys):
    repo.add("targets", "x", b"x")
    repo.publish_all()
    client = meet(repo)

    def hang_up(path, answer=repo.answer):
        if there in path:
            raise ConnectionAbortedError
        return answer(path)

    repo.answer = hang_up
    assert client.download("x") == 1 and client.files == []
    assert "gave no answer" in capsys.readouterr().err


def test_the_suite_is_started_with_nothing_of_ours(tmp_path):
    """pytest takes the path of the client for a place with tests, and must find no settings of ours from there."""
    (tmp_path / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--entrypoint')\n")
    (tmp_path / "test_it.py").write_text("def test_it(pytestconfig): assert pytestconfig.getoption('--entrypoint')\n")
    words = ["pytest", "-v", "-p", "no:cacheprovider", str(tmp_path), "--entrypoint", str(CLIENT)]
    done = subprocess.run(
        [sys.executable, "-m", *words], check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"rootdir: {CLIENT.parent}" in done.stdout and "configfile: pytest.ini" in done.stdout


# Expiry


def test_an_expired_root_is_kept_and_nothing_else_is_asked_for(repo, meet):
    client = meet(repo)
    client.refresh()
    repo.root.expires = PAST
    repo.publish("root", "timestamp")
    assert client.refresh() == 1
    assert client.trusts == {"root": 2, "snapshot": 1, "targets": 1, "timestamp": 1}
    repo.root.expires = repo.expires  # an expired one on the way does no harm
    repo.publish("root")
    assert client.refresh() == 0 and client.trusts["root"] == 3


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_an_expired_role_is_not_taken(role, repo, meet):
    client = meet(repo)
    client.refresh()
    repo.signed[role].expires = PAST
    repo.publish_all()
    assert client.refresh() == 1
    assert client.trusts[role] == 1


def test_an_expired_delegated_role_is_not_taken(repo, meet):
    client = meet(repo)
    repo.delegate("targets", "d", key=9, paths=["d/*"])
    repo.add("d", "d/x", b"x")
    repo.signed["d"].expires = PAST
    repo.publish("d")
    repo.publish_all()
    assert client.refresh() == 0 and client.download("d/x") == 1
    assert client.files == [] and "d" not in client.trusts


def faketime(days: int, client: Client, *rest: str) -> int:
    """The client as a process of its own, on another day; without days, today."""
    command = [str(CLIENT), *client.words(*rest)]
    if days:
        command = ["faketime", f"{datetime.now(UTC) + timedelta(days=days)}", *command]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


def test_what_has_expired_here_can_still_be_followed_by_newer(repo, meet):
    repo.signed["timestamp"].expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
    repo.publish("timestamp")
    client = meet(repo)
    assert faketime(0, client, "refresh") == 0
    assert faketime(18, client, "refresh") == 1
    repo.signed["timestamp"].expires += timedelta(days=14)
    repo.publish_all()
    assert faketime(18, client, "refresh") == 0
    assert client.trusts == {"root": 1, "snapshot": 2, "targets": 2, "timestamp": 3}


# Rollback


def test_an_older_timestamp_is_refused(repo, meet):
    repo.publish("timestamp")
    client = meet(repo)
    client.refresh()
    repo.publish("timestamp", version=1)
    assert client.refresh() == 1 and client.trusts["timestamp"] == 2


@pytest.mark.parametrize("hashes", [False, True])
def test_an_older_snapshot_is_refused(hashes, meet):
    repo = Repository(hashes=hashes)
    repo.publish("snapshot", "timestamp")
    client = meet(repo)
    client.refresh()
    repo.publish("snapshot", version=1)
    repo.publish("timestamp")
    assert client.refresh() == 1 and repo.asked[-1] == "timestamp"
    assert (client.trusts["timestamp"], client.trusts["snapshot"]) == (2, 2)


@pytest.mark.parametrize("hashes", [False, True])
def test_older_targets_are_refused(hashes, meet):
    repo = Repository(hashes=hashes)
    repo.publish_all()
    client = meet(repo)
    client.refresh()
    repo.publish("targets", version=1)
    repo.publish("snapshot", "timestamp")
    assert client.refresh() == 1
    assert (client.trusts["snapshot"], client.trusts["targets"]) == (2, 2)


def test_a_snapshot_that_forgets_a_role_is_refused(repo, meet):
    repo.delegate("targets", "d", key=9, paths=["d/*"])
    repo.publish("d")
    repo.publish_all()
    client = meet(repo)
    client.refresh()
    del repo.signed["snapshot"].meta["d.json"]
    repo.publish("snapshot", "timestamp")
    assert client.refresh() == 1 and client.trusts["snapshot"] == 2


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_new_keys_recover_from_a_version_that_cannot_be_surpassed(role, repo, meet):
    repo.publish(role, version=99_999)
    repo.publish(*{"targets": ("snapshot", "timestamp"), "snapshot": ("timestamp",), "timestamp": ()}[role])
    client = meet(repo)
    assert client.refresh() == 0 and client.trusts[role] == 99_999
    # What names the role must be replaced too: the snapshot names targets, the timestamp names the snapshot.
    for number, other in enumerate({"targets": ["snapshot"], "snapshot": ["snapshot", "timestamp"]}.get(role, [role])):
        repo.set_keys(other, [10 + number])
    repo.publish("root")
    repo.publish(role, version=1)
    if role != "timestamp":
        repo.publish(*(("snapshot", "timestamp") if role == "targets" else ("timestamp",)))
    assert client.refresh() == 0 and client.trusts[role] == 1


def test_a_snapshot_of_another_version_than_named_is_refused(repo, meet):
    client = meet(repo)
    repo.signed["snapshot"].version += 1
    raw = json.loads(repo.published["snapshot"][0])
    repo.publish("snapshot", version=2)
    repo.publish("timestamp")
    repo.published["snapshot"][-1] = json.dumps(raw).encode()  # well signed, and not the version that was asked for
    repo.answer = lambda path, answer=repo.answer: answer(path.replace("2.snapshot", "1.snapshot"))
    assert client.refresh() == 1 and "snapshot" not in client.trusts
