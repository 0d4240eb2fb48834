"""Argos packages as they are published become a language pack of a recipe, by one command."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundles.build import build
from bundles.check import check_bundle
from bundles.cli import main
from bundles.inspection import inspect_bundle
from bundles.recipe import load_recipe
from bundles.trust import open_signer
from tests.support.bundle_factory import DATE, INSTALLER, PASSPHRASE, make_keys
from tests.support.site import DEMO_RECIPE

DEMO = DEMO_RECIPE.parent
PACKAGES = [DEMO / "langpack" / f"translate-{pair}-0_1.argosmodel" for pair in ("en_sw", "sw_en")]
RECIPE = """# A clinic's own words stay as they are.
[bundle]
name = "clinic"
version = "1"
publisher = "relief"
title = "Clinic"
languages = ["en", "sw"]

[[model]]
name = "answers"
version = "1"
licence = "Apache-2.0"
file = "fieldpost-demo.gguf"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    shutil.copy(DEMO / "model" / "fieldpost-demo.gguf", tmp_path)
    (tmp_path / "clinic.toml").write_text(RECIPE)
    return tmp_path / "clinic.toml"


def published(package: Path, folder: Path, **more: bytes) -> Path:
    """The package as most are published: with Stanza data."""
    folder.mkdir(exist_ok=True)
    out = folder / package.name
    shutil.copy(package, out)
    with zipfile.ZipFile(out, "a") as archive:
        top = archive.namelist()[0].split("/")[0]
        for name, data in {
            "stanza/en/tokenize/ewt.pt": b"\x80\x02pickle",
            "stanza/resources.json": b"{}",
            **more,
        }.items():
            archive.writestr(f"{top}/{name}", data)
    return out


def add(recipe: Path, *packages: Path, licence: str = "CC0-1.0", name: str = "en-sw"):
    words = ["add-langpack", str(recipe), *map(str, packages), "--name", name, "--licence", licence]
    return CliRunner().invoke(main, words)


def test_published_packages_reach_a_bundle(recipe: Path, tmp_path: Path) -> None:
    said = add(recipe, *(published(one, tmp_path / "down") for one in PACKAGES))
    assert said.exit_code == 0, said.output
    assert "en>sw; left out 2 files of Stanza data" in said.output
    assert recipe.read_text().startswith(RECIPE)
    assert CliRunner().invoke(main, ["lock", str(recipe)]).exit_code == 0
    locked = json.loads(recipe.with_suffix(".lock.json").read_bytes())["files"]
    assert all(one["sha256"] in said.output for one in locked if one["role"] == "argos")
    keys = make_keys(tmp_path / "keys")
    (tmp_path / "installer.pyz").write_bytes(INSTALLER)
    place = {"installer": tmp_path / "installer.pyz", "cache": tmp_path / "cache"}
    signer = open_signer(keys.folder, PASSPHRASE)
    bundle = build(recipe, out=tmp_path / "out", signer=signer, date=DATE, **place).folder
    check_bundle(bundle, keys.root.read_bytes())
    (langpack,) = (c for c in inspect_bundle(bundle).components if c.kind == "langpack")
    assert langpack.annotations == {"org.fieldpost.pairs": "en>sw,sw>en"}


def test_the_same_package_gives_the_same_bytes(recipe: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        package = published(PACKAGES[0], tmp_path / "down")
        assert add(recipe, package, name=f"try-{number}").exit_code == 0
        (tmp_path / "langpacks" / package.name).rename(tmp_path / f"{number}.argosmodel")
        recipe.write_text(RECIPE)
    assert (tmp_path / "1.argosmodel").read_bytes() == (tmp_path / "2.argosmodel").read_bytes()


@pytest.mark.parametrize(
    ("more", "licence", "name", "needle"),
    [
        ({"model/code.py": b"import os"}, "CC0-1.0", "en-sw", "has no place in an Argos package"),
        ({"../../out": b"x"}, "CC0-1.0", "en-sw", "leads out of the package"),
        ({}, "CC-BY-NC-4.0", "en-sw", "forbids commercial use"),
        ({}, 'MIT"\nfile = "x', "en-sw", "licence"),
        ({}, "CC0-1.0", "En Sw!", "name"),
    ],
)
def test_what_is_refused_changes_nothing(more, licence, name, needle, recipe: Path, tmp_path: Path) -> None:
    said = add(recipe, published(PACKAGES[0], tmp_path / "down", **more), licence=licence, name=name)
    assert said.exit_code == 1 and needle in said.output
    assert recipe.read_text() == RECIPE and load_recipe(recipe)
    assert not list((tmp_path / "langpacks").glob("*"))


def test_nothing_that_is_there_is_replaced(recipe: Path, tmp_path: Path) -> None:
    assert add(recipe, PACKAGES[0]).exit_code == 0
    before = recipe.read_text()
    assert "has a langpack en-sw already" in add(recipe, PACKAGES[1]).output
    assert "is there already" in add(recipe, PACKAGES[0], name="again").output
    (tmp_path / "junk.argosmodel").write_bytes(b"PK\x03\x04 no zip")
    assert "no sound zip archive" in add(recipe, tmp_path / "junk.argosmodel", name="junk").output
    assert recipe.read_text() == before
