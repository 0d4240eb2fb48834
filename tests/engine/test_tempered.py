"""Tests of engines that do no more than the machine can bear, on real workers, and of the caretaker that tells them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.caretaker import Caretaker
from appliance.config import EngineConfig, PowerConfig
from appliance.engine.client import WorkerEngine
from appliance.engine.settings import EngineSettings
from appliance.engine.tempered import TemperedEngine
from appliance.errors import Paused, Resting
from appliance.exchange import Usage
from appliance.metrics import Vitals
from tests.engine.conftest import LONG, WATER, ask, request
from tests.support.scripted import eventually

pytestmark = pytest.mark.needs_shared


@pytest.fixture
def main(tiny: Path) -> Iterator[WorkerEngine]:
    with WorkerEngine(tiny, threads=1, name="main", settings=EngineSettings(slots=4)) as running:
        yield running


def test_answers_become_shorter(main: WorkerEngine) -> None:
    tempered = TemperedEngine(main)
    tempered.hold(slots=2, max_tokens=5, answers=True)
    assert list(tempered.generate(request(**LONG)))[-1].generated_tokens == 5  # type: ignore[union-attr]
    tempered.hold(slots=None, max_tokens=None, answers=True)
    assert list(tempered.generate(request(**LONG)))[-1].generated_tokens > 5  # type: ignore[union-attr]


def test_fewer_are_answered_at_once_and_those_that_have_begun_go_on(main: WorkerEngine) -> None:
    streams = [main.generate(request(**LONG, id=str(number))) for number in range(3)]
    for stream in streams[:2]:
        next(stream)
    main.limit(1)
    main.count(WATER)  # answered in the order of arrival: the limit is known now
    third = threading.Thread(target=lambda: next(streams[2]))
    third.start()
    eventually(lambda: main.position("2") == 1)
    streams[0].close()
    main.count(WATER)
    assert main.position("2") == 1, "one runs, and one is allowed"
    list(streams[1])
    third.join(30)
    assert main.position("2") == 0
    streams[2].close()


def test_an_idle_model_gives_its_memory_back_and_is_there_again_when_asked(main: WorkerEngine) -> None:
    text = ask(main)[0]
    assert not main.rest(idle_s=3600)
    assert main.rest()
    eventually(lambda: main.pid is None)
    assert main.rest() and main.context > 0
    assert ask(main)[0] == text
    assert main.restarts == 0


def test_a_model_in_use_is_not_let_go(main: WorkerEngine) -> None:
    stream = main.generate(request(**LONG))
    next(stream)
    assert not main.rest()
    assert isinstance(list(stream)[-1], Usage)


def test_in_hard_times_the_smaller_model_answers_and_the_greater_one_rests(main: WorkerEngine, tiny: Path) -> None:
    tempered = TemperedEngine(main, WorkerEngine(tiny, threads=1, name="small"))
    try:
        tempered.hold(slots=1, max_tokens=64, answers=False)
        usage = list(tempered.generate(request()))[-1]
        assert isinstance(usage, Usage) and usage.model == tempered.model == "small"
        eventually(lambda: main.pid is None)
        assert tempered.count(WATER) >= 5
        assert main.pid is None, "counting does not wake it"
        with pytest.raises(Resting):
            list(tempered.generate(request(adapter="demo")))
        tempered.hold(slots=4, max_tokens=None, answers=True)
        assert tempered.model == "main"
        assert ask(main)[0]
    finally:
        tempered.close()


def test_without_a_smaller_model_nobody_answers_in_hard_times(main: WorkerEngine) -> None:
    tempered = TemperedEngine(main)
    tempered.hold(slots=1, max_tokens=64, answers=False)
    with pytest.raises(Resting, match="rests"):
        list(tempered.generate(request()))


def test_the_caretaker_holds_the_engine_to_what_it_sees(main: WorkerEngine) -> None:
    seen, now = [Vitals(battery=90)], [0.0]
    tempered = TemperedEngine(main)
    keeper = Caretaker(
        tempered,
        power=PowerConfig(),
        limits=EngineConfig(slots=4, max_tokens=200),
        look=lambda: seen[0],
        clock=lambda: now[0],
    )
    keeper.check()
    seen[0] = Vitals(battery=40)
    keeper.tend()
    assert list(tempered.generate(request(**LONG)))[-1].generated_tokens == 100  # type: ignore[union-attr]
    seen[0] = Vitals(battery=20)
    keeper.tend()
    eventually(lambda: main.pid is None)
    seen[0] = Vitals(battery=5)
    keeper.tend()
    with pytest.raises(Paused, match="battery is nearly empty"):
        keeper.check()
    seen[0], now[0] = Vitals(battery=5, charging=True), 3600.0
    keeper.tend()
    keeper.check()
    assert ask(main)[0]


def test_the_caretaker_lets_an_idle_model_go(main: WorkerEngine) -> None:
    keeper = Caretaker(
        TemperedEngine(main), power=PowerConfig(unload_after_s=1), limits=EngineConfig(), look=lambda: Vitals()
    )

    def gone() -> bool:
        keeper.tend()
        return main.pid is None

    eventually(gone)
