"""Fifty clients, hang-ups, deadlines, adapters, a process that is shot: everybody gets an answer or a clear error."""

import time
from pathlib import Path

import pytest

from appliance.engine.client import WorkerEngine
from appliance.engine.settings import EngineSettings
from tests.support.storm import Which, resident, right_answers, scaled_adapter, storm

pytestmark = pytest.mark.needs_shared


def test_in_a_storm_everybody_is_answered_rightly_or_told_why_not(tiny: Path, tiny_lora: Path, tmp_path: Path) -> None:
    adapters = {"demo": tiny_lora}
    for name, factor in (("half", 0.5), ("minus", -0.5)):
        scaled_adapter(tiny_lora, tmp_path / name, factor)
        adapters[name] = tmp_path / name
    # Room for two adapters and for half of the clients, so that both are contended.
    settings = EngineSettings(slots=16, adapter_mb=1, cache_mb=8)
    with WorkerEngine(tiny, adapters, threads=1, settings=settings) as engine:
        answers = right_answers(engine, [None, *adapters])
        assert len(answers) > 12 and len({adapter for _, adapter in answers}) == 4
        before = _rested(engine, answers)
        seen = storm(engine, answers, requests=240, kills=3, seed=1)
        assert seen.failures == []
        assert seen.requests == sum(seen.outcomes.values()) == 240
        assert seen.outcomes["answered"] > 40 and seen.outcomes["cancelled"] > 10 and seen.outcomes["hung-up"] > 10
        assert seen.kills == 3
        assert not engine._waiting
        after = min(_rested(engine, answers) for _ in range(2))  # of a process that came later, after the same work
        assert after <= 1.05 * before, f"{after} bytes, and {before} before"


def _rested(engine: WorkerEngine, answers: dict[Which, str]) -> int:
    """The worker's memory when it has done some work and rests: the least within a second."""
    storm(engine, answers, requests=60, kills=0)
    assert engine.pid is not None
    seen = []
    for _ in range(20):
        seen.append(resident(engine.pid))
        time.sleep(0.05)
    return min(seen)
