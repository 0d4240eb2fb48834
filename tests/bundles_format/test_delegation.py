"""Tests of bundles.format.verify with a contributor: they sign what is theirs and nothing else."""

import json

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Targets
from tuf.api.serialization.json import JSONSerializer

from bundles.format.errors import BundleError, DamagedFile, MissingFile, TrustRefused
from bundles.format.verify import verify_bundle
from bundles.trust import open_signer
from tests.support.bundle_factory import make_bundle, make_keys, whole


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("ngo") / "keys")


@pytest.fixture
def bundle(keys, tmp_path):
    return make_bundle(tmp_path / "bundle", keys, components=whole())


def delegate(bundle, keys, *, moved="adapters/"):
    """Sign anew: targets under ``moved`` are a partner's, who may sign ``adapters/fieldpost/*`` only."""
    headquarters, partner = open_signer(keys.folder, keys.passphrase).hq, CryptoSigner.generate_ed25519()
    (targets_path,) = (bundle / "tuf").glob("*.targets.json")
    (snapshot_path,) = (bundle / "tuf").glob("*.snapshot.json")

    def write(metadata, signer, path):
        metadata.signatures.clear()
        metadata.sign(signer)
        path.write_bytes(metadata.to_bytes(JSONSerializer()))

    targets = Metadata.from_file(str(targets_path))
    theirs = {path: targets.signed.targets.pop(path) for path in list(targets.signed.targets) if path.startswith(moved)}
    assert theirs
    role = DelegatedRole(name="partner", keyids=[], threshold=1, terminating=True, paths=["adapters/fieldpost/*"])
    targets.signed.delegations = Delegations(keys={}, roles={"partner": role})
    targets.signed.add_key(partner.public_key, "partner")
    write(targets, headquarters, targets_path)
    snapshot = Metadata.from_file(str(snapshot_path))
    snapshot.signed.meta["partner.json"] = MetaFile(1)
    write(snapshot, headquarters, snapshot_path)
    delegated = Metadata(Targets(version=1, expires=targets.signed.expires, targets=theirs))
    write(delegated, partner, bundle / "tuf" / "1.partner.json")
    return bundle / "tuf" / "1.partner.json"


def test_a_contributors_component_is_found_through_their_delegation(bundle, keys):
    delegate(bundle, keys)
    verified = verify_bundle(bundle, root=keys.root.read_bytes())
    assert "adapter" in [component.manifest.kind for component in verified.components]


def test_a_contributor_cannot_sign_what_is_not_theirs(bundle, keys):
    delegate(bundle, keys, moved="models/")
    with pytest.raises(TrustRefused, match=r"models/fieldpost/answers-0\.1\.0 is not signed by anybody who may"):
        verify_bundle(bundle, root=keys.root.read_bytes())


def test_a_contributors_missing_metadata_are_named(bundle, keys):
    delegate(bundle, keys).unlink()
    with pytest.raises(MissingFile, match=r"tuf/1\.partner\.json"):
        verify_bundle(bundle, root=keys.root.read_bytes())


def test_a_flipped_byte_in_a_contributors_metadata_is_named(bundle, keys):
    path = delegate(bundle, keys)
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x20]) + good[place + 1 :])
        with pytest.raises(BundleError, match=r"1\.partner\.json"):
            verify_bundle(bundle, root=keys.root.read_bytes())


def test_a_contributors_metadata_in_another_spelling_are_refused(bundle, keys):
    path = delegate(bundle, keys)
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=2))
    with pytest.raises(DamagedFile, match=r"1\.partner\.json"):
        verify_bundle(bundle, root=keys.root.read_bytes())
