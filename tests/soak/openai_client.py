"""The openai library's own tests for models, chat, completions and embeddings, run against ``fieldpost serve``.

They call every method with every parameter, plainly, raw and streaming, and check what comes back against the
library's types. Here they meet a box in place of the mock they are written for. One fails rightly where it asks for
something that a box refuses by name; the table says what that was. Everything else that fails is ours to mend.

They come with the library's source distribution, which is fetched by pip for the version that is installed here, and
run in an environment of their own.
"""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.soak.frame import Outcome
from tests.support.site import BIN, ROOT, installed_demo, serving

ROUNDS = 1
WANTED = ("test_models.py", "chat/test_completions.py", "test_completions.py", "test_embeddings.py")
KEY = "My API Key"
"""What their client sends."""
_OFFERS_NOT = re.compile(
    r"'message': (?P<words>'.*?'|\".*?\"), 'type': 'invalid_request_error', 'param': '?(?P<param>\w+)"
)
_CODES = ("'unsupported_parameter'", "'unknown_url'")
_RECIPE = """format = 1
[bundle]
name = "openai"
version = "1"
publisher = "fieldpost"
title = "For the client's own tests"
languages = ["en"]
[[model]]
name = "answers"
version = "1"
licence = "Apache-2.0"
file = "answers.gguf"
[[model]]
name = "vectors"
version = "1"
licence = "Apache-2.0"
task = "embed"
file = "vectors.gguf"
"""


def soak(rounds: int, seed: int) -> Outcome:
    """All of them, so many times."""
    with tempfile.TemporaryDirectory() as folder:
        sources, python = _library(Path(folder))
        site = installed_demo(Path(folder) / "site", _recipe(Path(folder)))
        data = site.home / "data"
        data.mkdir(mode=0o700)
        key = {"name": "openai", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "made_s": 0}
        (data / "api-keys.json").write_text(json.dumps({"keys": [key]}))
        passed: Counter[str] = Counter()
        refused: Counter[tuple[str, str]] = Counter()
        failures: list[str] = []
        with serving("fieldpost", "--home", site.home) as box:
            for _ in range(rounds):
                for name in WANTED:
                    for test, trouble in _run(sources, python, name, f"{box.url}/v1"):
                        if not trouble:
                            passed[name] += 1
                        elif words := _knowingly(trouble):
                            refused[name, words] += 1
                        else:
                            failures.append(f"{name} {test}: {trouble[:300]}")
    rows = [(name, "passed", str(passed[name])) for name in WANTED]
    rows += [(name, f"refused: {words}", str(count)) for (name, words), count in sorted(refused.items())]
    return Outcome(heads=("tests", "outcome", "how many"), rows=tuple(rows), failures=tuple(failures))


def _library(folder: Path) -> tuple[Path, Path]:
    """The library's sources, and a Python that has what their tests need."""
    version = importlib.metadata.version("openai")
    fetch = ["download", "--quiet", "--no-deps", "--no-binary", "openai", f"openai=={version}", "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", *fetch], check=True)
    with tarfile.open(folder / f"openai-{version}.tar.gz") as packed:
        packed.extractall(folder, filter="data")
    sources = folder / f"openai-{version}"
    python = folder / "venv" / "bin" / "python"
    needed = ["pytest>=9", "pytest-asyncio", "pytest-xdist", "rich", "inline-snapshot", "trio"]
    subprocess.run([BIN / "uv", "venv", "--quiet", folder / "venv"], check=True)
    install = ["pip", "install", "--quiet", "--python", python, f"{sources}[aiohttp]", *needed]
    subprocess.run([BIN / "uv", *install], check=True)
    return sources, python


def _recipe(folder: Path) -> Path:
    """A bundle with a model that answers and one that embeds."""
    place = folder / "recipe"
    place.mkdir()
    shutil.copy(ROOT / "bundles" / "demo" / "model" / "fieldpost-demo.gguf", place / "answers.gguf")
    shutil.copy(ROOT.parent / "shared" / "models" / "all-MiniLM-L6-v2-Q8_0.gguf", place / "vectors.gguf")
    (place / "recipe.toml").write_text(_RECIPE)
    return place / "recipe.toml"


def _run(sources: Path, python: Path, name: str, url: str) -> Iterator[tuple[str, str]]:
    """Each test's name, and what it failed with; empty when it passed."""
    report = sources / "report.xml"
    command = [python, "-m", "pytest", "-q", "-n", "0", "--junitxml", report, f"tests/api_resources/{name}"]
    environment = {"PATH": os.environ["PATH"], "TEST_API_BASE_URL": url}
    subprocess.run(command, cwd=sources, env=environment, stdout=subprocess.DEVNULL, check=False)
    for case in ElementTree.parse(report).iter("testcase"):
        trouble = next((one for one in case if one.tag in ("failure", "error")), None)
        yield case.get("name", ""), "" if trouble is None else trouble.get("message", "failed")


def _knowingly(trouble: str) -> str:
    """What a box refused by name, in its words; empty for any other failure."""
    if not any(code in trouble for code in _CODES):
        return ""
    if found := _OFFERS_NOT.search(trouble):
        param = found["param"]
        return found["words"].strip("'\"") + (f" ({param})" if param != "None" else "")
    return ""
