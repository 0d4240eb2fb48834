"""Attacks with real signed metadata, each on a healthy box and on one whose trust files a power cut emptied.

Whatever is tried: it is refused in words, the release in use and the box's memory stay as they were, and the next good
stick is taken.
"""

import json
import os
import shutil

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, TargetFile
from tuf.api.serialization.json import JSONSerializer

from bundles.format.digest import digest_of
from bundles.format.errors import BundleError
from bundles.keys import open_key
from bundles.package import sign_package
from tests.installer.test_install import assert_release_is_whole
from tests.support.bundle_factory import (
    DATE,
    PASSPHRASE,
    Keys,
    adapter,
    let,
    make_bundle,
    make_contributor,
    make_keys,
    make_package,
    model,
    sign,
)


class Ngo:
    """Three sticks of one NGO with a contributor, and a box that has the second."""

    def __init__(self, folder, put):
        self.folder = folder
        self.keys = make_keys(folder / "keys")
        self.amina = make_contributor(folder / "amina")
        let(self.keys, self.amina)
        self.old, self.now, self.next = (self.make(number) for number in (1, 2, 3))
        self.home = folder / "home"
        put(self.now, self.home)

    def make(self, number):
        package = make_package(
            self.folder / f"package{number}",
            components=[adapter(b"GGUF by amina %d" % number, version=f"{number}.0")],
        )
        return make_bundle(
            self.folder / f"stick{number}", self.keys, version=f"{number}.0", components=[model(b"model %d" % number)],
            packages=[sign(package, self.amina)],
        )  # fmt: skip

    def copy(self, stick):
        """A stick that an attacker may write on."""
        return shutil.copytree(stick, self.folder / "attack")

    def sign_as(self, key, path, change):
        """Change a role on a stick and sign it with a key that the attacker has."""
        metadata = Metadata.from_file(str(path))
        change(metadata.signed)
        metadata.signatures.clear()
        metadata.sign(CryptoSigner(open_key(key, PASSPHRASE)))
        path.write_bytes(metadata.to_bytes(JSONSerializer()))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    from installer.install import install

    folder = tmp_path_factory.mktemp("attacks")
    return Ngo(folder, lambda stick, home: install(stick, home, confirm=lambda *_: None, progress=lambda *_: None))


@pytest.fixture
def ngo(made, tmp_path):
    """The same, in a folder of this test's own."""
    mine = object.__new__(Ngo)
    mine.__dict__.update(made.__dict__)
    mine.folder = tmp_path
    mine.home = shutil.copytree(made.home, tmp_path / "home", symlinks=True)
    return mine


def replay(ngo):
    """A whole older stick, as it once was signed."""
    return ngo.old


def old_metadata_on_a_new_stick(ngo):
    """The newest files with the old signatures."""
    stick = ngo.copy(ngo.next)
    shutil.rmtree(stick / "tuf")
    shutil.copytree(ngo.old / "tuf", stick / "tuf")
    return stick


def new_metadata_on_an_old_stick(ngo):
    """The old files with the newest signatures."""
    stick = ngo.copy(ngo.old)
    shutil.rmtree(stick / "tuf")
    shutil.copytree(ngo.next / "tuf", stick / "tuf")
    return stick


def old_targets_under_a_new_timestamp(ngo):
    """Each role well signed, of two bundles."""
    stick = ngo.copy(ngo.next)
    for role in ("targets", "snapshot"):
        shutil.copy(ngo.old / f"tuf/1.{role}.json", stick / f"tuf/3.{role}.json")
    return stick


def the_old_index_among_new_files(ngo):
    """The index decides what belongs together, so an old one would bring an old, broken combination back."""
    stick = ngo.copy(ngo.next)
    shutil.copytree(ngo.old / "blobs", stick / "blobs", dirs_exist_ok=True)
    shutil.copy(ngo.old / "index.json", stick / "index.json")
    return stick


