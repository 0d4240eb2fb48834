"""What may not be passed on is refused through the whole command, with the reason, before anything is signed."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bundles.cli import main
from tests.support.bundle_factory import INSTALLER, PASSPHRASE, make_keys
from tests.support.gguf import gguf

RECIPE = """
[bundle]
name = "clinic"
version = "1.0.0"
publisher = "relief"
title = "Clinic"
languages = ["en"]
[[model]]
name = "{name}"
version = "1"
licence = "{licence}"
file = "{name}.gguf"
"""


@pytest.mark.parametrize(
    ("name", "licence", "why"),
    [
        ("qwen2.5-3b", "LicenseRef-Qwen-Research", "it allows research only"),
        ("nllb-200", "CC-BY-NC-4.0", "commercial"),
    ],
)
def test_a_recipe_with_it_is_locked_and_never_built(tmp_path: Path, name: str, licence: str, why: str) -> None:
    keys = make_keys(tmp_path / "keys")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(name=name, licence=licence))
    (tmp_path / f"{name}.gguf").write_bytes(gguf(note="answers"))
    (tmp_path / "installer.pyz").write_bytes(INSTALLER)
    (tmp_path / "phrase").write_text(PASSPHRASE)
    (tmp_path / "phrase").chmod(0o600)
    run = CliRunner()
    assert run.invoke(main, ["lock", str(recipe)]).exit_code == 0
    before = sorted(path.name for path in keys.folder.iterdir())
    out = tmp_path / "out"
    words = ["build", str(recipe), "--out", str(out), "--keys", str(keys.folder)]
    words += ["--passphrase-file", str(tmp_path / "phrase"), "--installer", str(tmp_path / "installer.pyz")]
    said = run.invoke(main, words)
    assert said.exit_code == 1
    told = said.output
    assert name in told and licence in told and why in told
    assert not out.exists()
    assert sorted(path.name for path in keys.folder.iterdir()) == before, "nothing was signed"
