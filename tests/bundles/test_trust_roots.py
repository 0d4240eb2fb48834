"""The NGO replaces its keys; boxes follow, also those that missed a root, and nobody else can make them."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from bundles.cli import main
from bundles.errors import SigningError
from bundles.format.errors import TrustRefused
from bundles.format.verify import VerifiedBundle, verify_bundle
from bundles.roots import RootDraft, init_root, key_fingerprints, rotate_hq, rotate_root, sign_root
from bundles.trust import open_signer
from tests.support.bundle_factory import DATE, PASSPHRASE, Keys, make_bundle, make_keys, model

OLD_ROOT = "root-1.key"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def three(tmp_path: Path) -> Keys:
    """Three root keys, of which two must sign."""
    return make_keys(tmp_path / "three", root_keys=3, threshold=2)


class Box:
    """What one box remembers."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self.trust = folder
        self.trust.mkdir()
        self.root = keys.root.read_bytes()
        self.floor = None

    def take(self, bundle: Path) -> VerifiedBundle:
        verified = verify_bundle(bundle, root=self.root, trust=self.trust, floor=self.floor)
        self.floor = verified.versions
        return verified


def new_hq(keys: Keys, *signing: str) -> RootDraft:
    draft = rotate_hq(keys.folder, PASSPHRASE, date=DATE, kdf_rounds=1)
    for name in signing:
        draft = sign_root(draft.path, keys.folder / name, PASSPHRASE)
    return draft


def new_root(keys: Keys, *signing: str, **more: object) -> RootDraft:
    draft = rotate_root(keys.folder, PASSPHRASE, date=DATE, kdf_rounds=1, **more)  # type: ignore[arg-type]
    for name in signing:
        draft = sign_root(draft.path, keys.folder / name, PASSPHRASE)
    return draft


def bundle(keys: Keys, folder: Path) -> Path:
    return make_bundle(folder, keys, version=folder.name, components=[model(folder.name.encode())])


def test_a_new_headquarters_key_is_followed_and_the_old_one_no_longer(tmp_path: Path, keys: Keys) -> None:
    box = Box(tmp_path / "box", keys)
    box.take(bundle(keys, tmp_path / "1.0"))
    thief = shutil.copytree(keys.folder, tmp_path / "stolen")
    assert new_hq(keys, OLD_ROOT).counts
    assert box.take(bundle(keys, tmp_path / "2.0")).versions.root == 2
    stolen = Keys(folder=thief, passphrase=PASSPHRASE, fingerprint=keys.fingerprint)
    for _ in range(3):
        forged = bundle(stolen, tmp_path / "9.0")
    shutil.copy(keys.folder / "2.root.json", forged / "tuf")
    with pytest.raises(TrustRefused, match="not signed by a key that is trusted"):
        box.take(forged)
    (forged / "tuf/2.root.json").unlink()
    with pytest.raises(TrustRefused):
        box.take(forged)


def test_a_box_that_missed_roots_follows_the_chain(tmp_path: Path, keys: Keys) -> None:
    away, near = Box(tmp_path / "away", keys), Box(tmp_path / "near", keys)
    away.take(bundle(keys, tmp_path / "1.0"))
    new_root(keys, OLD_ROOT, retire=keys.folder / "root-1.pub")
    near.take(bundle(keys, tmp_path / "2.0"))
    new_hq(keys, "root-2.key")
    new_root(keys, "root-2.key", retire=keys.folder / "root-2.pub")
    last = bundle(keys, tmp_path / "4.0")
    assert sorted(p.name for p in (last / "tuf").glob("*.root.json")) == [f"{n}.root.json" for n in (1, 2, 3, 4)]
    assert near.take(last).versions.root == 4
    # The one that was away gets a stick without the root in between, and then a whole one.
    broken = shutil.copytree(last, tmp_path / "broken")
    (broken / "tuf/3.root.json").unlink()
    with pytest.raises(TrustRefused):
        away.take(broken)
    assert away.take(last).versions.root == 4
    assert verify_bundle(last, root=keys.root.read_bytes()).versions.root == 4  # and a box that is new


def test_an_old_root_cannot_come_back(tmp_path: Path, keys: Keys) -> None:
    box = Box(tmp_path / "box", keys)
    old = bundle(keys, tmp_path / "1.0")
    new_hq(keys, OLD_ROOT)
    box.take(bundle(keys, tmp_path / "2.0"))
    with pytest.raises(TrustRefused):
        box.take(old)
    # Nor when a power cut emptied all that TUF remembers: then the floor speaks.
    for path in box.trust.rglob("*.json"):
        if not path.is_symlink():
            path.write_bytes(b"")
    with pytest.raises(TrustRefused, match="older than what this box already has"):
        box.take(old)


