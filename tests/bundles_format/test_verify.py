"""Tests of bundles.format.verify: who is believed, in which order, and without a clock."""

import json
import shutil

import pytest

from bundles.format.errors import BundleError, DamagedFile, MissingFile, TrustRefused
from bundles.format.metadata import Versions
from bundles.format.verify import verify_bundle
from tests.support.bundle_factory import make_bundle, make_keys, model, whole


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("ngo") / "keys")


@pytest.fixture(scope="module")
def bundle(keys, tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b", keys, components=whole())


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy")


def test_a_bundle_of_every_kind_is_verified(bundle, keys):
    verified = verify_bundle(bundle, root=keys.root.read_bytes())
    assert [c.manifest.kind for c in verified.components] == ["model", "adapter", "langpack", "docpack", "evalset"]
    assert verified.fingerprint == keys.fingerprint
    assert verified.versions.targets >= 1


def test_another_organisations_bundle_is_refused(bundle, tmp_path):
    other = make_keys(tmp_path / "other")
    with pytest.raises(TrustRefused, match="fingerprint"):
        verify_bundle(bundle, root=other.root.read_bytes())


def test_a_bundle_signed_with_an_unknown_key_is_refused(bundle, tmp_path, keys):
    # The stranger keeps our public root file, and signs everything below it with a key of their own.
    stranger = make_keys(tmp_path / "stranger")
    forged = make_bundle(tmp_path / "forged", stranger, components=whole())
    shutil.copy(keys.root, forged / "tuf" / "1.root.json")
    with pytest.raises(TrustRefused, match="not signed by a key that is trusted"):
        verify_bundle(forged, root=keys.root.read_bytes())


def test_an_older_bundle_is_refused_by_the_metadata_and_by_the_floor(tmp_path, keys):
    old = make_bundle(tmp_path / "old", keys, version="1.0.0", components=[model(b"old")])
    new = make_bundle(tmp_path / "new", keys, version="1.1.0", components=[model(b"new")])
    trust = tmp_path / "trust"
    trust.mkdir()
    root = keys.root.read_bytes()
    verified = verify_bundle(new, root=root, trust=trust)
    with pytest.raises(TrustRefused, match="older"):
        verify_bundle(old, root=root, trust=trust)
    # A power cut left TUF's own files empty: they no longer remember, the floor does.
    for path in trust.rglob("*.json"):
        path.unlink()
        path.touch()
    with pytest.raises(TrustRefused, match="older"):
        verify_bundle(old, root=root, trust=trust, floor=verified.versions)


def test_parts_of_two_signed_bundles_cannot_be_mixed(tmp_path, keys):
    old = make_bundle(tmp_path / "old", keys, version="2.0.0", components=[model(b"old weights")])
    new = make_bundle(tmp_path / "new", keys, version="2.1.0", components=[model(b"new weights")])
    root = keys.root.read_bytes()
    for name in ("index.json", "START-HERE.txt"):
        mixed = shutil.copytree(new, tmp_path / f"mixed-{name}")
        shutil.copytree(old / "blobs", mixed / "blobs", dirs_exist_ok=True)
        shutil.copy(old / name, mixed / name)
        with pytest.raises(DamagedFile, match=name):
            verify_bundle(mixed, root=root)
    mixed = shutil.copytree(new, tmp_path / "mixed-timestamp")
    for path in (old / "tuf").iterdir():
        shutil.copy(path, mixed / "tuf")
    with pytest.raises(BundleError):
        verify_bundle(mixed, root=root)


@pytest.mark.parametrize("name", ["index.json", "oci-layout", "installer.pyz", "tuf/timestamp.json", "tuf/1.root.json"])
def test_a_missing_file_is_named(copy, keys, name):
    (copy / name).unlink()
    with pytest.raises(MissingFile, match=name):
        verify_bundle(copy, root=keys.root.read_bytes())


def test_a_link_in_place_of_a_file_is_not_followed(copy, keys, tmp_path):
    real = tmp_path / "elsewhere"
    (copy / "index.json").rename(real)
    (copy / "index.json").symlink_to(real)
    with pytest.raises(MissingFile, match=r"index\.json"):
        verify_bundle(copy, root=keys.root.read_bytes())


def test_expiry_never_blocks_a_box(tmp_path):
    from datetime import UTC, datetime

    # Signed in 1990, so expired for decades; and the box's own clock is of no interest either way.
    keys = make_keys(tmp_path / "keys", date=datetime(1990, 1, 1, tzinfo=UTC))
    bundle = make_bundle(tmp_path / "b", keys, date=datetime(1990, 1, 1, tzinfo=UTC))
    expires = json.loads((bundle / "tuf" / "timestamp.json").read_bytes())["signed"]["expires"]
    assert expires < "2010"
    assert verify_bundle(bundle, root=keys.root.read_bytes()).versions.timestamp == 1


def test_metadata_in_another_spelling_is_refused(copy, keys):
    path = copy / "tuf" / "timestamp.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"timestamp\.json"):
        verify_bundle(copy, root=keys.root.read_bytes())


def test_the_floor_compares_every_role(bundle, keys):
    for role in ("root", "timestamp", "snapshot", "targets"):
        with pytest.raises(TrustRefused, match=role):
            verify_bundle(bundle, root=keys.root.read_bytes(), floor=Versions(**{role: 1000}))
