"""The contributor's kit: a new folder passes its own check, says what is left to write, and is packed or published."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.exchange import Passage
from appliance.prompt import SYSTEM
from appliance.prompt import build as prompt_of
from appliance.questions import read as read_questions
from bundles.card import lacks, read_card, to_write
from bundles.cli import main
from bundles.contribute import KIT, new_folder
from bundles.errors import RecipeError
from bundles.scan import scan_weights
from tests.support.bundle_factory import PASSPHRASE
from tests.support.hub_double import HubDouble
from tests.support.kit import beginning, finished, make_amina
from tests.support.site import run
from tests.support.tiny_llm import TinyModel


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return TinyModel.random("qwen3").write_gguf(tmp_path / "base.gguf")


@pytest.fixture
def amina(tmp_path: Path) -> Path:
    return make_amina(tmp_path / "amina")


@pytest.mark.parametrize("kind", ["adapter", "langpack", "docpack", "dataset"])
def test_a_new_folder_passes_its_own_check_at_once(kind, base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["new", kind, "amina-steps", "--publisher", "amina", "--language", "so"]
    more = ["--base", str(base), "--base-licence", "Apache-2.0"] if kind == "adapter" else []
    assert CliRunner().invoke(main, [*words, *more]).exit_code == 0
    done = CliRunner().invoke(main, ["check", "amina-steps", "--no-eval"])
    assert done.exit_code == 0, done.output
    assert "Good. Still to do:" in done.output
    assert "README.md: amina-steps, Intended use, Limits, Data" in done.output
    assert "$" not in "".join(p.read_text() for p in Path("amina-steps").rglob("*.[tm][od]*"))


def test_a_question_about_a_document_that_is_not_there_is_told(base, tmp_path):
    folder = finished(tmp_path / "guides", base, "docpack")
    assert "asks about" not in CliRunner().invoke(main, ["check", str(folder), "--no-eval"]).output
    (folder / "docs" / "example.md").rename(folder / "docs" / "goats.md")
    done = CliRunner().invoke(main, ["check", str(folder), "--no-eval"])
    assert "amina-steps-questions asks about example.md, which is in no document pack here" in done.output


def test_the_samples_are_what_the_box_reads(base, tmp_path):
    folder = tmp_path / "f"
    new_folder(folder, beginning("adapter", base))
    assert read_questions(folder / "evalset" / "questions.jsonl")
    assert SYSTEM in (KIT / "adapter" / "train.py").read_text().replace('"\n    "', "")


def train_script():
    """The kit's script as a module; it imports torch only when it trains."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("kit_train", KIT / "adapter" / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_training_asks_as_the_box_asks():
    passage = {"title": "Safe water", "heading": "Boiling", "text": "Boil it."}
    real = Passage(
        id="d/w#1",
        docpack="d",
        document="w",
        title="Safe water",
        heading="Boiling",
        lang="en",
        text="Boil it.",
        start=0,
        end=8,
    )
    asked = train_script().messages({"question": "How?", "passages": [passage]})
    assert asked == [{"role": m.role, "content": m.content} for m in prompt_of("How?", [real])]


def test_what_is_kept_away_from_training_stays_away_and_no_question_lies_on_both_sides():
    script = train_script()
    few = [{"question": f"Question {n}?", "answer": "x"} for n in range(200)]
    more = few + [{"question": f"Another {n}?", "answer": "x"} for n in range(200)]
    twins = [{"question": f"  question {n} !", "answer": "y"} for n in range(200)]
    learnt, kept = script.divided([*more, *twins], 7)
    _, kept_before = script.divided(few, 7)
    assert {one["question"] for one in kept_before} <= {one["question"] for one in kept}
    plain = [{"".join(c for c in one["question"].casefold() if c.isalnum()) for one in side} for side in (learnt, kept)]
    assert not plain[0] & plain[1]
    assert 20 < len(kept) < 100


