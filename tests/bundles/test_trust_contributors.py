"""A contributor signs what is theirs, on their own machine; headquarters takes that and nothing else."""

import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

from bundles.cli import main
from bundles.contributors import (
    Contributors,
    accept_packages,
    delegate,
    keep_given_out,
    read_contributors,
    revoke_component,
    revoke_contributor,
    write_contributors,
)
from bundles.errors import PackageRefused, SigningError
from bundles.format.digest import digest_of_file
from bundles.format.errors import BundleError, MissingFile
from bundles.keys import read_public
from bundles.package import read_package, sign_package
from tests.support.bundle_factory import (
    DATE,
    PASSPHRASE,
    Keys,
    adapter,
    docpack,
    evalset,
    langpack,
    make_bundle,
    make_contributor,
    make_keys,
    make_package,
    model,
)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def amina(tmp_path: Path) -> Path:
    return make_contributor(tmp_path / "amina")


def let(keys: Keys, key: Path, *paths: str, name: str = "amina") -> None:
    public = read_public(key.with_suffix(".pub"))
    write_contributors(
        keys.folder, delegate(read_contributors(keys.folder), name, public, paths or (f"adapters/{name}/*",))
    )


def sign(folder: Path, key: Path, **more: int) -> int:
    return sign_package(folder, key, PASSPHRASE, date=DATE, **more).version


def test_a_signed_package_is_accepted(tmp_path: Path, keys: Keys, amina: Path) -> None:
    let(keys, amina)
    package = make_package(tmp_path / "steps", components=[adapter()])
    assert sign(package, amina) == 1
    accepted = accept_packages(keys.folder, [package])
    assert [*accepted.packages[0].targets] == ["adapters/amina/steps-0.1.0"]
    assert accepted.roles == {"amina": (package / "tuf/amina.json").read_bytes()}


@pytest.mark.parametrize(
    "path",
    [
        "adapters/ben/*",
        "adapters/*",
        "adapters/amina*",
        "adapters/*/*",
        "adapters/amina/*/*",
        "*",
        "models/amina/*",
        "runtimes/amina/*",
        "stick/*",
        "bundles/amina/*",
        "adapters/amina/../../stick/*",
        "adapters/amina/[a-z]*",
        "adapters/amina/?*",
        "adapters/amina/steps-1.0.0",
        "",
    ],
)
def test_only_paths_under_the_contributors_own_name_can_be_delegated(amina: Path, path: str) -> None:
    with pytest.raises(SigningError, match="cannot be given to amina"):
        delegate(Contributors(), "amina", read_public(amina.with_suffix(".pub")), [path])


@pytest.mark.parametrize("name", ["root", "targets", "snapshot", "timestamp", "Amina", "a/b", "..", "", "a*"])
def test_names_that_cannot_be_a_contributors(amina: Path, name: str) -> None:
    with pytest.raises(SigningError, match="cannot be called"):
        delegate(Contributors(), name, read_public(amina.with_suffix(".pub")), [f"adapters/{name}/*"])


def test_nothing_of_a_package_is_parsed_before_its_signature_holds(tmp_path: Path, keys: Keys, amina: Path) -> None:
    let(keys, amina)
    package = make_package(tmp_path / "steps", components=[adapter()])
    sign(package, amina)
    (package / "index.json").write_bytes(b"[" * 100_000)  # what whoever carries it may write, unsigned
    assert [*accept_packages(keys.folder, [package]).packages[0].targets] == ["adapters/amina/steps-0.1.0"]
    manifests = [blob for blob in (package / "blobs/sha256").iterdir() if b"org.fieldpost.kind" in blob.read_bytes()]
    manifests[0].write_bytes(b"{" * 100_000)
    with pytest.raises(BundleError, match="damaged or was changed"):
        accept_packages(keys.folder, [package])
    role = json.loads((package / "tuf/amina.json").read_bytes())
    role["signed"]["version"] += 1
    (package / "tuf/amina.json").write_text(json.dumps(role))
    with pytest.raises(PackageRefused, match="is not signed by amina"):
        accept_packages(keys.folder, [package])


def test_nobody_else_can_have_the_organisations_own_name(tmp_path: Path, keys: Keys, amina: Path) -> None:
    make_bundle(tmp_path / "bundle", keys, components=[model()])
    words = ["delegate", "fieldpost", "--paths", "adapters/fieldpost/*", "--key", str(amina.with_suffix(".pub"))]
    said = CliRunner().invoke(main, [*words, "--keys", str(keys.folder)])
    assert said.exit_code == 1 and "fieldpost is your organisation's own name" in said.output


