"""A storm for many minutes: fifty clients, hang-ups, deadlines, adapters that do not all fit, a process that is shot.

A round is a minute. Every answer must be its own, every request must end, and memory must return to its start.
"""

import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from appliance.engine.client import WorkerEngine
from appliance.engine.settings import EngineSettings
from tests.soak.frame import Outcome
from tests.soak.malformed import MODELS
from tests.support.storm import Storm, resident, right_answers, scaled_adapter, storm

ROUNDS = 20
"""Minutes."""
_BLOCK = 300
_LORA = MODELS / "stories260K-lora-demo.gguf"


def soak(rounds: int, seed: int) -> Outcome:
    outcomes: Counter[str] = Counter()
    back: list[float] = []
    failures: list[str] = []
    requests = kills = block = 0
    with tempfile.TemporaryDirectory() as folder:
        adapters = {"demo": _LORA}
        for name, factor in (("half", 0.5), ("minus", -0.5)):
            adapters[name] = Path(folder) / name
            scaled_adapter(_LORA, adapters[name], factor)
        settings = EngineSettings(slots=16, adapter_mb=1, cache_mb=8)
        with WorkerEngine(MODELS / "stories260K-chat.gguf", adapters, threads=1, settings=settings) as engine:
            answers = right_answers(engine, [None, *adapters])
            storm(engine, answers, requests=_BLOCK, kills=0, seed=seed)
            worker, ours = _memory(engine)
            ends = time.monotonic() + 60 * rounds
            while time.monotonic() < ends:
                block += 1
                seen: Storm = storm(engine, answers, requests=_BLOCK, kills=3, seed=seed + block)
                outcomes += seen.outcomes
                back += seen.back_s
                failures += seen.failures
                requests, kills = requests + seen.requests, kills + seen.kills
            if engine._waiting:
                failures.append(f"{len(engine._waiting)} requests are never answered")
            settled = []
            for _ in range(5):  # a process of 40 MB breathes by some megabytes: it must come back, not stay
                storm(engine, answers, requests=_BLOCK, kills=0, seed=seed)
                settled.append(_memory(engine))
            after = min(one[0] for one in settled), min(one[1] for one in settled)
    for who, before, now in (("the worker", worker, after[0]), ("the client's process", ours, after[1])):
        if now > 1.05 * before:
            failures.append(f"{who} has {now / before:.2f} times the memory that it began with")
    if back and max(back) > 2:
        failures.append(f"a restart took {max(back):.1f} s")
    rows = [(name, str(count)) for name, count in sorted(outcomes.items(), key=lambda one: -one[1])]
    rows += [
        ("requests", str(requests)),
        ("kills", str(kills)),
        ("back after a kill, median / slowest", f"{statistics.median(back):.2f} / {max(back):.2f} s"),
        ("worker's memory after / before", f"{after[0] / worker:.3f}"),
        ("client's memory after / before", f"{after[1] / ours:.3f}"),
    ]
    return Outcome(heads=("what", "how many"), rows=tuple(rows), failures=tuple(failures))


def _memory(engine: WorkerEngine) -> tuple[int, int]:
    """Of the worker and of this process, the least within two seconds: the worker gives memory back when it rests."""
    assert engine.pid is not None
    seen = []
    for _ in range(20):
        seen.append(resident(engine.pid))
        time.sleep(0.1)
    return min(seen), resident(0)
