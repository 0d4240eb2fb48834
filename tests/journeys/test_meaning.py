"""A bundle with an embedding model, from recipe to answer: what shares no word is found, in added documents too."""

import json
import shutil
import sqlite3

import pytest

from tests.support.site import ROOT, Site, installed_demo, run

RECIPE = """
format = 1
[bundle]
name = "by-meaning"
version = "1"
publisher = "fieldpost"
title = "Found by meaning"
languages = ["en"]
[[model]]
name = "answers"
version = "1"
licence = "Apache-2.0"
file = "fieldpost-demo.gguf"
[[model]]
name = "meanings"
version = "1"
licence = "Apache-2.0"
task = "embed"
file = "all-MiniLM-L6-v2-Q8_0.gguf"
[[docpack]]
name = "guides"
version = "1"
licence = "Apache-2.0"
language = "en"
files = ["docs/*.md"]
"""
HENS = "# Poultry\n\nA hen that coughs and sneezes is kept away from the flock.\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, shared) -> Site:
    folder = tmp_path_factory.mktemp("meaning")
    (folder / "recipe").mkdir()
    shutil.copy(ROOT / "bundles/demo/model/fieldpost-demo.gguf", folder / "recipe")
    shutil.copy(shared / "models/all-MiniLM-L6-v2-Q8_0.gguf", folder / "recipe")
    shutil.copytree(ROOT / "bundles/demo/docs", folder / "recipe/docs")
    (folder / "recipe/recipe.toml").write_text(RECIPE)
    site = installed_demo(folder, folder / "recipe/recipe.toml")
    (site.home / "config.toml").write_text('[answer]\nmode = "extractive"\n')  # what is found matters here, not said
    return site


def documents(site: Site, question: str) -> list[str]:
    return [passage["document"] for passage in site.ask(question)["passages"]]


def status(site: Site) -> dict:
    return json.loads(run("fieldpost", "status", "--home", site.home, "--json").stdout)


@pytest.mark.needs_shared
def test_a_bundle_that_embeds_is_asked_by_meaning(site: Site, tmp_path) -> None:
    before = status(site)
    assert "model meanings 1" in before["components"]
    assert before["document_problems"] == []
    question = "Somebody was bitten by a viper"
    assert documents(site, question)[0] == "snake-bite.md"

    (tmp_path / "poultry.md").write_text(HENS)
    run("fieldpost", "documents", "add", tmp_path / "poultry.md", "--home", site.home)
    assert documents(site, "My chickens have caught a cold")[0] == "poultry.md"

    # A release whose index another model made, as when a bundle was put together by hand.
    (index,) = (site.home / "current").resolve().rglob("index.sqlite")
    there = index.read_bytes()
    index.parent.chmod(0o755)
    index.unlink()  # it is the store's file too
    index.write_bytes(there)
    with sqlite3.connect(index) as connection:
        connection.execute("update docpack set embedder = ?", ["0" * 64])
    connection.close()
    after = status(site)
    (problem,) = after["document_problems"]
    assert "guides is searched by words only" in problem
    assert after["passages"] == before["passages"] + 1
    assert documents(site, question) == []
    assert documents(site, "How much zinc does a child with diarrhoea get?")[0] == "oral-rehydration.md"
