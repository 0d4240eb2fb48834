"""Our verifier by TUF's own rules: keys and thresholds, rotation, downloads, delegations, unusual names."""

import hashlib
import json
import subprocess
from urllib.parse import quote

import pytest
from securesystemslib.formats import encode_canonical

from tests.support.tuf_client_runner import CLIENT
from tests.support.tuf_repository import Repository, signer

# Keys and thresholds


def test_a_threshold_is_met_by_different_keys_only(repo, meet):
    client = meet(repo)
    repo.set_keys("snapshot", [2, 5, 6], threshold=3, signing=[2, 5])
    repo.publish("root")
    repo.publish_all()
    assert client.refresh() == 1 and "snapshot" not in client.trusts
    repo.signers["snapshot"].append(signer(6))
    repo.publish_all()
    assert client.refresh() == 0 and client.trusts["snapshot"] == 3


def test_a_signature_that_stands_twice_is_refused(repo, meet):
    client = meet(repo)
    repo.set_keys("timestamp", [1, 5], threshold=2, signing=[1])
    repo.publish("root", "timestamp")
    data = json.loads(repo.published["timestamp"][-1])
    data["signatures"] *= 2
    repo.published["timestamp"][-1] = json.dumps(data).encode()
    assert client.refresh() == 1


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a_key_that_is_named_twice_counts_once(role, repo, meet):
    """Nine times one key is no threshold of three, whatever the list of keys says."""
    client = meet(repo)
    repo.set_keys(role, [1], threshold=3)
    repo.publish("root")
    data = json.loads(repo.published["root"][-1])
    data["signed"]["roles"][role]["keyids"] *= 9
    signed = encode_canonical(data["signed"]).encode()
    data["signatures"] = [s.sign(signed).to_dict() for s in repo.signers["root"]]
    repo.published["root"][-1] = json.dumps(data).encode()
    repo.publish_all()
    assert client.refresh() == 1


def odd_key(number: int, keytype: str, scheme: str) -> dict[str, object]:
    return {"keytype": keytype, "scheme": scheme, "keyval": {"public": f"{number:064x}"}}


def with_odd_keys(repo: Repository, role: str, *kinds: tuple[str, str], threshold: int = 1) -> None:
    """The last root again, with keys of other kinds beside the role's own, and signed by the root's keys."""
    data = json.loads(repo.published["root"][-1])
    for number, (keytype, scheme) in enumerate(kinds):
        keyid = f"{number + 7:064x}"
        data["signed"]["keys"][keyid] = odd_key(number, keytype, scheme)
        data["signed"]["roles"][role]["keyids"].append(keyid)
    data["signed"]["roles"][role]["threshold"] = threshold
    signed = encode_canonical(data["signed"]).encode()
    data["signatures"] = [s.sign(signed).to_dict() for s in repo.signers["root"]]
    repo.published["root"][-1] = json.dumps(data).encode()


ODD = [("dilithium", "dilithium3"), ("ed25519", "ed25519-of-tomorrow"), ("sphincs", "x")]


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a_key_of_an_unknown_kind_does_no_harm_while_others_meet_the_threshold(role, repo, meet):
    client = meet(repo)
    repo.publish("root")
    with_odd_keys(repo, role, *ODD)
    assert client.refresh() == 0 and client.trusts["root"] == 2
    assert client.refresh() == 0, "the root that is trusted already is read again"


def test_a_key_of_an_unknown_kind_meets_no_threshold(repo, meet):
    client = meet(repo)
    repo.publish("root")
    with_odd_keys(repo, "timestamp", ODD[0], threshold=2)
    data = json.loads(repo.published["timestamp"][-1])
    data["signatures"].append({"keyid": f"{7:064x}", "sig": "00" * 64})
    repo.published["timestamp"][-1] = json.dumps(data).encode()
    assert client.refresh() == 1 and client.trusts == {"root": 2}


def test_a_first_root_may_name_keys_of_an_unknown_kind(repo, meet):
    with_odd_keys(repo, "snapshot", *ODD)
    assert meet(repo).refresh() == 0


