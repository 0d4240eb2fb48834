"""Real models for the engine's tests: the tiny shared one, and the demo's own where it is built."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.engine.client import WorkerEngine
from appliance.engine.protocol import GenerationRequest, Message
from appliance.engine.settings import EngineSettings
from appliance.exchange import Usage

ROOT = Path(__file__).resolve().parents[2]
WATER = (Message(role="user", content="How do I clean water?"),)


def ask(engine: WorkerEngine, **changes: object) -> tuple[str, Usage]:
    """The whole text and its usage."""
    *pieces, usage = engine.generate(request(**changes))
    assert isinstance(usage, Usage)
    assert all(pieces)
    return "".join(piece for piece in pieces if isinstance(piece, str)), usage


def request(**changes: object) -> GenerationRequest:
    return GenerationRequest(**{"messages": WATER, "max_tokens": 60, **changes})  # type: ignore[arg-type]


LONG = {"temperature": 5.0, "seed": 1, "max_tokens": 400}
"""With the tiny model and WATER: 294 tokens, a third of a second, so that something can happen meanwhile."""


@pytest.fixture(scope="session")
def tiny(shared: Path) -> Path:
    return shared / "models" / "stories260K-chat.gguf"


@pytest.fixture(scope="session")
def tiny_lora(shared: Path) -> Path:
    return shared / "models" / "stories260K-lora-demo.gguf"


@pytest.fixture(scope="session")
def bad_adapters(tmp_path_factory: pytest.TempPathFactory, tiny: Path, tiny_lora: Path) -> dict[str, Path]:
    """Adapters that must be refused, each for its own reason."""
    folder = tmp_path_factory.mktemp("adapters")
    raw = tiny_lora.read_bytes()
    assert raw.count(b"llama") == 1
    made = {
        "other-architecture": raw.replace(b"llama", b"qwen2"),
        "cut": raw[: len(raw) // 2],
        "junk": b"junk" * 1000,
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return {**{name: folder / name for name in made}, "a-model": tiny, "missing": folder / "missing"}


@pytest.fixture(scope="session")
def single(tiny: Path) -> Iterator[WorkerEngine]:
    """One that answers one request at a time, so that others surely wait."""
    with WorkerEngine(tiny, threads=2, settings=EngineSettings(slots=1)) as running:
        yield running


@pytest.fixture(scope="session")
def engine(tiny: Path, tiny_lora: Path, bad_adapters: dict[str, Path]) -> Iterator[WorkerEngine]:
    """One running engine that the tests share; those that kill it wait for it to be up again."""
    with WorkerEngine(tiny, {"demo": tiny_lora, **bad_adapters}, threads=2) as running:
        yield running
