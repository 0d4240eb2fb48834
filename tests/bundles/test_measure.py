"""Tests of bundles.measure and bundles.thresholds: what a box chooses by, and what it tests itself by."""

import json

import pytest

from bundles.errors import RecipeError
from bundles.format.errors import ScanRefused
from bundles.recipe import load_recipe
from bundles.thresholds import check_thresholds
from tests.support.site import DEMO_RECIPE, copy_recipe, run

GOOD = {"format": 1, "set": "questions", "model": "answers 1", "adapter": None, "least": {"en": {"right": 0.5}}}


def test_each_model_is_measured_alone_and_through_its_adapters_and_a_recipe_takes_the_files(tmp_path):
    recipe = copy_recipe(DEMO_RECIPE, tmp_path)
    out = recipe.parent / "thresholds"
    done = run("fieldpost-bundle", "measure", recipe, "--out", out, "--limit", "2", "--json")
    (measured,) = json.loads(done.stdout)
    assert measured["model"] == "answers"
    assert measured["memory_mb"] > 100
    assert measured["memory_mb"] % 50 == 0
    told = [json.loads(path.read_text()) for path in sorted(out.iterdir())]
    assert [(one["set"], one["model"], one["adapter"], one["limit"]) for one in told] == [
        ("questions", "answers 0.1.0", "steps", 2),
        ("questions", "answers 0.1.0", None, 2),
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"set": "others"}, "recorded on the set others"),
        ({"format": 2}, "no file of thresholds"),
        ({"least": []}, "no file of thresholds"),
        ({"least": {}}, "no thresholds in en"),
    ],
)
def test_thresholds_of_another_set_or_without_a_language_are_refused(change, words):
    check_thresholds(json.dumps(GOOD), "x.json", set_name="questions", languages=("en",))
    with pytest.raises(ScanRefused, match=words):
        check_thresholds(json.dumps({**GOOD, **change}), "x.json", set_name="questions", languages=("en",))


def test_either_all_models_that_answer_are_measured_or_none(tmp_path):
    recipe = copy_recipe(DEMO_RECIPE, tmp_path)
    more = '\n[[model]]\nname = "small"\nversion = "1"\nlicence = "MIT"\nfile = "small.gguf"\nmemory_mb = 700\n'
    recipe.write_text(recipe.read_text() + more)
    with pytest.raises(RecipeError, match="model/answers has no memory_mb"):
        load_recipe(recipe)