def test_recovery_when_a_thief_signed_a_version_that_cannot_be_surpassed(tmp_path: Path, keys: Keys) -> None:
    box = Box(tmp_path / "box", keys)
    thief = Keys(folder=shutil.copytree(keys.folder, tmp_path / "s"), passphrase=PASSPHRASE, fingerprint="")
    bundle(thief, tmp_path / "0.9")
    state = (thief.folder / "published.json").read_text()
    (thief.folder / "published.json").write_text(state.replace('"version": 1', '"version": 999999'))
    box.take(bundle(thief, tmp_path / "6.6"))
    assert box.floor.targets == 1_000_000
    with pytest.raises(TrustRefused, match="older"):
        box.take(bundle(keys, tmp_path / "1.0"))
    new_hq(keys, OLD_ROOT)
    assert box.take(bundle(keys, tmp_path / "1.1")).versions.targets == 2
    assert box.take(bundle(keys, tmp_path / "1.2")).versions.targets == 3
    with pytest.raises(TrustRefused):
        box.take(tmp_path / "1.1")


def test_the_floor_stays_when_only_a_root_key_was_replaced(tmp_path: Path, keys: Keys) -> None:
    box = Box(tmp_path / "box", keys)
    bundle(keys, tmp_path / "1.0")
    box.take(bundle(keys, tmp_path / "1.1"))
    (keys.folder / "published.json").unlink()
    new_root(keys, OLD_ROOT, retire=keys.folder / "root-1.pub")
    old = bundle(keys, tmp_path / "1.2")  # version 1 again, by a signing folder that forgot
    for path in box.trust.rglob("*.json"):
        if path.name in ("timestamp.json", "snapshot.json", "targets.json"):
            path.unlink()
    with pytest.raises(TrustRefused, match=r"tuf/timestamp is older"):
        box.take(old)


def test_a_threshold_of_two_needs_two(tmp_path: Path, three: Keys) -> None:
    assert verify_bundle(bundle(three, tmp_path / "1.0"), root=three.root.read_bytes())
    draft = new_hq(three, "root-1.key")
    assert (draft.lacks_old, draft.lacks_new, draft.path.name) == (1, 1, "2.root.draft.json")
    draft = sign_root(draft.path, three.folder / "root-1.key", PASSPHRASE)  # the same again counts once
    assert not draft.counts and not (three.folder / "2.root.json").exists()
    # Until it counts, the old key signs.
    assert verify_bundle(bundle(three, tmp_path / "1.1"), root=three.root.read_bytes()).versions.root == 1
    assert sign_root(draft.path, three.folder / "root-3.key", PASSPHRASE).counts
    assert not draft.path.exists()
    assert verify_bundle(bundle(three, tmp_path / "1.2"), root=three.root.read_bytes()).versions.root == 2


def test_a_root_signed_by_too_few_does_not_count_on_a_box(tmp_path: Path, three: Keys) -> None:
    box = Box(tmp_path / "box", three)
    draft = new_hq(three, "root-1.key")
    forged = bundle(three, tmp_path / "1.0")
    shutil.copy(draft.path, forged / "tuf/2.root.json")
    with pytest.raises(TrustRefused, match=r"2\.root\.json"):
        box.take(forged)


def test_a_lost_root_key_is_replaced_by_the_other_two(tmp_path: Path, three: Keys) -> None:
    (three.folder / "root-2.key").unlink()
    draft = new_root(three, "root-1.key", "root-3.key", retire=three.folder / "root-2.pub")
    assert draft.counts and (three.folder / "root-4.key").exists()
    role = Metadata[Root].from_file(str(three.folder / "2.root.json")).signed.roles["root"]
    assert len(role.keyids) == 3 and role.threshold == 2
    assert new_hq(three, "root-4.key", "root-1.key").counts


def test_a_threshold_grows_from_one_to_two(tmp_path: Path, keys: Keys) -> None:
    box = Box(tmp_path / "box", keys)
    assert new_root(keys, OLD_ROOT, threshold=2).counts
    assert not new_hq(keys, OLD_ROOT).counts
    assert sign_root(keys.folder / "3.root.draft.json", keys.folder / "root-2.key", PASSPHRASE).counts
    assert box.take(bundle(keys, tmp_path / "1.0")).versions.root == 3


