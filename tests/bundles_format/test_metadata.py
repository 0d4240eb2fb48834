"""Where a box is stricter than TUF: Ed25519 only, one spelling, no key under two names."""

import json

import pytest

from bundles.format.errors import BundleError, TrustRefused
from bundles.format.metadata import BOX, STANDARD, Rules, SignedMetadata
from tests.support.tuf_repository import Repository, signer


class InMemory:
    """Gives a repository's files without a server."""

    def __init__(self, repo):
        from tuf.api.exceptions import DownloadHTTPError
        from tuf.ngclient.fetcher import FetcherInterface

        class Fetcher(FetcherInterface):
            def _fetch(self, url):
                data = repo.answer(url.removeprefix("memory:///"))
                if data is None:
                    raise DownloadHTTPError("absent", 404)
                yield data

        self.fetcher = Fetcher()


def read(repo, tmp_path, rules=BOX):
    trust = tmp_path / "trust"
    trust.mkdir(exist_ok=True)
    return SignedMetadata(InMemory(repo).fetcher, "memory:///metadata/", repo.published["root"][0], trust, rules=rules)


def test_ed25519_is_taken(tmp_path):
    assert read(Repository(), tmp_path).versions.root == 1


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_other_keys_count_by_the_standards_rules_only(kind, tmp_path):
    repo = Repository(kind=kind)
    # The first root is trusted byte for byte; what follows it must be of our kind.
    repo.publish("root")
    with pytest.raises(TrustRefused, match=f"key of the type {kind}"):
        read(repo, tmp_path)
    assert read(repo, tmp_path, STANDARD).versions.root == 2


def test_a_contributors_other_key_is_refused_too(tmp_path):
    repo = Repository()
    repo.delegate("targets", "d", key=9, paths=["d/*"])
    repo.signed["targets"].add_key(signer(1, "ecdsa").public_key, "d")
    repo.publish("d")
    repo.publish_all()
    with pytest.raises(TrustRefused, match="key of the type ecdsa"):
        read(repo, tmp_path)


def test_one_key_under_two_names_does_not_meet_a_threshold_of_two(tmp_path):
    repo = Repository()
    one = signer(2).public_key
    repo.root.add_key(type(one)("aa" * 32, one.keytype, one.scheme, one.keyval), "snapshot")
    repo.root.roles["snapshot"].threshold = 2
    repo.publish("root")
    repo.publish_all()
    data = json.loads(repo.published["snapshot"][-1])
    data["signatures"].append({**data["signatures"][0], "keyid": "aa" * 32})
    repo.published["snapshot"][-1] = json.dumps(data).encode()
    with pytest.raises(TrustRefused, match="names one key twice"):
        read(repo, tmp_path, Rules(own_spelling=False))


def test_another_spelling_is_read_by_the_standards_rules_only(tmp_path):
    repo = Repository()
    repo.published["timestamp"][-1] += b"\n"
    with pytest.raises(BundleError, match="timestamp"):
        read(repo, tmp_path)
    assert read(repo, tmp_path, STANDARD).versions.timestamp == 1


@pytest.mark.parametrize("field", [[], "x", {"a": 1}, None])
def test_an_ill_formed_list_of_revoked_components_is_refused(field, tmp_path):
    repo = Repository()
    repo.signed["targets"].unrecognized_fields["x-fieldpost-revoked"] = field
    repo.publish_all()
    with pytest.raises(BundleError, match="list of revoked"):
        read(repo, tmp_path)


@pytest.mark.parametrize("field", [7, "yesterday", "2026-11-24T08:00:00+01:00"])
def test_an_ill_formed_date_is_refused(field, tmp_path):
    repo = Repository()
    repo.signed["timestamp"].unrecognized_fields["x-fieldpost-published"] = field
    repo.publish_all()
    with pytest.raises(BundleError, match="signed date"):
        read(repo, tmp_path)
