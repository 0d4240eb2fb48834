"""What headquarters takes from contributors, and what it refuses to take."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundles.build import Built, build
from bundles.check import check_bundle
from bundles.cli import main
from bundles.contribute import new_folder
from bundles.contribute_check import looked_into
from bundles.contributors import delegate, read_contributors, write_contributors
from bundles.errors import PackageRefused, RecipeError
from bundles.format.errors import BundleError, LicenceRefused, ScanRefused
from bundles.inspection import inspect_bundle
from bundles.keys import read_public
from bundles.lock import make_lock, write_lock
from bundles.package import sign_package
from bundles.recipe import load_recipe
from bundles.trust import open_signer
from bundles.write import write_components
from tests.support.bundle_factory import DATE, INSTALLER, PASSPHRASE, Keys, make_keys
from tests.support.kit import SHAPES, beginning, finished, make_amina, no_index, packed
from tests.support.tiny_llm import TinyModel, random_lora, write_peft


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return TinyModel.random("qwen3").write_gguf(tmp_path / "base.gguf")


@pytest.fixture
def amina(tmp_path: Path) -> Path:
    return make_amina(tmp_path / "amina")


@pytest.fixture
def keys(tmp_path: Path, amina: Path) -> Keys:
    """Headquarters', who let Amina sign adapters, language and document packs and what belongs to them."""
    made = make_keys(tmp_path / "keys")
    paths = [f"{kind}s/amina/*" for kind in ("adapter", "langpack", "docpack", "evalset", "dataset")]
    known = delegate(read_contributors(made.folder), "amina", read_public(amina.with_suffix(".pub")), paths)
    write_contributors(made.folder, known)
    return made


RECIPE = """
[bundle]
name = "clinic"
version = "1"
publisher = "relief"
title = "Clinic"
languages = ["en"]
[[model]]
name = "answers"
version = "1"
licence = "Apache-2.0"
file = "base.gguf"
[[package]]
folder = "from-amina"
"""


def taken(keys: Keys, recipe: Path, out: str = "out") -> Built:
    loaded = load_recipe(recipe)
    write_lock(loaded, make_lock(loaded, lambda *_: pytest.fail("nothing is on the Hub")))
    (recipe.parent / "installer.pyz").write_bytes(INSTALLER)
    place = {"out": recipe.parent / out, "installer": recipe.parent / "installer.pyz", "cache": recipe.parent / "cache"}
    return build(recipe, signer=open_signer(keys.folder, PASSPHRASE), date=DATE, indexer=no_index, **place)


def hq(tmp_path: Path, package: Path) -> Path:
    folder = tmp_path / "hq"
    folder.mkdir(exist_ok=True)
    shutil.copy(tmp_path / "base.gguf", folder)
    shutil.copytree(package, folder / "from-amina", dirs_exist_ok=True)
    (folder / "clinic.toml").write_text(RECIPE)
    return folder / "clinic.toml"


def test_an_adapter_reaches_a_bundle_with_its_makers_own_signature(base, amina, keys, tmp_path):
    recipe = hq(tmp_path, packed(finished(tmp_path / "f", base), tmp_path / "p", amina))
    bundle = taken(keys, recipe).folder
    checked = check_bundle(bundle, keys.root.read_bytes())
    assert "adapters/amina/amina-steps-0.1.0" in {c.target for c in checked.components}
    (targets,) = (bundle / "tuf").glob("*.targets.json")
    (role,) = (bundle / "tuf").glob("*.amina.json")
    assert "adapters/amina/amina-steps-0.1.0" not in json.loads(targets.read_bytes())["signed"]["targets"]
    assert "adapters/amina/amina-steps-0.1.0" in json.loads(role.read_bytes())["signed"]["targets"]
    card = next(c.card for c in inspect_bundle(bundle).components if c.kind == "adapter")
    assert "## Intended use\nWritten" in card
    again = taken(keys, recipe, "again").folder
    files = [p.relative_to(bundle) for p in bundle.rglob("*") if p.is_file()]
    assert all((bundle / name).read_bytes() == (again / name).read_bytes() for name in files)


def test_nothing_unfinished_is_packed(base, amina, tmp_path):
    folder = tmp_path / "f"
    new_folder(folder, beginning("adapter", base))
    words = ["pack", str(folder), "--key", str(amina), "--out", str(tmp_path / "p")]
    done = CliRunner().invoke(main, words, env={"FIELDPOST_PASSPHRASE": PASSPHRASE})
    assert done.exit_code == 1
    assert "README.md: amina-steps, Intended use" in done.output
    assert "changes nothing yet" in done.output
    assert not (tmp_path / "p").exists()