def test_a_name_given_away_before_the_first_bundle_stops_that_bundle(tmp_path: Path, keys: Keys, amina: Path) -> None:
    let(keys, amina, "adapters/fieldpost/*", name="fieldpost")
    with pytest.raises(SigningError, match="your organisation's own name"):
        make_bundle(tmp_path / "bundle", keys, components=[model()])


def test_one_key_is_not_two_peoples(keys: Keys, amina: Path) -> None:
    let(keys, amina)
    with pytest.raises(SigningError, match="This key is amina's"):
        let(keys, amina, name="ben")


def test_a_contributor_publishes_under_their_paths_and_nowhere_else(tmp_path: Path, keys: Keys, amina: Path) -> None:
    let(keys, amina)
    for number, component in enumerate((docpack(), langpack(), evalset())):
        package = make_package(tmp_path / str(number), components=[component])
        sign(package, amina)
        with pytest.raises(PackageRefused, match=r"amina may not sign .*pack|amina may not sign evalsets"):
            accept_packages(keys.folder, [package])
    theirs = make_package(tmp_path / "bens", components=[adapter()], contributor="ben")
    sign(theirs, amina)
    with pytest.raises(PackageRefused, match="ben, who is no contributor"):
        accept_packages(keys.folder, [theirs])
    let(keys, make_contributor(tmp_path / "ben", "ben"), name="ben")
    with pytest.raises(PackageRefused, match="is not signed by ben"):
        accept_packages(keys.folder, [theirs])


def test_a_model_is_not_a_contributors_to_sign(tmp_path: Path, amina: Path) -> None:
    with pytest.raises(PackageRefused, match="is a model"):
        sign(make_package(tmp_path / "p", components=[model()]), amina)
    assert not (tmp_path / "p/tuf").exists()


def test_two_packages_of_one_contributor_share_one_role(tmp_path: Path, keys: Keys, amina: Path) -> None:
    let(keys, amina)
    one = make_package(tmp_path / "one", components=[adapter(b"one", "one")])
    two = make_package(tmp_path / "two", components=[adapter(b"two", "two")])
    assert (sign(one, amina), sign(two, amina)) == (1, 2)
    newest = (two / "tuf/amina.json").read_bytes()
    for order in ([one, two], [two, one]):
        assert accept_packages(keys.folder, order).roles == {"amina": newest}


def test_signing_the_same_again_changes_nothing(tmp_path: Path, amina: Path) -> None:
    package = make_package(tmp_path / "p", components=[adapter()])
    sign(package, amina)
    first = (package / "tuf/amina.json").read_bytes()
    later = sign_package(package, amina, PASSPHRASE, date=DATE + timedelta(days=9))
    assert later.version == 1 and (package / "tuf/amina.json").read_bytes() == first


def test_a_version_never_changes_its_content(tmp_path: Path, amina: Path) -> None:
    sign(make_package(tmp_path / "a", components=[adapter(b"one")]), amina)
    with pytest.raises(PackageRefused, match="signed another adapters/amina/steps"):
        sign(make_package(tmp_path / "b", components=[adapter(b"two")]), amina)


def test_an_old_role_is_not_taken_again(tmp_path: Path, keys: Keys, amina: Path) -> None:
    let(keys, amina)
    package = make_package(tmp_path / "p", components=[adapter()])
    sign(package, amina, version=5)
    keep_given_out(keys.folder, accept_packages(keys.folder, [package]).roles)
    # She lost what she had signed, so her versions begin again, with another package.
    (amina.parent / "amina.json").unlink()
    other = make_package(tmp_path / "other", components=[adapter(b"other", "other")])
    assert sign(other, amina) == 1
    with pytest.raises(PackageRefused, match=r"version 5, does not cover .*other.*A version above 5"):
        accept_packages(keys.folder, [other])
    assert sign(other, amina, version=6) == 6
    assert accept_packages(keys.folder, [other]).roles["amina"] == (other / "tuf/amina.json").read_bytes()
    with pytest.raises(PackageRefused, match="does not cover adapters/amina/steps"):
        accept_packages(keys.folder, [package, other])  # until she signs the first one again as well
    assert sign(package, amina) == 7
    accept_packages(keys.folder, [package, other])


