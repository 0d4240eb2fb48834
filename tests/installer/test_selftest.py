"""Tests of installer.selftest: what answers worse is never used. The demo's own model answers."""

import json
import subprocess
from dataclasses import replace

import pytest

from installer.errors import SelfTestFailed
from installer.install import install
from installer.machine import look
from tests.support.bundle_factory import runtime
from tests.support.site import DEMO_RECIPE, Site, copy_recipe

BOX = replace(look(), memory=64_000_000_000)
ASKED = ("boil-mountain", "net-people", "door-power-sw", "bleach-cloudy")


def recipe_with_canary(folder, *, least=0.5):
    """The demo with four questions, what a box must reach on them, and its programs."""
    recipe = copy_recipe(DEMO_RECIPE, folder)
    questions = recipe.parent / "evalset" / "questions.jsonl"
    lines = questions.read_text().splitlines(keepends=True)
    questions.write_text("".join(line for line in lines if json.loads(line)["id"] in ASKED))
    figures = {lang: {"right": least} for lang in ("en", "sw")}
    thresholds = {"format": 1, "set": "questions", "model": "answers 0.1.0", "adapter": None, "limit": None}
    (recipe.parent / "least.json").write_text(json.dumps({**thresholds, "least": figures}))
    programs = runtime()
    ((name, data),) = programs.files.items()
    (recipe.parent / name).write_bytes(data)
    text = recipe.read_text().replace(
        'file = "evalset/questions.jsonl"',
        'file = "evalset/questions.jsonl"\nthresholds = ["least.json"]\nmay_fall = 0.2',
    )
    table = f'\n[[runtime]]\nname = "box"\nversion = "1"\nlicence = "MIT"\nfile = "{name}"\n'
    recipe.write_text(f'{text}{table}platform = "{name.removesuffix(".tar")}"\n')
    return recipe


def put(site):
    told = {"confirm": lambda *_: None, "progress": lambda *_: None}
    return install(site.bundle, site.home, machine=BOX, **told)


def files_of(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """A box whose first release passed, and the recipe it came from."""
    site = Site(folder=tmp_path_factory.mktemp("box"))
    site.make_keys()
    recipe = recipe_with_canary(site.folder)
    site.build(recipe)
    return site, recipe, put(site)


def test_a_release_that_answers_well_is_used_and_what_came_of_it_is_kept(box):
    site, _, done = box
    assert (done.release, done.changed) == (1, True)
    assert done.tested == "Tried out before it was used: 4 of 4 test questions answered rightly."
    kept = json.loads((site.home / "selftests/1.json").read_bytes())
    assert kept["passed"]
    assert set(kept["sets"]["questions"]["languages"]) == {"en", "sw"}
    assert not (site.home / "selftest").exists()
    assert not (site.home / "data").exists(), "nothing of it goes into the box's own data"


def test_a_release_whose_model_is_worse_is_refused_kept_and_told_question_by_question(box):
    site, recipe, _ = box
    weights = recipe.parent / "model" / "fieldpost-demo.gguf"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    try:
        site.build(recipe)
    finally:
        weights.write_bytes(whole)
    state = (site.home / "state.json").read_bytes()
    with pytest.raises(SelfTestFailed) as refused:
        put(site)
    words = str(refused.value)
    assert "does not answer well enough on this box" in words
    assert "en right: 0.000, at least 0.500 is needed" in words
    assert "Wrong now: boil-mountain: How many minutes must water boil above 2000 metres?" in words
    assert str((site.home / "current").readlink()) == "releases/1"
    assert (site.home / "state.json").read_bytes() == state, "what was not used raises no floor"
    assert (site.home / "releases/2/release.json").exists(), "it is kept for inspection"
    assert not json.loads((site.home / "selftests/2.json").read_bytes())["passed"]
    said = subprocess.run(
        [site.home / "fieldpost", "ask", "How many minutes must water boil above 2000 metres?", "--home", site.home],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "3 minutes" in said.stdout


def test_a_release_whose_programs_do_not_start_is_refused_in_words(box):
    site, recipe, _ = box
    ((name, _),) = runtime().files.items()
    ((_, data),) = runtime(entries={"lib/nothing.py": b""}).files.items()
    (recipe.parent / name).write_bytes(data)
    site.build(recipe)
    with pytest.raises(SelfTestFailed, match=r"cannot be tried out: .*appliance"):
        put(site)
    assert str((site.home / "current").readlink()) == "releases/1"
