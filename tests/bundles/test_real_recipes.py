"""The recipes that ship, and one of files from elsewhere, built with the box's real indexer."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from bundles.build import Built, build
from bundles.card import lacks, read_card
from bundles.check import check_bundle
from bundles.errors import IndexFailed
from bundles.fetch import HubFile, HubListing, list_repository
from bundles.format.layout import blob_path
from bundles.indexer import fieldpost_index
from bundles.inspection import inspect_bundle
from bundles.licences import check_licences
from bundles.lock import make_lock, read_lock, write_lock
from bundles.recipe import load_recipe
from bundles.trust import open_signer
from tests.support.bundle_factory import DATE, INSTALLER, PASSPHRASE, Keys, make_keys

BUNDLES = Path(__file__).parents[2] / "bundles"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


def make(recipe: Path, keys: Keys, out: Path) -> Built:
    loaded = load_recipe(recipe)
    write_lock(loaded, make_lock(loaded, list_repository))
    installer = keys.folder.parent / "installer.pyz"
    installer.write_bytes(INSTALLER)
    signer = open_signer(keys.folder, PASSPHRASE)
    return build(recipe, out=out, signer=signer, installer=installer, cache=out.with_name("cache"), date=DATE)


def file_of(bundle: Path, kind: str, path: str) -> Path:
    """Where a component's file lies among the blobs."""
    for entry in json.loads((bundle / "index.json").read_bytes())["manifests"]:
        manifest = json.loads((bundle / blob_path(entry["digest"])).read_bytes())
        for layer in manifest["layers"]:
            if manifest["annotations"]["org.fieldpost.kind"] == kind and path in layer["annotations"].values():
                return bundle / blob_path(layer["digest"])
    raise AssertionError(f"no {path} in a {kind}")


def test_the_demo_recipe_makes_a_whole_bundle_twice_the_same(tmp_path: Path, keys: Keys) -> None:
    shutil.copytree(BUNDLES / "demo", tmp_path / "demo", ignore=shutil.ignore_patterns("training", "__pycache__"))
    one = make(tmp_path / "demo" / "recipe.toml", keys, tmp_path / "one").folder
    checked = check_bundle(one, keys.root.read_bytes())
    assert [c.target.split("/")[0] for c in checked.components] == [
        "models",
        "adapters",
        "langpacks",
        "docpacks",
        "evalsets",
    ]
    facts = {c.kind: c for c in inspect_bundle(one).components}
    assert facts["langpack"].annotations == {"org.fieldpost.pairs": "en>sw,sw>en"}
    weights = file_of(one, "model", "fieldpost-demo.gguf")
    assert facts["adapter"].annotations == {"org.fieldpost.base": f"sha256:{weights.name}"}
    assert all(c.title != c.name for c in facts.values()), "a card has no heading"
    two = make(tmp_path / "demo" / "recipe.toml", keys, tmp_path / "two").folder
    assert check_bundle(two, keys.root.read_bytes()) == checked
    assert (two / "tuf/timestamp.json").read_bytes() == (one / "tuf/timestamp.json").read_bytes()


def test_a_docpacks_index_is_made_by_the_boxs_command(tmp_path: Path) -> None:
    document = BUNDLES / "demo" / "docs" / "safe-water.md"
    fieldpost_index([document], docpack="guides", language="en", out=tmp_path / "index.sqlite")
    with contextlib.closing(sqlite3.connect(tmp_path / "index.sqlite")) as database:
        assert database.execute("select count(*) from sqlite_master").fetchone()[0] > 0


def test_a_document_that_cannot_be_indexed_fails_with_the_commands_words(tmp_path: Path) -> None:
    with pytest.raises(IndexFailed, match="docpack/guides: fieldpost index ended with"):
        fieldpost_index([tmp_path / "none.md"], docpack="guides", language="en", out=tmp_path / "i.sqlite")