def test_a_delegation_may_name_keys_of_an_unknown_kind(repo, meet):
    repo.delegate("targets", "d", key=9, paths=["d/*"])
    repo.add("d", "d/x", b"x")
    repo.publish("d")
    repo.publish_all()
    data = json.loads(repo.published["targets"][-1])
    delegations = data["signed"]["delegations"]
    delegations["keys"]["07" * 32] = odd_key(1, *ODD[0])
    delegations["roles"][0]["keyids"].append("07" * 32)
    signed = encode_canonical(data["signed"]).encode()
    data["signatures"] = [s.sign(signed).to_dict() for s in repo.signers["targets"]]
    repo.published["targets"][-1] = json.dumps(data).encode()
    client = meet(repo)
    assert client.download("d/x") == 0 and client.files == [b"x"]


@pytest.mark.parametrize(("spec", "good"), [("1.0", True), ("1.0.99", True), ("1.99.0", True), ("2.0.0", False)])
def test_versions_of_the_specification(spec, good, meet):
    repo = Repository()
    client = meet(repo)
    repo.signed["timestamp"].spec_version = spec
    repo.publish("timestamp")
    assert client.refresh() == (0 if good else 1)


ROTATIONS = {
    "one key after another": [([1], 1, [1]), ([2], 1, [1, 2]), ([2], 1, [2])],
    "signatures that nobody asked for": [([1], 1, [3, 1, 4]), ([2], 1, [3, 2, 1, 4]), ([2], 1, [3, 2, 4])],
    "three of five, whichever": [([0, 1, 2, 3, 4], 3, s) for s in ([0, 2, 4], [0, 4, 1], [0, 1, 3])],
    "one of five replaced": [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 1])],
    "all of five replaced": [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7])],
    "a higher threshold": [([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [1, 2])],
    "a lower threshold": [([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1, 2]), ([1, 2, 3], 1, [1])],
}
REFUSED = {
    "not by the old key": [([1], 1, [1]), ([2], 1, [2, 3, 4])],
    "not by the new key": [([1], 1, [1]), ([2], 1, [1, 3, 4])],
    "two of three new ones": [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 2, 4])],
    "two of three old ones": [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 5])],
    "the new threshold not met": [([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [2])],
    "the old threshold not met": [([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1])],
}


@pytest.mark.parametrize("case", [*ROTATIONS, *REFUSED])
def test_rotations_of_the_root(case, meet):
    repo = Repository()
    del repo.published["root"]
    for keys, threshold, signing in {**ROTATIONS, **REFUSED}[case]:
        repo.set_keys("root", [20 + key for key in keys], threshold=threshold, signing=[20 + key for key in signing])
        repo.publish("root")
    client = meet(repo)
    assert client.refresh() == (1 if case in REFUSED else 0)
    assert client.trusts["root"] == len(repo.published["root"]) - (case in REFUSED)


def test_a_client_that_missed_many_roots_follows_one_by_one(repo, meet):
    client = meet(repo)
    for number in range(40):
        repo.set_keys("root", [number, number + 1], signing=[number, number + 1])
        repo.publish("root")
    assert client.refresh() == 0 and client.trusts["root"] == 41
    assert client.refresh() == 0 and repo.asked == ["42.root", "timestamp"]


def test_a_gap_in_the_roots_ends_the_chain_there(repo, meet):
    client = meet(repo)
    for _ in range(3):
        repo.publish("root")
    del repo.published["root"][2]
    assert client.refresh() == 0 and client.trusts["root"] == 2


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_role_signed_by_its_former_key_is_refused(role, repo, meet):
    client = meet(repo)
    client.refresh()
    former = repo.signers[role]
    repo.set_keys(role, [9])
    repo.signers[role] = former
    repo.publish("root")
    repo.publish_all()
    assert client.refresh() == 1


# Downloads


def test_several_targets_in_order_and_cached_ones_not_again(repo, meet):
    for name in ("a", "b", "path/to/c.txt"):
        repo.add("targets", name, name.encode())
    repo.publish_all()
    client = meet(repo)
    assert client.download("a", "path/to/c.txt", "b") == 0
    assert [name for name in repo.asked if name in repo.artifacts] == ["a", "path/to/c.txt", "b"]
    assert sorted(client.files) == [b"a", b"b", b"path/to/c.txt"]
    assert client.download("a", "b") == 0 and not set(repo.asked) & set(repo.artifacts)


def test_a_download_refreshes_first_and_fails_for_what_is_not_there(repo, meet):
    client = meet(repo)
    assert client.download("nothing") == 1
    assert repo.asked == ["2.root", "timestamp", "1.snapshot", "1.targets"]
    assert client.trusts == {"root": 1, "snapshot": 1, "targets": 1, "timestamp": 1}


