"""The lock names every file exactly, is the same everywhere, and notices every change."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bundles.errors import LockError, RecipeError
from bundles.fetch import HubFile, HubListing
from bundles.lock import make_lock, read_lock, write_lock
from bundles.recipe import load_recipe

RECIPE = """
[bundle]
name = "clinic"
version = "1.0.0"
publisher = "relief"
title = "Clinic"
languages = ["en"]
[[model]]
name = "answers"
version = "1"
licence = "MIT"
card = "cards/answers.md"
hub = "org/tiny"
file = "sub/tiny.gguf"
[[docpack]]
name = "guides"
version = "1"
licence = "MIT"
language = "en"
files = ["docs/*.md", "extra.txt"]
"""
COMMIT = "1" * 40
LISTING = HubListing(
    repo="org/tiny",
    revision=COMMIT,
    files={"sub/tiny.gguf": HubFile(size=77, sha256="a" * 64), "config.json": HubFile(size=3, sha256=None)},
)


def lister(repo: str, revision: str | None) -> HubListing:
    assert repo == "org/tiny" and revision in (None, COMMIT)
    return LISTING


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for name, text in {
        "cards/answers.md": "# Answers\n",
        "docs/b.md": "# B\n",
        "docs/a.md": "# A\n",
        "docs/ignored.pdf": "x",
        "extra.txt": "more",
        "recipe.toml": RECIPE,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "recipe.toml"


def locked(recipe: Path) -> Path:
    loaded = load_recipe(recipe)
    return write_lock(loaded, make_lock(loaded, lister))


def test_every_file_has_size_digest_and_source(recipe: Path) -> None:
    path = locked(recipe)
    assert path.name == "recipe.lock.json"
    raw = json.loads(path.read_text())
    assert [(f["component"], f["role"], f["path"], f["size"]) for f in raw["files"]] == [
        ("model/answers", "weights", "tiny.gguf", 77),
        ("model/answers", "card", "README.md", 10),
        ("docpack/guides", "documents", "a.md", 4),
        ("docpack/guides", "documents", "b.md", 4),
        ("docpack/guides", "documents", "extra.txt", 4),
    ]
    assert raw["files"][0]["source"] == {"file": "sub/tiny.gguf", "hub": "org/tiny", "revision": COMMIT}
    assert raw["files"][2]["sha256"] == hashlib.sha256(b"# A\n").hexdigest()
    assert str(recipe.parent) not in path.read_text()


def test_the_same_files_give_the_same_bytes(recipe: Path) -> None:
    first = locked(recipe).read_bytes()
    assert locked(recipe).read_bytes() == first


def test_a_lock_is_read_back_as_it_was_made(recipe: Path) -> None:
    locked(recipe)
    loaded = load_recipe(recipe)
    assert read_lock(loaded) == make_lock(loaded, lister)


def test_an_absolute_path_is_locked_relative_to_the_recipe(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(RECIPE.replace('"extra.txt"', f'"{tmp_path / "extra.txt"}"'))
    assert str(tmp_path) not in locked(recipe).read_text()
    assert read_lock(load_recipe(recipe))[-1].source.file == "extra.txt"


def rewrite(old: str, new: str) -> Callable[[Path], None]:
    def act(recipe: Path) -> None:
        text = recipe.read_text()
        assert old in text
        recipe.write_text(text.replace(old, new))

    return act


def edit_lock(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def act(recipe: Path) -> None:
        path = recipe.with_name("recipe.lock.json")
        raw = json.loads(path.read_text())
        change(raw)
        path.write_text(json.dumps(raw))

    return act


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        (lambda recipe: (recipe.parent / "docs/c.md").write_text("# C\n"), "c.md of docpack/guides is not in the lock"),
        (lambda recipe: (recipe.parent / "docs/b.md").unlink(), "b.md of docpack/guides is in the lock and not"),
        (rewrite('version = "1.0.0"', 'version = "1.0.1"'), "is for clinic 1.0.0"),
        (rewrite('"sub/tiny.gguf"', '"other/tiny.gguf"'), "another source"),
        (rewrite('"sub/tiny.gguf"', f'"sub/tiny.gguf"\nrevision = "{"2" * 40}"'), "another source"),
        (rewrite('"sub/tiny.gguf"', f'"sub/tiny.gguf"\nsha256 = "{"b" * 64}"'), "another source"),
        (
            rewrite('hub = "org/tiny"\nfile = "sub/tiny.gguf"', 'file = "docs/a.md"'),
            "a.md of model/answers is not in the lock",
        ),
        (edit_lock(lambda raw: raw.update(format=2)), "format 2"),
        (edit_lock(lambda raw: raw["files"][0].update(sha256="A" * 64)), "ill-formed"),
        (edit_lock(lambda raw: raw["files"][0].update(size=True)), "ill-formed"),
        (edit_lock(lambda raw: raw.pop("files")), "KeyError"),
        (lambda recipe: recipe.with_name("recipe.lock.json").unlink(), "has no lock"),
    ],
)
def test_a_lock_that_is_not_the_recipes_is_refused(recipe: Path, change: Callable[[Path], object], needle: str) -> None:
    locked(recipe)
    change(recipe)
    with pytest.raises(LockError) as caught:
        read_lock(load_recipe(recipe))
    assert needle in str(caught.value)
    assert "fieldpost-bundle lock" in str(caught.value)


def test_pinning_what_was_locked_keeps_the_lock(recipe: Path) -> None:
    locked(recipe)
    rewrite('"sub/tiny.gguf"', f'"sub/tiny.gguf"\nrevision = "{COMMIT}"\nsha256 = "{"a" * 64}"')(recipe)
    assert read_lock(load_recipe(recipe))[0].sha256 == "a" * 64


@pytest.mark.parametrize(
    ("change", "error", "needle"),
    [
        (rewrite('"sub/tiny.gguf"', f'"sub/tiny.gguf"\nsha256 = "{"b" * 64}"'), LockError, "has SHA-256 aaaa"),
        (rewrite('"sub/tiny.gguf"', '"sub/none.gguf"'), LockError, "has no sub/none.gguf. It has sub/tiny.gguf."),
        (rewrite('"sub/tiny.gguf"', '"config.json"'), LockError, "keeps no SHA-256"),
        (rewrite('"cards/answers.md"', '"cards/none.md"'), RecipeError, "cards/none.md, which is not there"),
        (rewrite('"docs/*.md"', '"docs/*.txt"'), RecipeError, "matches no file"),
        (rewrite('"docs/*.md"', '"docs/*.md", "docs/a.md"'), RecipeError, "two files called a.md"),
    ],
)
def test_what_cannot_be_locked(
    recipe: Path, change: Callable[[Path], None], error: type[Exception], needle: str
) -> None:
    change(recipe)
    with pytest.raises(error) as caught:
        locked(recipe)
    assert needle in str(caught.value)


def test_a_files_own_pin_is_checked(recipe: Path) -> None:
    rewrite('hub = "org/tiny"\nfile = "sub/tiny.gguf"', f'file = "docs/ignored.pdf"\nsha256 = "{"c" * 64}"')(recipe)
    with pytest.raises(LockError, match="The recipe says cccc"):
        locked(recipe)


def test_no_document_takes_the_indexs_place(recipe: Path) -> None:
    (recipe.parent / "index.sqlite").write_text("mine")
    rewrite('"extra.txt"', '"index.sqlite"')(recipe)
    with pytest.raises(RecipeError, match=r"two files called index\.sqlite"):
        locked(recipe)
