"""A contributor who trusts nobody with a key and a headquarters that trusts nobody with more than a name: an adapter's
whole way, by the commands of the guide. Nothing here is a double; the adapter is the demo's own, as PEFT saves it."""

import json
import shutil
from pathlib import Path

import httpx
import numpy as np
import pytest

from bundles.format.gguf_header import read_header
from tests.support.site import DEMO_RECIPE, PASSPHRASE, ROOT, Site, copy_recipe, run, serving
from tests.support.tiny_llm import MODULES, write_peft

ENV = {"FIELDPOST_PASSPHRASE": PASSPHRASE}
BASE = ROOT / "bundles/demo/model/fieldpost-demo.gguf"
QUESTION = "For how long must the water boil?"


def as_peft(folder: Path) -> Path:
    """The demo's adapter in the two files that PEFT would have saved it in; its tensors lie in float16, one by one."""
    path = ROOT / "bundles/demo/adapter/steps.gguf"
    data = path.read_bytes()
    with path.open("rb") as file:
        shapes = read_header(file, len(data))["shapes"]
    sizes = [2 * int(np.prod(shape)) for shape in shapes.values()]
    at = len(data) - sum(-(-size // 32) * 32 for size in sizes)
    hf = {short: name for name, (short, _, _) in MODULES.items()}
    lora: dict[str, list[np.ndarray]] = {}
    for (name, shape), size in zip(shapes.items(), sizes, strict=True):
        values = np.frombuffer(data[at : at + size], "<f2").reshape(shape[::-1]).astype(np.float32)
        at += -(-size // 32) * 32
        _, block, short, _, side = name.split(".")
        lora.setdefault(f"model.layers.{block}.{hf[short]}", [None, None])["ab".index(side[-1])] = values
    assert at == len(data)
    return write_peft(folder, {name: tuple(pair) for name, pair in lora.items()}, alpha=32.0)


def written(folder: Path) -> None:
    """Every TODO of the card made a sentence."""
    card = folder / "README.md"
    card.write_text(card.read_text().replace("TODO: ", "For trying out: "))


@pytest.fixture
def amina(tmp_path: Path) -> Path:
    """Amina's folder, in which she has a key and a working folder with a trained adapter."""
    home = tmp_path / "amina"
    run("fieldpost-bundle", "key", "new", "amina", "--out", home, env=ENV)
    words = ["--publisher", "amina", "--base", BASE, "--base-licence", "Apache-2.0", "--out", home / "numbered"]
    run("fieldpost-bundle", "new", "adapter", "numbered", *words)
    as_peft(home / "numbered" / "peft")
    written(home / "numbered")
    return home


def test_an_adapter_from_a_contributor_reaches_an_installed_box(amina, tmp_path):
    # Amina checks it: its answers are compared with its base's.
    checked = json.loads(run("fieldpost-bundle", "check", amina / "numbered", "--json").stdout)
    assert {finding["outcome"] for finding in checked["findings"]} == {"good"}
    (compared,) = checked["compared"]
    before, after = (compared[when]["questions"][0]["answer"] for when in ("before", "after"))
    assert not before.startswith("1.")
    assert after.startswith("1.")
    run(
        "fieldpost-bundle",
        "pack",
        amina / "numbered",
        "--key",
        amina / "amina.key",
        "--out",
        amina / "package",
        env=ENV,
    )

    # Headquarters lets her sign adapters and questions, takes the package into a recipe, and makes a stick.
    site = Site(folder=tmp_path / "site")
    site.folder.mkdir()
    site.make_keys()
    paths = [word for kind in ("adapters", "evalsets") for word in ("--paths", f"{kind}/amina/*")]
    run("fieldpost-bundle", "delegate", "amina", *paths, "--key", amina / "amina.pub", "--keys", site.keys)
    recipe = copy_recipe(DEMO_RECIPE, tmp_path)
    shutil.copytree(amina / "package", recipe.parent / "from-amina")
    recipe.write_text(recipe.read_text() + '\n[[package]]\nfolder = "from-amina"\n')
    site.build(recipe)
    site.write_stick()

    # The box takes it, with Amina's signature, and answers through it.
    site.install()
    asked = site.ask(QUESTION, "--adapter", "numbered")
    assert asked["answer"].startswith("1.")
    assert asked["adapter"] == "numbered"
    assert "by amina" in run("fieldpost", "cards", "numbered", "--home", site.home).stdout
    with serving("fieldpost", "--home", site.home) as box:
        page = httpx.get(f"{box.url}/cards").text
        assert "NOTICES.txt" in page and "apache" in page.lower()
        assert httpx.get(f"{box.url}/cards/bom.cdx.json").json()["bomFormat"] == "CycloneDX"
        assert 'href="/cards' in httpx.get(f"{box.url}/lite").text
    assert "adapter numbered 0.1.0, CC-BY-4.0, amina" in page
    assert "For trying out" in page

    # What she may not sign never gets there: the same package under a name that was not given to her.
    run("fieldpost-bundle", "delegate", "amina", "--paths", "langpacks/amina/*", "--key", amina / "amina.pub",
        "--keys", site.keys)  # fmt: skip
    refused = run("fieldpost-bundle", "build", recipe, "--out", site.bundle, "--keys", site.keys, env=ENV, check=False)
    assert refused.returncode == 1
    assert "amina may not sign adapters/amina/numbered-0.1.0" in refused.stderr