@pytest.mark.needs_shared
@pytest.mark.parametrize("absolute", [True, False])
def test_files_from_elsewhere_without_documents(tmp_path: Path, keys: Keys, shared: Path, absolute: bool) -> None:
    models = shared / "models"
    if not absolute:
        (tmp_path / "recipe").mkdir()
        models = Path("../models")
        (tmp_path / "models").symlink_to(shared / "models")
    recipe = tmp_path / "recipe" / "recipe.toml"
    recipe.parent.mkdir(exist_ok=True)
    recipe.write_text(
        f"""
[bundle]
name = "stories"
version = "1"
publisher = "elsewhere"
title = "Stories"
languages = ["en"]
[[model]]
name = "stories"
version = "1"
licence = "MIT"
file = "{models}/stories260K-chat.gguf"
[[adapter]]
name = "water"
version = "1"
licence = "MIT"
base = "stories"
file = "{models}/stories260K-lora-demo.gguf"
"""
    )
    bundle = make(recipe, keys, tmp_path / "out").folder
    assert [c.target for c in check_bundle(bundle, keys.root.read_bytes()).components] == [
        "models/elsewhere/stories-1",
        "adapters/elsewhere/water-1",
    ]
    original = (shared / "models/stories260K-chat.gguf").read_bytes()
    assert file_of(bundle, "model", "stories260K-chat.gguf").read_bytes() == original
    assert str(tmp_path) not in (recipe.parent / "recipe.lock.json").read_text()


RECIPES = sorted((BUNDLES / "recipes").glob("*.toml"))


def test_there_is_a_recipe_for_each_kind_of_site() -> None:
    assert {path.stem for path in RECIPES} >= {"clinic", "farm", "minimal-2gb", "school"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_pinned_and_locks(path: Path, tmp_path: Path) -> None:
    """Against a listing that says what the recipe pins: the real Hub is not asked by tests."""
    shutil.copytree(path.parent, tmp_path / "recipes")
    recipe = load_recipe(tmp_path / "recipes" / path.name)
    sources = [part.source for c in recipe.components for part in c.parts if hasattr(part.source, "repo")]
    assert all(source.sha256 for source in sources), "pin the sha256; where no revision is, lock records today's"

    def lister(repo: str, revision: str | None) -> HubListing:
        files = {s.file: HubFile(size=1, sha256=s.sha256) for s in sources if s.repo == repo}
        return HubListing(repo=repo, revision=revision or "0" * 40, files=files)

    assert len(make_lock(recipe, lister)) >= len(sources)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_may_be_passed_on_and_says_what_it_needs_and_why(path: Path) -> None:
    recipe = load_recipe(path)
    check_licences(recipe)
    assert recipe.ram_mb
    assert recipe.why
    head = path.read_text(encoding="utf-8").partition("format = 1")[0]
    assert all(f"#   {word}" in head for word in ("RAM", "Disk", "Licence", "Why"))
    answering = [c for c in recipe.components if c.kind == "model" and c.task == "answer"]
    assert answering[0] == recipe.components[0], "the first model answers"
    for component in recipe.components:
        (card,) = [part.source.file for part in component.parts if part.role == "card"]
        assert lacks(read_card((path.parent / card).read_text(encoding="utf-8")), component.licence) == []


def test_a_recipe_whose_every_fact_is_known_brings_its_lock() -> None:
    """Revision, size and SHA-256; of the others no revision was on record, and a lock is not guessed."""
    recipe = load_recipe(BUNDLES / "recipes" / "pocket.toml")
    sources = [part.source for c in recipe.components for part in c.parts if hasattr(part.source, "repo")]
    assert all(source.revision and source.sha256 for source in sources)
    locked = read_lock(recipe)
    (weights,) = (file for file in locked if file.role == "weights")
    assert (weights.size, weights.sha256, weights.source) == (639_446_688, sources[0].sha256, sources[0])


def test_a_distillation_is_bound_by_its_base_as_well() -> None:
    licences = {c.name: c.licence for path in RECIPES for c in load_recipe(path).components}
    assert {name: licence for name, licence in licences.items() if "deepseek" in name} == {
        "deepseek-r1-distill-qwen-1.5b": "MIT AND Apache-2.0"
    }
