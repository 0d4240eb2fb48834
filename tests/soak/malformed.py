"""Damaged models and adapters through load: each is refused in words or answers something, and the service lives.

A round is one damaged file; every second is an adapter, put to a running engine, and the others are models, each given
to an engine of its own. Beside them one engine with sound files answers after every file.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.engine.client import WorkerEngine
from appliance.engine.protocol import GenerationRequest
from appliance.errors import AdapterError, EngineError
from tests.soak.frame import Outcome
from tests.support.damage import damaged
from tests.support.site import ROOT

ROUNDS = 1000
MODELS = ROOT.parent / "shared" / "models"
"""Small sound files to begin with; beside the project."""
_PACK = 50
"""Adapters that one engine knows."""


def soak(rounds: int, seed: int) -> Outcome:
    seen: dict[str, Counter[str]] = {"model": Counter(), "adapter": Counter()}
    failures: list[str] = []
    slowest = 0.0
    with _sound() as sound, tempfile.TemporaryDirectory() as folder:
        expected = _answer(sound)
        for kind, number, outcome in _outcomes(rounds, seed, Path(folder)):
            seen[kind][outcome.split(":")[0]] += 1
            if outcome.startswith("failed"):
                failures.append(f"{kind} {number} of seed {seed}: {outcome}")
            began = time.perf_counter()
            if _answer(sound) != expected:
                failures.append(f"after {kind} {number} of seed {seed} a sound engine answers otherwise")
            slowest = max(slowest, time.perf_counter() - began)
    rows = [(kind, *(str(seen[kind][name]) for name in _OUTCOMES)) for kind in seen]
    rows.append(("sound engine beside them", f"answered {rounds} times, slowest {slowest:.2f} s", "", "", ""))
    return Outcome(heads=("file", *_OUTCOMES), rows=tuple(rows), failures=tuple(failures))


_OUTCOMES = ("refused", "process ended", "answered", "failed")


def _outcomes(rounds: int, seed: int, folder: Path) -> Iterator[tuple[str, int, str]]:
    model = (MODELS / "stories260K-chat.gguf").read_bytes()
    lora = (MODELS / "stories260K-lora-demo.gguf").read_bytes()
    adapters = list(range(1, rounds, 2))
    for first in range(0, len(adapters), _PACK):
        pack = {}
        for number in adapters[first : first + _PACK]:
            pack[str(number)] = folder / f"{number}.lora"
            pack[str(number)].write_bytes(damaged(lora, f"{seed} {number}"))
        with WorkerEngine(MODELS / "stories260K-chat.gguf", pack, threads=1) as engine:
            for name in pack:
                yield "adapter", int(name), _try(engine, name)
                if _try(engine, None) != "answered":
                    yield "adapter", int(name), "failed: its engine does not answer without it"
        for path in pack.values():
            path.unlink()
    for number in range(0, rounds, 2):
        path = folder / "damaged.gguf"
        path.write_bytes(damaged(model, f"{seed} {number}"))
        engine = WorkerEngine(path, threads=1)
        engine.start()
        try:
            yield "model", number, _try(engine, None)
        finally:
            engine.close()


def _try(engine: WorkerEngine, adapter: str | None) -> str:
    """How an engine takes it: one of ``_OUTCOMES``, with the reason of a failure."""
    try:
        engine.wait_until_loaded()
        list(engine.generate(GenerationRequest(prompt="Once", adapter=adapter, max_tokens=3)))
    except EngineError as error:
        if "process" in error.found:
            return "process ended"
        return "refused" if error.found and (error.todo or isinstance(error, AdapterError)) else f"failed: {error}"
    except Exception as error:
        return f"failed: {error!r}"
    return "answered"


@contextmanager
def _sound() -> Iterator[WorkerEngine]:
    adapters = {"demo": MODELS / "stories260K-lora-demo.gguf"}
    with WorkerEngine(MODELS / "stories260K-chat.gguf", adapters, threads=1) as engine:
        yield engine


def _answer(engine: WorkerEngine) -> list[object]:
    asked = GenerationRequest(prompt="Once upon a time", adapter="demo", max_tokens=4, seed=1)
    return [piece for piece in engine.generate(asked) if isinstance(piece, str)]