def a_stranger_signs_everything(ngo):
    """Our public root, and all below it signed by somebody else."""
    stranger = make_keys(ngo.folder / "stranger")
    for number in range(5):
        stick = make_bundle(ngo.folder / "attack", stranger, version="9.0", components=[model(b"%d" % number)])
    shutil.copy(ngo.keys.root, stick / "tuf/1.root.json")
    return stick


def a_strangers_root_follows_ours(ngo):
    """A second root that adds the stranger's keys, signed by the stranger."""
    stick = ngo.copy(ngo.next)
    stranger = make_keys(ngo.folder / "stranger")
    shutil.copy(stranger.root, stick / "tuf/2.root.json")
    ngo.sign_as(stranger.folder / "root-1.key", stick / "tuf/2.root.json", lambda root: setattr(root, "version", 2))
    return stick


def the_contributor_signs_a_newer_role(ngo):
    """Well signed by who may, and not what headquarters gave out."""
    stick = ngo.copy(ngo.next)
    ngo.sign_as(ngo.amina, stick / "tuf/3.amina.json", lambda role: setattr(role, "version", 4))
    shutil.move(stick / "tuf/3.amina.json", stick / "tuf/4.amina.json")
    return stick


def the_contributor_swaps_a_file_of_the_same_version(ngo):
    """Another adapter under the signed name, signed by its contributor and laid on the stick."""
    stick = ngo.copy(ngo.next)
    role = stick / "tuf/3.amina.json"
    (name,) = [n for n in Metadata.from_file(str(role)).signed.targets if n.endswith("3.0")]
    evil = make_package(ngo.folder / "evil", components=[adapter(b"GGUF evil", version="3.0")])
    index = json.loads((evil / "index.json").read_bytes())
    (entry,) = index["manifests"]
    shutil.copytree(evil / "blobs", stick / "blobs", dirs_exist_ok=True)
    target = TargetFile(entry["size"], {"sha256": entry["digest"][7:]}, name)
    ngo.sign_as(ngo.amina, role, lambda signed: signed.targets.update({name: target}))
    return stick


def the_contributor_names_the_installer(ngo):
    """Their role says what installer.pyz is; the stick has that one."""
    stick = ngo.copy(ngo.next)
    evil = b"import os\n"
    (stick / "installer.pyz").write_bytes(evil)
    target = TargetFile(len(evil), {"sha256": digest_of(evil)[7:]}, "stick/installer.pyz")
    role = stick / "tuf/3.amina.json"
    ngo.sign_as(ngo.amina, role, lambda signed: signed.targets.update({"stick/installer.pyz": target}))
    return stick


def the_contributor_signs_as_headquarters(ngo):
    """Targets signed by a key that is only delegated to."""
    stick = ngo.copy(ngo.next)
    ngo.sign_as(ngo.amina, stick / "tuf/3.targets.json", lambda targets: targets.targets.clear())
    return stick


def headquarters_forgets_a_contributor(ngo):
    """A snapshot without a role that boxes know would let an old version of it come back later."""
    stick = ngo.copy(ngo.next)
    ngo.sign_as(ngo.keys.folder / "hq.key", stick / "tuf/3.snapshot.json", lambda s: s.meta.pop("amina.json"))
    return stick


def an_old_role_of_the_contributor(ngo):
    """Her own older signature, in place of the newest."""
    stick = ngo.copy(ngo.next)
    shutil.copy(ngo.old / "tuf/1.amina.json", stick / "tuf/3.amina.json")
    return stick


def endless_metadata(ngo):
    """More than a box would ever read."""
    stick = ngo.copy(ngo.next)
    with (stick / "tuf/timestamp.json").open("r+b") as file:
        file.truncate(1 << 40)
    return stick


def metadata_that_never_answer(ngo):
    """A pipe in place of a file: whoever opens it waits for ever."""
    stick = ngo.copy(ngo.next)
    (stick / "tuf/timestamp.json").unlink()
    os.mkfifo(stick / "tuf/timestamp.json")
    return stick


