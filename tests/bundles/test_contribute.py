"""The contributor's kit: a new folder passes its own check, says what is left to write, and becomes a signed package
that headquarters takes into a bundle; and what headquarters refuses to take."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.evals.questions import read as read_questions
from appliance.exchange import Passage
from appliance.prompt import SYSTEM
from appliance.prompt import build as prompt_of
from bundles.build import Built, build
from bundles.card import lacks, read_card, to_write
from bundles.check import check_bundle
from bundles.cli import main
from bundles.contribute import KIT, Base, Beginning, new_folder
from bundles.contribute_check import looked_into
from bundles.contributors import delegate, read_contributors, write_contributors
from bundles.errors import PackageRefused, RecipeError
from bundles.format.errors import BundleError, LicenceRefused, ScanRefused
from bundles.inspection import inspect_bundle
from bundles.keys import read_public
from bundles.lock import make_lock, write_lock
from bundles.package import new_contributor, sign_package
from bundles.recipe import load_recipe
from bundles.scan import scan_weights
from bundles.trust import open_signer
from bundles.write import write_components
from tests.support import tiny_llm
from tests.support.bundle_factory import DATE, INSTALLER, PASSPHRASE, Keys, make_keys
from tests.support.hub_double import HubDouble
from tests.support.site import run
from tests.support.tiny_llm import TinyModel, random_lora, write_peft

SHAPES = {name: (rows, columns) for name, (_, rows, columns) in tiny_llm.modules().items()}


def no_index(files, *, docpack, language, out, embed=None):
    """In the place of ``fieldpost index``, whose own test is test_real_recipes: the same documents, the same bytes."""
    out.write_bytes(b"".join(file.read_bytes() for file in files))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return TinyModel.random("qwen3").write_gguf(tmp_path / "base.gguf")


def beginning(kind: str, base: Path, licence: str = "CC-BY-4.0") -> Beginning:
    return Beginning(
        kind=kind,
        name="amina-steps",
        publisher="amina",
        language="so",
        licence=licence,
        base=Base(file=base, licence="Apache-2.0") if kind == "adapter" else None,
    )


def finished(folder: Path, base: Path, kind: str = "adapter") -> Path:
    """A working folder in which everything is written."""
    new_folder(folder, beginning(kind, base))
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".md", ".csv", ".json"):
            path.write_text(path.read_text().replace("TODO", f"Written {path.stat().st_ino}."))
    (folder / "glossary.csv").exists() and (folder / "glossary.csv").write_text("en,so\nwater,biyo\n")
    if kind == "adapter":
        write_peft(folder / "peft", random_lora(SHAPES))
    return folder


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


# What headquarters takes.


def packed(folder: Path, out: Path, key: Path) -> Path:
    words = ["pack", str(folder), "--key", str(key), "--out", str(out), "--date", "2026-11-24"]
    done = CliRunner().invoke(main, words, env={"FIELDPOST_PASSPHRASE": PASSPHRASE})
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture
def amina(tmp_path: Path) -> Path:
    new_contributor(tmp_path / "amina", "amina", PASSPHRASE, kdf_rounds=1)
    return tmp_path / "amina" / "amina.key"


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
