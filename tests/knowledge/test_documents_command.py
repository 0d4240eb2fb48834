"""``fieldpost documents``: a technician adds, lists and removes, and a box that is open answers from it at once."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.box import open_box
from appliance.cli import main
from appliance.config import Home
from tests.knowledge.reading import put
from tests.support.pdf import Line, pdf
from tests.support.site import Site

GOATS = pdf([[Line(text="Goats", size=20), Line(text="Give a goat hay and clean water each day.")]])


@pytest.fixture(scope="module")
def home(demo_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A box of this module's own, with the demo bundle."""
    copy = tmp_path_factory.mktemp("box") / "home"
    shutil.copytree(demo_site.home, copy, symlinks=True, ignore=shutil.ignore_patterns("data"))
    return copy


def run(*words: str, home: Path) -> Result:
    return CliRunner().invoke(main, ["documents", *words, "--home", str(home)])


def test_a_document_is_added_listed_answered_from_and_removed(home: Path, tmp_path: Path) -> None:
    file = put(tmp_path, "goats.pdf", GOATS)
    assert run("list", home=home).output == "No documents were added to this box.\n"
    with open_box(Home(root=home)) as box:
        assert not any(p.docpack == "uploads" for p in box.retriever.search("How much hay for a goat?", 3))
        added = run("add", str(file), home=home)
        assert (added.exit_code, added.stdout) == (0, "Added goats.pdf.\n"), added.output
        found = box.retriever.search("How much hay for a goat?", 3)[0]
        assert (found.id, found.page, found.title) == ("uploads/goats.pdf#1", 1, "Goats")
    (listed,) = json.loads(run("list", "--json", home=home).stdout)["documents"]
    assert (listed["name"], listed["title"], listed["pages"]) == ("goats.pdf", "Goats", 1)
    assert run("remove", "goats.pdf", home=home).output == "Removed goats.pdf.\n"
    assert "uploads" not in str(run("list", home=home).output)


def test_the_language_is_found_among_the_sites(home: Path, tmp_path: Path) -> None:
    text = "Chemsha maji kwa dakika moja kabla ya kunywa, kisha yaache yapoe ndani ya chombo safi chenye kifuniko."
    swahili = put(tmp_path, "maji.txt", text.encode())
    assert run("add", str(swahili), home=home).exit_code == 0
    listed = json.loads(run("list", "--json", home=home).stdout)["documents"]
    assert [one["lang"] for one in listed if one["name"] == "maji.txt"] == ["sw"]
    run("remove", "maji.txt", home=home)


def test_each_refusal_is_told_and_the_others_are_added(home: Path, tmp_path: Path) -> None:
    files = [put(tmp_path, "scan.pdf", pdf([None])), put(tmp_path, "hens.md", b"Hens eat maize.")]
    added = run("add", *map(str, files), home=home)
    assert added.exit_code == 1
    assert "scan.pdf is scanned" in added.stderr
    assert added.stdout == "Added hens.md.\n"
    missing = run("remove", "other.md", home=home)
    assert missing.exit_code == 1
    assert "Here are: hens.md" in missing.stderr