def metadata_that_lead_elsewhere(ngo):
    """A link to a file of the box."""
    stick = ngo.copy(ngo.next)
    (stick / "tuf/timestamp.json").unlink()
    (stick / "tuf/timestamp.json").symlink_to(ngo.home / "state.json")
    return stick


ATTACKS = [
    replay,
    old_metadata_on_a_new_stick,
    new_metadata_on_an_old_stick,
    old_targets_under_a_new_timestamp,
    the_old_index_among_new_files,
    a_stranger_signs_everything,
    a_strangers_root_follows_ours,
    the_contributor_signs_a_newer_role,
    the_contributor_swaps_a_file_of_the_same_version,
    the_contributor_names_the_installer,
    the_contributor_signs_as_headquarters,
    an_old_role_of_the_contributor,
    endless_metadata,
    metadata_that_never_answer,
    metadata_that_lead_elsewhere,
]


def healthy(home):
    """As the last install left it."""


def emptied(home):
    """A power cut left every file of TUF's own memory with no bytes: python-tuf does not fsync."""
    for path in (home / "trust").resolve().rglob("*.json"):
        if not path.is_symlink():
            path.write_bytes(b"")


def memory(home):
    """What must not change."""
    return {name: (home / name).read_bytes() for name in ("state.json", "installer.pyz")}, (home / "current").readlink()


@pytest.mark.parametrize("state", [healthy, emptied])
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_and_the_next_good_stick_is_taken(attack, state, ngo, put_any):
    stick = attack(ngo)
    state(ngo.home)
    before = memory(ngo.home)
    with pytest.raises(BundleError) as refused:
        put_any(stick, ngo.home)
    assert refused.value.found.strip()
    assert memory(ngo.home) == before
    assert assert_release_is_whole(ngo.home)["version"] == "2.0"
    put_any(ngo.next, ngo.home)
    facts = assert_release_is_whole(ngo.home)
    assert facts["version"] == "3.0" and {c["publisher"] for c in facts["components"]} == {"fieldpost", "amina"}


def test_a_snapshot_that_forgets_a_contributor_is_refused_by_a_box_that_remembers(ngo, put_any):
    with pytest.raises(BundleError):
        put_any(headquarters_forgets_a_contributor(ngo), ngo.home)


@pytest.fixture
def put_any():
    from installer.install import install

    return lambda stick, home: install(stick, home, confirm=lambda *_: None, progress=lambda *_: None)


def test_a_revoked_contributor_cannot_come_back_with_their_key(ngo, put_any, tmp_path):
    from bundles.contributors import read_contributors, revoke_contributor, write_contributors

    folder = shutil.copytree(ngo.keys.folder, tmp_path / "keys")
    keys = Keys(folder=folder, passphrase=PASSPHRASE, fingerprint=ngo.keys.fingerprint)
    write_contributors(folder, revoke_contributor(folder, read_contributors(folder), "amina", "stolen"))
    after = make_bundle(tmp_path / "after", keys, version="4.0", components=[model(b"4")])
    put_any(after, ngo.home)
    raw = json.loads((ngo.home / "revoked.json").read_bytes())
    assert sorted(raw["revoked"]) == [f"adapters/amina/steps-{n}.0" for n in (1, 2, 3)]
    # What she signs now is signed by nobody who may.
    stick = ngo.copy(after)
    package = make_package(tmp_path / "p", components=[adapter(b"GGUF new", version="9.0")])
    sign_package(package, ngo.amina, PASSPHRASE, date=DATE)
    shutil.copytree(package / "blobs", stick / "blobs", dirs_exist_ok=True)
    for path in (package / "tuf").iterdir():
        shutil.copy(path, stick / "tuf" / f"9.{path.name}")
    index = json.loads((stick / "index.json").read_bytes())
    index["manifests"] += json.loads((package / "index.json").read_bytes())["manifests"]
    (stick / "index.json").write_text(json.dumps(index, sort_keys=True, separators=(",", ":")))
    with pytest.raises(BundleError, match=r"index\.json"):
        put_any(stick, ngo.home)
