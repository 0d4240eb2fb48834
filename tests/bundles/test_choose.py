"""compare and quantize, with the real installer, box and llama.cpp on the demo's parts."""

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

from appliance.engine.quantize import perplexity
from bundles.compare import candidates
from bundles.errors import TrialFailed
from bundles.quantize import shrink
from bundles.recipe import load_recipe
from bundles.scan import scan_weights
from tests.support.site import DEMO_RECIPE, copy_recipe, run
from tests.support.tiny_llm import TinyModel
from tests.support.weights import in_f32

DEMO = DEMO_RECIPE.parent


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's model in F32: what was Q8_0 is exact in it."""
    return in_f32(DEMO / "model" / "fieldpost-demo.gguf", tmp_path_factory.mktemp("w") / "demo-F32.gguf")


def test_fewer_bits_change_more_and_the_change_is_told(whole, tmp_path):
    told = []
    made = shrink(whole, ["Q8_0", "Q4_0"], tmp_path, texts=[DEMO / "docs" / "radio.md"], tell=told.append)
    assert [one.path.name for one in made] == ["demo-F32.gguf", "demo-Q8_0.gguf", "demo-Q4_0.gguf"]
    source, eight, four = made
    assert source.bytes > 3 * eight.bytes > 4 * four.bytes
    # The demo's model copies out of what it is given; bare prose it foresees so badly that fewer bits can even help.
    changed = [abs(one.perplexity / source.perplexity - 1) for one in (eight, four)]
    assert changed[0] < 0.02 < changed[1]
    assert scan_weights(four.path, adapter=False).architecture == "qwen2"
    types = {t.name: t.tensor_type.name for t in gguf.GGUFReader(four.path).tensors}
    assert types["blk.0.ffn_down.weight"] == "Q4_0"
    assert len(told) == 5


def test_perplexity_is_what_the_scores_say(tmp_path):
    """Against the model's own mathematics in NumPy: every token of the second half, foreseen from all before it."""
    model = TinyModel.random("qwen3")
    letters = [1 + (n * 7) % 26 for n in range(40)]
    surprise = 0.0
    for at in range(21, 40):
        scores = model.logits(letters[:at])
        surprise += np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[letters[at]]
    text = "".join(chr(0x60 + letter) for letter in letters)
    found = perplexity(model.write_gguf(tmp_path / "m.gguf"), text, threads=1)
    assert found.tokens == 19
    assert found.value == pytest.approx(np.exp(surprise / 19), rel=0.01)


def test_what_was_quantized_once_is_not_quantized_again(tmp_path):
    with pytest.raises(TrialFailed, match="not quantized again"):
        shrink(DEMO / "model" / "fieldpost-demo.gguf", ["Q4_0"], tmp_path, texts=[], tell=print)
    assert list(tmp_path.iterdir()) == []


def test_candidates_side_by_side(whole, tmp_path):
    """Another file in the place of the recipe's model, alone and through the recipe's adapter."""
    recipe = copy_recipe(DEMO_RECIPE, tmp_path)
    recipe.with_suffix(".lock.json").unlink(missing_ok=True)  # as it is now
    text = recipe.read_text()
    recipe.write_text(text[: text.index("[[langpack]]")] + text[text.index("[[docpack]]") :])
    questions = tmp_path / "three.jsonl"
    lines = (DEMO / "evalset" / "questions.jsonl").read_text().splitlines()
    english = [line for line in lines if json.loads(line)["lang"] == "en" and json.loads(line)["answerable"]]
    questions.write_text("\n".join(english[:3]) + "\n")
    words = ("compare", recipe, "--model", whole, "--set", questions, "--json")
    alone, through = json.loads(run("fieldpost-bundle", *words).stdout)
    assert [(c["candidate"], c["adapter"]) for c in (alone, through)] == [("demo-F32", None), ("demo-F32", "steps")]
    assert all(c["right"]["n"] == 3 and c["tokens_per_s"] > 0 and c["ram_mb"] > 20 for c in (alone, through))
    assert alone["weights_bytes"] == whole.stat().st_size
    assert alone["right"]["value"] >= 2 / 3
    assert {c["licence"] for c in (alone, through)} == {"Apache-2.0"}


def test_what_quantizing_loses_in_answers_is_told_beside_the_sizes(whole, tmp_path):
    recipe = copy_recipe(DEMO_RECIPE, tmp_path)
    recipe.with_suffix(".lock.json").unlink(missing_ok=True)  # as it is now
    text = recipe.read_text()
    recipe.write_text(text[: text.index("[[adapter]]")])
    questions = tmp_path / "one.jsonl"
    lines = (DEMO / "evalset" / "questions.jsonl").read_text().splitlines()
    questions.write_text(next(line for line in lines if json.loads(line)["lang"] == "en") + "\n")
    words = ("quantize", whole, "--to", "Q8_0", "--out", tmp_path / "small")
    told = json.loads(run("fieldpost-bundle", *words, "--recipe", recipe, "--set", questions, "--json").stdout)
    assert [one["kind"] for one in told["weights"]] == ["source", "Q8_0"]
    assert [one["candidate"] for one in told["compared"]] == ["demo-F32", "demo-Q8_0"]
    source, eight = told["compared"]
    assert all(one["right"]["n"] == 1 and one["ram_mb"] > 20 for one in (source, eight))
    assert eight["weights_bytes"] == (tmp_path / "small" / "demo-Q8_0.gguf").stat().st_size
    assert eight["weights_bytes"] < source["weights_bytes"] / 3


def test_a_licence_that_forbids_it_is_shown_and_the_questions_replace_the_recipes_own(tmp_path):
    recipe = copy_recipe(DEMO_RECIPE, tmp_path)
    recipe.with_suffix(".lock.json").unlink(missing_ok=True)  # as it is now
    shutil.copy(DEMO / "evalset" / "questions.jsonl", tmp_path / "mine.jsonl")
    (one,) = candidates([recipe], tmp_path / "mine.jsonl")
    assert one.label == "demo"
    assert [c.name for c in one.recipe.components if c.kind == "evalset"] == ["compared"]
    assert load_recipe(recipe).components != one.recipe.components
