"""The signing folder is private and never overwritten; versions only grow; python-tuf's own client agrees."""

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from bundles.errors import SigningError
from bundles.package import LIFETIME
from bundles.roots import init_root
from bundles.trust import Signer, open_signer, publish, read_published
from tests.support.bundle_factory import DATE, PASSPHRASE, Keys, make_keys

TARGETS = {"models/us/a-1": (12, "a" * 64), "stick/installer.pyz": (7, "b" * 64)}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def signer(keys: Keys) -> Signer:
    return open_signer(keys.folder, PASSPHRASE)


def test_the_folder_is_its_owners_alone(keys: Keys) -> None:
    assert keys.folder.stat().st_mode & 0o777 == 0o700
    assert {p.name: p.stat().st_mode & 0o777 for p in keys.folder.iterdir()} == {
        "root-1.key": 0o600,
        "root-1.pub": 0o600,
        "hq.key": 0o600,
        "hq.pub": 0o600,
        "1.root.json": 0o600,
    }


def test_the_root_is_signed_by_the_root_key_and_names_the_hq_key(keys: Keys, signer: Signer) -> None:
    metadata = Metadata[Root].from_file(str(keys.root))
    root = metadata.signed
    root.verify_delegate("root", metadata.signed_bytes, metadata.signatures)
    assert root.consistent_snapshot and root.version == 1 and root.expires == DATE + LIFETIME
    for role in ("targets", "snapshot", "timestamp"):
        assert root.roles[role].keyids == [signer.hq.public_key.keyid]
    assert root.roles["root"].keyids != root.roles["targets"].keyids
    assert keys.fingerprint.startswith("SHA256:") and len(keys.fingerprint) == 7 + 43


def test_the_keys_are_openssh_keys(keys: Keys) -> None:
    for name in ("root-1.key", "hq.key"):
        command = ["ssh-keygen", "-y", "-P", PASSPHRASE, "-f", str(keys.folder / name)]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        assert said.stdout.startswith("ssh-ed25519 ")
        wrong = subprocess.run([*command[:3], "wrong", *command[4:]], capture_output=True, check=False)
        assert wrong.returncode != 0


@pytest.mark.parametrize("bad", ["", "seven77"])
def test_a_short_passphrase_is_refused(tmp_path: Path, bad: str) -> None:
    for root, hq in ((bad, PASSPHRASE), (PASSPHRASE, bad)):
        with pytest.raises(SigningError, match="At least 8"):
            init_root(tmp_path / "keys", root_passphrases=[root], hq_passphrase=hq, date=DATE, kdf_rounds=1)
    assert not (tmp_path / "keys").exists()


def test_keys_are_never_overwritten(keys: Keys) -> None:
    before = {p.name: p.read_bytes() for p in keys.folder.iterdir()}
    with pytest.raises(SigningError, match="never overwritten"):
        make_keys(keys.folder)
    assert {p.name: p.read_bytes() for p in keys.folder.iterdir()} == before


def test_what_is_no_signing_folder_is_said(keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(SigningError, match="does not open with this passphrase"):
        open_signer(keys.folder, "another one")
    with pytest.raises(SigningError, match="root init"):
        open_signer(tmp_path / "none", PASSPHRASE)
    other = make_keys(tmp_path / "other")
    for name in ("hq.key", "hq.pub"):
        shutil.copy(other.folder / name, keys.folder / name)
    with pytest.raises(SigningError, match=r"does not name any hq\.key"):
        open_signer(keys.folder, PASSPHRASE)
    keys.root.write_bytes(b"{}")
    with pytest.raises(SigningError, match="cannot be read"):
        open_signer(keys.folder, PASSPHRASE)


def test_metadata_are_signed_and_name_each_other(signer: Signer, tmp_path: Path) -> None:
    assert publish(signer, TARGETS, tmp_path / "tuf", bundle="demo 1", date=DATE) == 1
    assert sorted(p.name for p in (tmp_path / "tuf").iterdir()) == [
        "1.root.json",
        "1.snapshot.json",
        "1.targets.json",
        "timestamp.json",
    ]
    root = Metadata[Root].from_file(str(tmp_path / "tuf/1.root.json")).signed
    kinds = {"timestamp": Timestamp, "snapshot": Snapshot, "targets": Targets}
    for role, kind in kinds.items():
        name = "timestamp.json" if role == "timestamp" else f"1.{role}.json"
        metadata = Metadata[kind].from_file(str(tmp_path / "tuf" / name))  # type: ignore[valid-type]
        root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        assert metadata.signed.expires == DATE + LIFETIME
    targets = Metadata[Targets].from_file(str(tmp_path / "tuf/1.targets.json")).signed.targets
    assert {path: (t.length, t.hashes) for path, t in targets.items()} == {
        path: (length, {"sha256": sha256}) for path, (length, sha256) in TARGETS.items()
    }


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_versions_grow_with_every_change_and_only_then(signer: Signer, tmp_path: Path) -> None:
    def run(name: str, targets: dict, date: datetime = DATE) -> int:
        return publish(signer, targets, tmp_path / name, bundle="demo", date=date)

    changed = {**TARGETS, "models/us/a-1": (12, "c" * 64)}
    assert run("a", TARGETS) == 1
    assert run("again", TARGETS) == 1
    assert folder_bytes(tmp_path / "a") == folder_bytes(tmp_path / "again")
    assert run("b", changed) == 2
    assert run("back", TARGETS) == 3  # what was published in between makes the old one new again
    assert run("later", TARGETS, DATE + timedelta(days=1)) == 4
    state = read_published(signer.folder)
    assert state is not None and state.version == 4
    assert (signer.folder / "published.json").stat().st_mode & 0o777 == 0o600


def test_a_lost_state_is_not_started_again_unnoticed(signer: Signer, tmp_path: Path) -> None:
    publish(signer, TARGETS, tmp_path / "a", bundle="demo", date=DATE)
    (signer.folder / "published.json").write_text('{"version": ')
    with pytest.raises(SigningError, match="Boxes refuse a version that is not newer"):
        publish(signer, TARGETS, tmp_path / "b", bundle="demo", date=DATE)
    assert not (tmp_path / "b").exists()


def test_a_date_in_another_zone_is_the_same_moment(signer: Signer, tmp_path: Path) -> None:
    local = datetime.fromisoformat("2026-11-24T11:00:00.5+03:00")
    publish(signer, TARGETS, tmp_path / "a", bundle="demo", date=local)
    timestamp = json.loads((tmp_path / "a/timestamp.json").read_bytes())
    expected = datetime(2026, 11, 24, 8, tzinfo=UTC) + LIFETIME
    assert timestamp["signed"]["expires"] == expected.strftime("%Y-%m-%dT%H:%M:%SZ")