@pytest.mark.parametrize(
    "name", ["a b", "a#b", "a?b=c", "100%", "a%41", "a+b&c", "x/ü ñ.txt", "ቡና", "../x", "./x", "a/../../x", "'\"<>\\|"]
)
@pytest.mark.parametrize("consistent", [True, False])
def test_unusual_target_names_are_found_and_stay_in_the_folder(name, consistent, meet):
    repo = Repository(consistent=consistent)
    repo.add("targets", name, name.encode())
    repo.add("targets", "aA", b"another")  # what a%41 must not be mistaken for
    repo.publish_all()
    client = meet(repo)
    assert client.download(name) == 0
    assert repo.asked[-1] == name and client.files == [name.encode()]
    assert client.download(name) == 0 and repo.asked == ["2.root", "timestamp"], "it was kept under its own name"


@pytest.mark.parametrize("served", [b"bad!", b"go", b"good and more"])
def test_other_bytes_than_signed_are_not_kept(served, repo, meet):
    repo.add("targets", "x", b"good")
    repo.publish_all()
    client = meet(repo)
    assert client.download("x") == 0
    repo.add("targets", "y", b"good")
    repo.publish_all()
    repo.artifacts["y"] = repo.artifacts["x"] = served
    assert client.download("y") == 1 and client.files == [b"good"]


def test_a_changed_target_takes_the_place_of_the_old(repo, meet):
    client = meet(repo)
    for number in range(3):
        repo.add("targets", "x", b"%d" % number)
        repo.publish_all()
        assert client.download("x") == 0 and client.files == [b"%d" % number]


# Delegations


def asked_roles(repo: Repository) -> list[str]:
    return [name.partition(".")[2] for name in repo.asked[4:]]