def test_keys_without_a_say_and_second_drafts_are_refused(tmp_path: Path, three: Keys) -> None:
    draft = new_hq(three)
    with pytest.raises(SigningError, match="is no root key"):
        sign_root(draft.path, three.folder / "hq.key", PASSPHRASE)
    with pytest.raises(SigningError, match="still waits for signatures"):
        new_root(three)
    with pytest.raises(SigningError, match="cannot be signed"):
        sign_root(three.folder / "published.json", three.folder / "root-1.key", PASSPHRASE)
    draft.path.unlink()
    with pytest.raises(SigningError, match="no root key that counts"):
        new_root(three, retire=three.folder / "hq.pub")
    with pytest.raises(SigningError, match="cannot be met"):
        new_root(three, threshold=5)
    assert sorted(p.name for p in three.folder.glob("*.root.json")) == ["1.root.json"]


@pytest.mark.parametrize(("count", "threshold"), [(1, 2), (2, 0), (0, 1), (21, 1)])
def test_a_threshold_that_cannot_be_met_makes_no_folder(tmp_path: Path, count: int, threshold: int) -> None:
    with pytest.raises(SigningError, match="threshold"):
        init_root(
            tmp_path / "k", root_passphrases=[PASSPHRASE] * count, hq_passphrase=PASSPHRASE, threshold=threshold,
            date=DATE, kdf_rounds=1,
        )  # fmt: skip
    assert not (tmp_path / "k").exists()


def test_a_forged_next_root_is_refused(tmp_path: Path, keys: Keys) -> None:
    """A stranger cannot add themselves to the root, nor leave out who was there."""
    stranger = make_keys(tmp_path / "stranger")
    mine = Metadata[Root].from_file(str(stranger.root))
    mine.signed.version = 2
    from securesystemslib.signer import CryptoSigner

    from bundles.keys import open_key

    mine.signatures.clear()
    mine.sign(CryptoSigner(open_key(stranger.folder / "root-1.key", PASSPHRASE)))
    forged = bundle(keys, tmp_path / "1.0")
    (forged / "tuf/2.root.json").write_bytes(mine.to_bytes(JSONSerializer()))
    with pytest.raises(TrustRefused, match=r"2\.root\.json is damaged, or is not signed"):
        verify_bundle(forged, root=keys.root.read_bytes())


def test_a_rotation_makes_the_same_content_a_new_version(tmp_path: Path, keys: Keys) -> None:
    first = verify_bundle(bundle(keys, tmp_path / "1.0"), root=keys.root.read_bytes())
    new_root(keys, OLD_ROOT)
    again = verify_bundle(bundle(keys, tmp_path / "1.0"), root=keys.root.read_bytes())
    assert again.versions.targets == first.versions.targets + 1


def call(*words: str | Path) -> str:
    result = CliRunner(env={"FIELDPOST_PASSPHRASE": PASSPHRASE}).invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def test_the_commands_of_a_rotation(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    made = call("root", "init", "--out", keys, "--root-keys", "2", "--threshold", "2")
    assert "root-1.key, root-2.key, hq.key" in made
    for name, shown in key_fingerprints(keys).items():
        ssh = subprocess.run(["ssh-keygen", "-l", "-f", keys / name], capture_output=True, text=True, check=True)
        assert shown == ssh.stdout.split()[1] and shown in made and shown in call("root", "show", keys)
    said = call("rotate", "hq", "--keys", keys, "--root-key", keys / "root-1.key")
    assert "lacks 1 signatures by the old root's keys, 1 by its own" in said
    assert "2.root.draft.json --key ROOT.key" in said
    said = call("sign", keys / "2.root.draft.json", "--key", keys / "root-2.key")
    assert "Root 2 counts from the next bundle on" in said
    both = ("--root-key", keys / "root-1.key", "--root-key", keys / "root-2.key")
    assert "Root 3 counts" in call("rotate", "root", "--keys", keys, "--retire", keys / "root-1.pub", *both)
    assert open_signer(keys, PASSPHRASE).hq.public_key.keyid


def test_a_wrong_passphrase_signs_nothing(keys: Keys) -> None:
    draft = new_hq(keys)
    with pytest.raises(SigningError, match="does not open"):
        sign_root(draft.path, keys.folder / OLD_ROOT, "wrong one")
    assert draft.path.exists() and not (keys.folder / "2.root.json").exists()


def test_expiry_of_a_root_never_strands_a_box(tmp_path: Path) -> None:
    keys = make_keys(tmp_path / "keys", date=DATE - timedelta(days=365 * 40))
    assert verify_bundle(bundle(keys, tmp_path / "1.0"), root=keys.root.read_bytes()).versions.root == 1