def test_every_changed_byte_of_a_package_is_refused(tmp_path: Path, keys: Keys, amina: Path) -> None:
    let(keys, amina)
    package = make_package(tmp_path / "p", components=[adapter()])
    sign(package, amina)
    # The index only tells what lies in the package, and headquarters writes another; it is not the contributor's word.
    index = digest_of_file(package / "index.json")[0].removeprefix("sha256:")
    files = [p for p in package.rglob("*") if p.is_file() and p.name not in ("oci-layout", "index.json", index)]
    assert len(files) == 4  # the manifest, its config, the weights, the role
    for path in files:
        good = path.read_bytes()
        for place in range(0, len(good), max(1, len(good) // 40)):
            path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
            with pytest.raises(BundleError):
                accept_packages(keys.folder, [package])
        path.write_bytes(good)
    accept_packages(keys.folder, [package])


def test_a_missing_blob_is_named(tmp_path: Path, keys: Keys, amina: Path) -> None:
    package = make_package(tmp_path / "p", components=[adapter()])
    sign(package, amina)
    layer = read_package(package).components[0].manifest.layers[0].blob
    (package / "blobs/sha256" / layer.digest[7:]).unlink()
    with pytest.raises(MissingFile, match=layer.digest[7:]):
        sign(package, amina)


def forge(package: Path, key: Path, change) -> None:  # type: ignore[no-untyped-def]
    """Sign the package's role again after changing it: what only a malicious contributor does."""
    from securesystemslib.signer import CryptoSigner

    from bundles.keys import open_key

    path = package / "tuf/amina.json"
    metadata = Metadata[Targets].from_file(str(path))
    change(metadata.signed)
    metadata.signatures.clear()
    metadata.sign(CryptoSigner(open_key(key, PASSPHRASE)))
    path.write_bytes(metadata.to_bytes(JSONSerializer()))


def test_delegating_anew_tells_which_paths_are_taken_away(keys: Keys, amina: Path) -> None:
    rest = ("--key", amina.with_suffix(".pub"), "--keys", keys.folder)
    first = call("delegate", "amina", "--paths", "langpacks/amina/*", "--paths", "adapters/amina/*", *rest)
    assert "No longer" not in first
    again = call("delegate", "amina", "--paths", "adapters/amina/*", *rest)
    assert "No longer: langpacks/amina/*. To keep them, name all paths in one command." in again


def test_a_contributor_cannot_delegate_onwards(tmp_path: Path, keys: Keys, amina: Path) -> None:
    let(keys, amina)
    package = make_package(tmp_path / "p", components=[adapter()])
    sign(package, amina)

    def onwards(role: Targets) -> None:
        ben = read_public(make_contributor(tmp_path / "ben", "ben").with_suffix(".pub"))
        role.delegations = delegate(Contributors(), "ben", ben, ["adapters/ben/*"]).delegations()

    forge(package, amina, onwards)
    with pytest.raises(PackageRefused, match="not written as"):
        accept_packages(keys.folder, [package])


def test_a_role_may_name_more_than_it_is_allowed_and_gains_nothing(tmp_path: Path, keys: Keys, amina: Path) -> None:
    let(keys, amina)
    package = make_package(tmp_path / "p", components=[adapter()])
    sign(package, amina)
    forge(
        package,
        amina,
        lambda role: role.targets.update({"stick/installer.pyz": TargetFile(1, {"sha256": "0" * 64}, "x")}),
    )
    assert [*accept_packages(keys.folder, [package]).packages[0].targets] == ["adapters/amina/steps-0.1.0"]


def test_a_revoked_contributor_and_all_that_was_given_out(tmp_path: Path, keys: Keys, amina: Path) -> None:
    let(keys, amina)
    package = make_package(tmp_path / "p", components=[adapter()])
    sign(package, amina)
    keep_given_out(keys.folder, accept_packages(keys.folder, [package]).roles)
    after = revoke_contributor(keys.folder, read_contributors(keys.folder), "amina", "stolen laptop")
    write_contributors(keys.folder, after)
    assert read_contributors(keys.folder).revoked == {"adapters/amina/steps-0.1.0": "stolen laptop"}
    with pytest.raises(PackageRefused, match="no contributor"):
        accept_packages(keys.folder, [package])
    # Trusted again with a new key: the old packages stay revoked.
    let(keys, make_contributor(tmp_path / "new"))
    with pytest.raises(PackageRefused, match="not signed by amina"):
        accept_packages(keys.folder, [package])
    sign(package, tmp_path / "new/amina.key", version=9)
    with pytest.raises(PackageRefused, match=r"adapters/amina/steps-0\.1\.0 was revoked: stolen laptop"):
        accept_packages(keys.folder, [package])


def test_a_slip_in_a_revoked_name_is_not_passed_over(tmp_path: Path, keys: Keys, amina: Path) -> None:
    let(keys, amina)
    package = make_package(tmp_path / "p", components=[adapter()])
    sign(package, amina)
    keep_given_out(keys.folder, accept_packages(keys.folder, [package]).roles)

    def revoke(target: str) -> str:
        return CliRunner().invoke(main, ["revoke", target, "--reason", "wrong", "--keys", str(keys.folder)]).output

    assert "every letter" in revoke("adapters/amina/step-0.1.0")
    assert "every letter" not in revoke("adapters/amina/steps-0.1.0")


def test_what_cannot_be_revoked_is_said() -> None:
    with pytest.raises(SigningError, match="no contributor"):
        revoke_contributor(Path(), Contributors(), "nobody", "why")
    for name in ("stick/installer.pyz", "adapters/amina", "adapters/amina/*"):
        with pytest.raises(SigningError, match="no signed name"):
            revoke_component(Contributors(), name, "why")


def test_a_damaged_list_of_contributors_is_not_started_again(keys: Keys) -> None:
    for text in (
        "{",
        "[]",
        '{"format": 2}',
        '{"format": 1, "contributors": {"a": {"key": "x", "paths": []}}, "revoked": {}}',
    ):
        (keys.folder / "contributors.json").write_text(text)
        with pytest.raises(SigningError):
            read_contributors(keys.folder)


def test_a_private_key_is_not_taken_for_a_public_one(amina: Path) -> None:
    with pytest.raises(SigningError, match="is a private key"):
        read_public(amina)


def test_fingerprints_are_those_of_ssh(amina: Path) -> None:
    public = amina.with_suffix(".pub")
    shown = subprocess.run(["ssh-keygen", "-l", "-f", public], capture_output=True, text=True, check=True).stdout
    assert read_public(public).fingerprint == shown.split()[1]


def test_a_key_of_ssh_keygens_own_will_do(tmp_path: Path, keys: Keys) -> None:
    key = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-a", "1", "-N", PASSPHRASE, "-f", key], check=True)
    public = read_public(tmp_path / "id_ed25519.pub")
    write_contributors(keys.folder, delegate(Contributors(), "amina", public, ["adapters/amina/*"]))
    package = make_package(tmp_path / "p", components=[adapter()])
    sign(package, key)
    accept_packages(keys.folder, [package])
    rsa = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", PASSPHRASE, "-f", rsa], check=True)
    with pytest.raises(SigningError, match="no Ed25519 key"):
        read_public(tmp_path / "rsa.pub")
    with pytest.raises(SigningError, match="no Ed25519 key"):
        sign(package, rsa)


def call(*words: str | Path) -> str:
    result = CliRunner(env={"FIELDPOST_PASSPHRASE": PASSPHRASE}).invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def test_the_commands_from_key_to_package(tmp_path: Path, keys: Keys, amina: Path) -> None:
    shown = call("key", "new", "ben", "--out", tmp_path / "ben")
    print_key = read_public(tmp_path / "ben/ben.pub").fingerprint
    assert print_key in shown and "ben.pub to the NGO" in shown
    words = ("delegate", "ben", "--paths", "adapters/ben/*", "--key", tmp_path / "ben/ben.pub", "--keys", keys.folder)
    assert print_key in call(*words)
    package = make_package(tmp_path / "p", components=[adapter()], contributor="ben")
    assert "adapters/ben/steps-0.1.0" in call("sign", package, "--key", tmp_path / "ben/ben.key")
    assert f"{print_key}  signs adapters/ben/*" in call("root", "show", keys.folder)
    accept_packages(keys.folder, [package])
    said = call("revoke", "adapters/ben/steps-0.1.0", "--reason", "wrong doses", "--keys", keys.folder)
    assert "adapters/ben/steps-0.1.0" in said
    assert "wrong doses" in call("root", "show", keys.folder)
    assert "ben can sign nothing" in call("revoke", "ben", "--reason", "left", "--keys", keys.folder)
    assert json.loads((keys.folder / "contributors.json").read_text())["contributors"] == {}
    shutil.copy(amina, tmp_path / "wrong.pub")
    assert "is a private key" in call(*words[:-3], tmp_path / "wrong.pub", *words[-2:])
