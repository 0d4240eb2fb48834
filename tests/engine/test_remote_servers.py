"""What an engine promises, kept by ``RemoteEngine`` in front of real servers: the same tests for each.

llama-server is built by ``scripts/build-llama --peers``; llama_cpp.server comes with llama-cpp-python; ``transformers
serve`` needs torch, which is no part of this project's environment. Who is not there is skipped, with the reason.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from appliance.engine.protocol import GenerationRequest, Logprobs, Message
from appliance.engine.remote import RemoteEngine
from appliance.errors import EngineError
from appliance.exchange import Usage
from tests.support.scripted import eventually
from tests.support.site import free_port

pytestmark = pytest.mark.needs_shared

_CACHE = Path(os.environ.get("FIELDPOST_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
# llama-cpp-python leaves a portable wheel's libraries for the processor unloaded (see appliance.engine.llama).
_LLAMA_CPP_SERVER = """
import ctypes, pathlib, sys, llama_cpp
load = ctypes.CDLL("libggml.so.0").ggml_backend_load_all_from_path
load.argtypes = [ctypes.c_char_p]
load(str(pathlib.Path(llama_cpp.__file__).parent / "lib").encode())
from llama_cpp.server.__main__ import main
main()
"""


def llama_server(model: Path, port: int) -> tuple[Sequence[str], dict[str, str]]:
    """The command, and what its environment needs."""
    found = sorted(_CACHE.glob("**/llama/*/peers/bin/llama-server"))
    if not found:
        pytest.skip("llama-server is not built here: scripts/build-llama --peers builds it")
    command = [str(found[-1]), "-m", str(model), "--port", str(port), "-t", "1", "-np", "2", "--no-webui"]
    return command, {"LD_LIBRARY_PATH": str(found[-1].parent)}


def llama_cpp_server(model: Path, port: int) -> tuple[Sequence[str], dict[str, str]]:
    missing = [name for name in ("llama_cpp", "sse_starlette", "starlette_context") if not _has(name)]
    if missing:
        pytest.skip(f"llama_cpp.server lacks {', '.join(missing)} here")
    options = ["--model", str(model), "--port", str(port), "--n_threads", "1", "--logits_all", "true"]
    return [sys.executable, "-c", _LLAMA_CPP_SERVER, *options], {}


def transformers_serve(model: Path, port: int) -> tuple[Sequence[str], dict[str, str]]:
    if not (_has("transformers") and _has("torch") and shutil.which("transformers")):
        pytest.skip("transformers serve is not installed here: it needs torch, of several hundred megabytes")
    return ["transformers", "serve", "--port", str(port), "--force-model", str(model)], {}


def _has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


LACKS = {"llama_cpp_server": {"usage in streams", "schemas"}}
"""What a server does not do; then the tests below say what its answer is instead."""


@pytest.fixture
def lacks(request: pytest.FixtureRequest) -> set[str]:
    return LACKS.get(next(name for name in _SERVERS if name in request.node.name), set())


@contextmanager
def running(command: Sequence[str], environment: dict[str, str], url: str) -> Iterator[None]:
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
    )

    def up() -> bool:
        assert process.poll() is None, f"it ended by itself: {command[0]}"
        try:
            return httpx.get(f"{url}/models").status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(up, within_s=120)
        yield
    finally:
        process.kill()
        process.wait()


_SERVERS = {server.__name__: server for server in (llama_server, llama_cpp_server, transformers_serve)}


@pytest.fixture(scope="module", params=_SERVERS)
def remote(request: pytest.FixtureRequest, tiny: Path) -> Iterator[RemoteEngine]:
    """An engine in front of one server, with the tiny model behind it."""
    port = free_port()
    command, environment = _SERVERS[request.param](tiny, port)
    url = f"http://127.0.0.1:{port}/v1"
    with running(command, environment, url):
        name = httpx.get(f"{url}/models").json()["data"][0]["id"]
        engine = RemoteEngine(url, model=name, redact=lambda text: text.replace("Amina", "[name]"))
        yield engine
        engine.close()


def asking(**changes: object) -> GenerationRequest:
    told = {"messages": (Message(role="user", content="Once upon a time"),), "max_tokens": 24, **changes}
    return GenerationRequest(**told)  # type: ignore[arg-type]


def whole(engine: RemoteEngine, **changes: object) -> tuple[str, Usage]:
    *pieces, usage = engine.generate(asking(**changes))
    assert isinstance(usage, Usage)
    return "".join(piece for piece in pieces if isinstance(piece, str)), usage


def test_it_is_there_and_says_so(remote: RemoteEngine) -> None:
    assert remote.ails() == ""


def test_an_answer_ends_with_what_it_cost(remote: RemoteEngine, lacks: set[str]) -> None:
    text, usage = whole(remote)
    assert text and usage.finish in ("stop", "length")
    assert (usage.prompt_tokens > 4) != ("usage in streams" in lacks)
    assert 0 < usage.generated_tokens <= 24
    assert 0 < usage.first_token_s <= usage.total_s


def test_the_length_is_kept_and_told(remote: RemoteEngine) -> None:
    _, usage = whole(remote, max_tokens=3)
    assert (usage.generated_tokens, usage.finish) == (3, "length")


def test_without_temperature_an_answer_repeats_and_a_raw_prompt_goes_on(remote: RemoteEngine) -> None:
    assert whole(remote)[0] == whole(remote)[0]
    assert whole(remote, messages=(), prompt="Once upon a time, there was a little")[0]


def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(remote: RemoteEngine) -> None:
    text, _ = whole(remote)
    stop = text.strip()[4:8]
    cut, usage = whole(remote, stop=(stop,))
    assert cut == text[: text.index(stop)] and usage.finish == "stop"


def test_each_token_has_its_chance(remote: RemoteEngine) -> None:
    *pieces, usage = remote.generate(asking(logprobs=2, max_tokens=6))
    told = [piece for piece in pieces if isinstance(piece, Logprobs)]
    assert isinstance(usage, Usage) and len(told) == usage.generated_tokens
    assert all(one.chosen.logprob <= 0 and len(one.top) == 2 for one in told)
    assert all(one.chosen.logprob == pytest.approx(max(other.logprob for other in one.top), abs=1e-3) for one in told)


def test_a_schema_is_followed_or_refused_before_the_first_word(remote: RemoteEngine, lacks: set[str]) -> None:
    pieces = remote.generate(asking(response_schema={"type": "boolean"}, max_tokens=8))
    if "schemas" in lacks:
        with pytest.raises(EngineError, match="answered"):
            next(pieces)
    else:
        assert "".join(piece for piece in pieces if isinstance(piece, str)).strip() in ("true", "false")


def test_a_cancelled_answer_ends_soon_and_the_server_goes_on(remote: RemoteEngine) -> None:
    asked, came = asking(max_tokens=400, temperature=2.0), []
    begun = threading.Event()

    def read() -> None:
        for piece in remote.generate(asked):
            came.append(piece)
            begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(60)
    remote.cancel(asked.id)
    reader.join(30)
    assert not reader.is_alive()
    assert isinstance(came[-1], Usage) and came[-1].finish in ("cancelled", "length", "stop")
    assert whole(remote, max_tokens=2)[0]


def test_what_does_not_fit_is_refused_in_words(remote: RemoteEngine) -> None:
    with pytest.raises(EngineError, match=r"answered 4|answered 5|failed|broke off"):
        whole(remote, messages=(), prompt="water " * 4000)
    assert whole(remote, max_tokens=2)[0]