def test_a_card_says_what_it_lacks():
    whole = "---\nlicense: mit\nlanguage: [so]\n---\n# X\n" + "".join(
        f"## {name}\nText.\n" for name in ("Intended use", "Limits", "Data", "Licence")
    )
    assert lacks(read_card(whole), "MIT") == []
    assert lacks(read_card(whole), "Apache-2.0") == ["its front matter says license mit, and the recipe Apache-2.0"]
    assert "it has no section Limits" in lacks(read_card(whole.replace("## Limits", "")), "MIT")
    assert "front matter" in lacks(read_card("# X\n"), "MIT")[0]
    for broken in ("---\n{[\n---\n", "---\n- a\n---\n", f"---\n{'[' * 5000}\n---\n", "---\n&a [*a]\n---\n"):
        assert "front matter" in lacks(read_card(broken), "MIT")[0]
    assert to_write("# A\nTODO: x\n## B\nTODO\n") == ["A", "B"]


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        (lambda b: replace(b, licence="CC-BY-NC-4.0"), "forbids commercial use"),
        (lambda b: replace(b, name="Amina!"), "The name is 'Amina!'"),
        (lambda b: replace(b, base=None), "needs a base model"),
        (lambda b: replace(b, kind="dataset"), "has no base model"),
    ],
)
def test_a_beginning_that_leads_nowhere_is_refused(change, needle, base, tmp_path):
    with pytest.raises(RecipeError, match=needle):
        new_folder(tmp_path / "new", change(beginning("adapter", base)))
    assert not (tmp_path / "new").exists()


def test_an_adapter_whose_base_was_exchanged_is_refused(base, tmp_path):
    folder = finished(tmp_path / "f", base)
    TinyModel.random("qwen3", seed=9).write_gguf(base)
    done = CliRunner().invoke(main, ["check", str(folder), "--no-eval"])
    assert done.exit_code == 1
    assert "bad" in done.output
    assert "The recipe says" in done.output


def test_a_finished_folder_is_published_once_whole_on_the_hub(base, tmp_path):
    folder = finished(tmp_path / "f", base)
    with HubDouble() as hub:
        # The double speaks LFS; Xet, which huggingface_hub prefers where it can, is read once when it is imported.
        env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_for_a_test", "HF_HUB_DISABLE_XET": "1"}
        words = ("fieldpost-bundle", "publish", folder, "--repo", "amina/steps")
        hub.status = 403
        refused = run(*words, env=env, check=False)
        hub.heal()
        for _ in range(2):
            run(*words, env=env)
        there = hub.repositories["amina/steps"]
    assert "does not let you write to amina/steps" in refused.stderr
    files = there.commits[there.newest]
    assert hub.kinds == {"amina/steps": "model"}
    assert set(files) == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "amina-steps.gguf", "evalset/questions.jsonl"
    }  # fmt: skip
    assert files["adapter_model.safetensors"] == (folder / "peft" / "adapter_model.safetensors").read_bytes()
    assert scan_weights(_kept(tmp_path, files["amina-steps.gguf"]), adapter=True).architecture == "qwen3"
    assert hub.lfs, "nothing went through LFS"


def _kept(tmp_path: Path, data: bytes) -> Path:
    (tmp_path / "kept.gguf").write_bytes(data)
    return tmp_path / "kept.gguf"


def test_nothing_unfinished_is_published(base, tmp_path, monkeypatch):
    new_folder(tmp_path / "f", beginning("adapter", base))
    with HubDouble() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        done = CliRunner().invoke(main, ["publish", str(tmp_path / "f"), "--repo", "amina/steps"])
        assert not hub.requests
    assert done.exit_code == 1
    assert "Still to be done" in done.output


WINDOWS = """
import os, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("fork", "O_DIRECTORY", "posix_fadvise", "getuid", "geteuid", "fchmod"):
    delattr(os, name)
from bundles.cli import main
main()
"""


def test_the_contributors_path_needs_nothing_that_windows_lacks(base, amina, tmp_path):
    """In a process without POSIX modules: new, check, pack. The child that reads weights is limited there by time."""

    def go(*words):
        command = [sys.executable, "-c", WINDOWS, *map(str, words)]
        env = {
            "FIELDPOST_PASSPHRASE": PASSPHRASE,
            "PATH": "",
            "HOME": str(tmp_path),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)

    made = go("new", "adapter", "s", "--publisher", "amina", "--base", base, "--base-licence", "MIT")
    assert made.returncode == 0, made.stderr
    checked = go("check", "s", "--no-eval")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "limits no child's memory" in checked.stdout
    done = go("pack", finished(tmp_path / "f", base), "--key", amina, "--out", "p")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p" / "tuf" / "amina.json").exists()