GRAPHS = {
    "one": ([("targets", "A", {})], "A"),
    "two beside each other": ([("targets", "A", {}), ("targets", "B", {})], "AB"),
    "depth first": (
        [("targets", "A", {}), ("targets", "B", {}), ("A", "C", {}), ("A", "D", {})], "ACDB"),
    "a terminating one ends it": (
        [("targets", "A", {}), ("targets", "B", {}), ("A", "C", {"terminating": True}), ("A", "D", {})], "AC"),
    "but not for its own": (
        [("targets", "A", {}), ("targets", "B", {}), ("A", "C", {"terminating": True}), ("C", "D", {})], "ACD"),
    "other paths": ([("targets", "A", {"paths": ["*.py"]}), ("targets", "B", {}), ("A", "C", {})], "B"),
    "a circle": (
        [("targets", "A", {}), ("targets", "B", {}), ("B", "C", {}), ("C", "D", {}), ("D", "B", {})], "ABCD"),
    "two ways to one": ([("targets", "A", {}), ("targets", "B", {}), ("B", "C", {}), ("A", "C", {})], "ACB"),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_delegations_are_walked_in_order(name, repo, meet):
    edges, order = GRAPHS[name]
    for parent, child, more in edges:
        repo.delegate(parent, child, key=10 + ord(child), **{"paths": ["*"], **more})
    repo.publish(*sorted({child for _, child, _ in edges}))
    repo.publish_all()
    client = meet(repo)
    assert client.download("missing") == 1
    assert "".join(asked_roles(repo)) == order


@pytest.mark.parametrize(
    ("target", "found", "order"),
    [
        ("top", True, ""),
        ("README.md", True, "A"),
        ("README.MD", False, ""),
        ("releases/README.md", False, ""),
        ("foo-1.tgz", True, "A"),
        ("foo-alpha.tgz", False, ""),
        ("releases/x/1", True, "BC"),
        ("releases/z/1.zip", False, "B"),
    ],
)
def test_a_path_is_found_only_through_those_who_may_sign_it(target, found, order, repo, meet):
    repo.delegate("targets", "A", key=10, paths=["*.md", "foo-?.tgz"])
    repo.delegate("targets", "B", key=11, paths=["releases/*/*"])
    repo.delegate("B", "C", key=12, paths=["releases/x/*"])
    repo.delegate("B", "D", key=13, paths=["releases/y/*.zip"])
    repo.add("targets", "top", b"top")
    for path in ("README.md", "releases/README.md", "foo-1.tgz", "foo-alpha.tgz"):
        repo.add("A", path, path.encode())
    repo.add("C", "releases/x/1", b"x")
    repo.add("D", "releases/z/1.zip", b"z")
    repo.publish("A", "B", "C", "D")
    repo.publish_all()
    client = meet(repo)
    assert client.download(target) == (0 if found else 1)
    assert client.files == ([repo.artifacts[target]] if found else [])
    assert "".join(name for name in asked_roles(repo) if len(name) == 1) == order


def test_a_role_trusted_by_one_parent_is_not_by_another_with_other_keys(repo, meet):
    repo.delegate("targets", "A", key=10, paths=["a/*"])
    repo.delegate("targets", "B", key=11, paths=["b/*"])
    repo.delegate("B", "release", key=13, paths=["b/*"])
    repo.signers["release"].clear()
    repo.delegate("A", "release", key=12, paths=["a/*"])
    repo.add("release", "a/x", b"A's")
    repo.add("release", "b/x", b"not B's")
    repo.publish("release", "A", "B")
    repo.publish_all()
    client = meet(repo)
    assert client.download("a/x", "b/x") == 1 and client.files == [b"A's"]


def test_a_delegation_that_the_snapshot_does_not_name_is_not_asked_for(repo, meet):
    repo.delegate("targets", "d", key=9, paths=["d/*"])
    repo.publish("d", "targets")
    del repo.signed["snapshot"].meta["d.json"]
    repo.publish("snapshot", "timestamp")
    client = meet(repo)
    assert client.refresh() == 0 and client.download("d/x") == 1
    assert repo.asked == ["2.root", "timestamp"] and "d" not in client.trusts


def test_names_shared_out_by_hash(repo, meet):
    prefix = hashlib.sha256(b"a/x").hexdigest()[:2]
    repo.delegate("targets", "other", key=10, path_hash_prefixes=["0" if prefix[0] != "0" else "1"])
    repo.delegate("targets", "its", key=11, path_hash_prefixes=[prefix])
    repo.add("its", "a/x", b"x")
    repo.publish("other", "its")
    repo.publish_all()
    client = meet(repo)
    assert client.download("a/x") == 0 and asked_roles(repo)[0] == "its"


def test_names_shared_out_over_succinct_bins(repo, meet):
    bins = repo.delegate_bins(key=10, bits=3, prefix="bin")
    its = bins.get_role_for_target("a/x")
    repo.add(its, "a/x", b"x")
    repo.publish(*bins.get_roles())
    repo.publish_all()
    client = meet(repo)
    assert client.download("a/x") == 0 and asked_roles(repo)[0] == its


def test_older_delegated_metadata_are_refused(repo, meet):
    repo.delegate("targets", "d", key=9, paths=["d/*"])
    repo.add("d", "d/x", b"x")
    repo.publish("d")
    repo.publish("d")
    repo.publish_all()
    client = meet(repo)
    assert client.download("d/x") == 0 and client.trusts["d"] == 2
    repo.publish("d", version=1)
    repo.publish("snapshot", "timestamp")
    assert client.download("d/x") == 1 and client.trusts["d"] == 2


@pytest.mark.parametrize("name", ["?", "#", "/d", "../d", "a%2Fb", "ü"])
def test_unusual_role_names_stay_in_the_address_and_in_the_folder(name, repo, meet):
    repo.delegate("targets", name, key=9, paths=["*"])
    repo.publish(name)
    repo.publish_all()
    client = meet(repo)
    assert client.download("missing") == 1
    assert repo.asked[-1] == f"1.{quote(name, '')}"
    assert len(client.trusts) == 5 and not (client.metadata.parent / "d.json").exists()


def test_a_process_of_its_own_says_what_it_refused(repo, meet):
    repo.add("targets", "x", b"x")
    repo.publish_all()
    client = meet(repo)
    words = client.words("--target-name", "x", "--target-base-url", f"{client.address}targets")
    done = subprocess.run([CLIENT, *words, "--target-dir", client.targets, "download"], check=False, timeout=60)
    assert done.returncode == 0 and client.files == [b"x"]
    repo.signers["timestamp"] = []
    repo.publish("timestamp")
    done = subprocess.run([CLIENT, *client.words("refresh")], check=False, timeout=60, capture_output=True, text=True)
    assert done.returncode == 1 and "timestamp" in done.stderr and "Traceback" not in done.stderr
