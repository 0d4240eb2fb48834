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
_CODES = ("unsupported_parameter", "unknown_url")
"""By which a box says that it does not offer something."""
_PACKED = "none of ours: the client asks for packed vectors, and in its strict mode takes none from anybody"
_PLUGIN = """import json

def pytest_runtest_makereport(item, call):
    if call.excinfo is not None:
        item.user_properties.append(("body", json.dumps(getattr(call.excinfo.value, "body", None), default=str)))
"""
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
                    for test, trouble, words in _run(sources, python, name, f"{box.url}/v1"):
                        if not trouble:
                            passed[name] += 1
                        elif words:
                            refused[name, words] += 1
                        else:
                            failures.append(f"{name} {test}: {trouble[:300]}")
    rows = [(name, "passed", str(passed[name])) for name in WANTED]
    rows += [(name, words, str(count)) for (name, words), count in sorted(refused.items())]
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


def _run(sources: Path, python: Path, name: str, url: str) -> Iterator[tuple[str, str, str]]:
    """Each test's name, what it failed with (empty when it passed), and what was rightly refused to it."""
    report = sources / "report.xml"
    (sources / "tell_bodies.py").write_text(_PLUGIN)
    command = [python, "-m", "pytest", "-q", "-n", "0", "-p", "tell_bodies", "--junitxml", report]
    environment = {"PATH": os.environ["PATH"], "TEST_API_BASE_URL": url, "PYTHONPATH": str(sources)}
    subprocess.run(
        [*command, f"tests/api_resources/{name}"],
        cwd=sources,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    for case in ElementTree.parse(report).iter("testcase"):
        trouble = next((one for one in case if one.tag in ("failure", "error")), None)
        message = "" if trouble is None else trouble.get("message", "failed")
        body = next((one.get("value") for one in case.iter("property") if one.get("name") == "body"), None)
        yield case.get("name", ""), message, _refused(name, message, json.loads(body or "null"))


def _refused(name: str, message: str, body: object) -> str:
    """What a box refused by name, or the library cannot have, in words; empty for any other failure."""
    if isinstance(body, dict) and body.get("type") == "invalid_request_error" and body.get("code") in _CODES:
        param = f" ({body['param']})" if body.get("param") else ""
        return re.sub(r"/v1/models/\S+", "/v1/models/NAME", str(body["message"])) + param
    if "APIResponseValidationError" in message and name == "test_embeddings.py":
        return _PACKED
    return ""
