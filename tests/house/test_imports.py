"""The import contracts hold, and a planted breach is caught: otherwise they would be decoration."""

import re
import shutil
import subprocess

import pytest

from tests.support.site import BIN, ROOT


def lint(folder):
    return subprocess.run([BIN / "lint-imports", "--no-cache"], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path):
    for name in ("appliance", "bundles", "installer"):
        large = shutil.ignore_patterns("*.gguf", "*.argosmodel", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=large)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("appliance/knowledge/chunk.py", "import appliance.engine.client", "imports point down"),
        ("appliance/errors.py", "import appliance.exchange", "imports point down"),
        ("appliance/web/jobs.py", "import llama_cpp", "llama.cpp has one door"),
        ("appliance/language/translate.py", "import argostranslate", "argostranslate has one door"),
        ("appliance/web/app.py", "import gradio", "Gradio has one door"),
        ("appliance/box.py", "import bundles.recipe", "through their format only"),
        ("bundles/build.py", "import appliance.config", "The bundler calls the box"),
        ("bundles/build.py", "import tuf", "TUF is read in one place"),
        ("bundles/format/digest.py", "import click", "The bundle format needs nobody"),
        ("installer/install.py", "import appliance.config", "bare Python"),
        ("appliance/hub/ingest.py", "import appliance.pipeline", "The hub shares"),
    ],
)
def test_a_planted_breach_is_caught(copy, module, line, contract):
    path = copy / module
    path.write_text(path.read_text() + f"\n{line}\n")
    done = lint(copy)
    assert done.returncode != 0
    told = " ".join(done.stdout.split())  # long names are wrapped
    assert re.search(re.escape(contract) + r"((?!KEPT).)*BROKEN", told), done.stdout


def test_a_module_without_a_place_is_caught(copy):
    (copy / "appliance" / "somewhere.py").write_text('"""No layer knows me."""\n')
    assert "somewhere" in lint(copy).stdout