def test_a_folder_of_somebodys_is_not_replaced_by_a_package(base, amina, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "photos").touch()
    words = ["pack", str(finished(tmp_path / "f", base)), "--key", str(amina), "--out", str(tmp_path / "p")]
    done = CliRunner().invoke(main, words, env={"FIELDPOST_PASSPHRASE": PASSPHRASE})
    assert "no package" in done.output
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["photos"]


def test_an_adapter_for_another_model_is_not_taken(base, amina, keys, tmp_path):
    recipe = hq(tmp_path, packed(finished(tmp_path / "f", base), tmp_path / "p", amina))
    TinyModel.random("qwen3", seed=3).write_gguf(recipe.parent / "base.gguf")
    with pytest.raises(RecipeError, match="the very same file"):
        taken(keys, recipe)


def test_a_package_under_a_name_that_is_taken_is_refused(base, amina, keys, tmp_path):
    recipe = hq(tmp_path, packed(finished(tmp_path / "f", base), tmp_path / "p", amina))
    write_peft(recipe.parent / "peft", random_lora(SHAPES))
    own = '[[adapter]]\nname="amina-steps"\nversion="2"\nlicence="MIT"\nbase="answers"\npeft="peft"\n'
    recipe.write_text(RECIPE + own)
    with pytest.raises(RecipeError, match="there is another"):
        taken(keys, recipe)


def signed_by_hand(tmp_path: Path, base: Path, amina: Path, kind: str, spoil) -> Path:
    """A package whose maker went round ``pack``: its files spoilt before they are signed."""
    folder = finished(tmp_path / "f", base, kind)
    with looked_into(folder, cache=tmp_path / "cache", indexer=no_index) as looked:
        own = [spoil(component) for component in looked.own]
        write_components(looked.recipe, own, tmp_path / "p")
    sign_package(tmp_path / "p", amina, PASSPHRASE, date=DATE)
    return tmp_path / "p"


def layers_with(path: str, data: bytes, tmp_path: Path):
    """Exchanges one file of a component."""

    def spoil(component):
        other = tmp_path / "other"
        other.write_bytes(data)
        layers = [replace(x, here=other, sha256=None) if x.path == path else x for x in component.layers]
        return replace(component, layers=tuple(layers))

    return spoil


@pytest.mark.parametrize(
    ("kind", "path", "data", "error", "needle"),
    [
        ("adapter", "amina-steps.gguf", b"\x80\x04pickle", ScanRefused, "pickle"),
        ("adapter", "README.md", b"\x7fELF", ScanRefused, "a program"),
        ("docpack", "index.sqlite", b"another index", ScanRefused, "its index is not the one"),
        ("docpack", "example.md", b"PK\x03\x04zip", ScanRefused, "zip archive"),
        ("langpack", "glossary.csv", b"en;so", ScanRefused, "semicolons"),
        ("langpack", "strings/so.json", b'{"ask": "<script>"}', ScanRefused, "holds < >"),
        ("dataset", "examples.jsonl", b"\xff\xfe", ScanRefused, "not UTF-8"),
    ],
)
def test_headquarters_looks_into_what_contributors_signed(kind, path, data, error, needle, base, amina, keys, tmp_path):
    package = signed_by_hand(tmp_path, base, amina, kind, layers_with(path, data, tmp_path))
    with pytest.raises(error, match=needle):
        taken(keys, hq(tmp_path, package))


def test_a_contributors_licence_counts_as_much_as_a_recipes(base, amina, keys, tmp_path):
    spoil = lambda component: replace(component, licence="CC-BY-NC-4.0")  # noqa: E731
    with pytest.raises(LicenceRefused, match="forbids commercial use"):
        taken(keys, hq(tmp_path, signed_by_hand(tmp_path, base, amina, "dataset", spoil)))


def test_a_package_changed_on_its_way_or_from_a_stranger_is_refused(base, amina, keys, tmp_path):
    recipe = hq(tmp_path, packed(finished(tmp_path / "f", base, "langpack"), tmp_path / "p", amina))
    blob = max((recipe.parent / "from-amina/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + b"X")
    with pytest.raises(BundleError, match="damaged or was changed"):
        taken(keys, recipe)
    blob.write_bytes(whole)
    write_contributors(keys.folder, replace(read_contributors(keys.folder), by_name={}))
    with pytest.raises(PackageRefused, match="no contributor of yours"):
        taken(keys, recipe)
