"""appliance.engine.adapters, and what the box does with adapters of other models or that bring the process down."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.engine.adapters import Adapters
from appliance.engine.client import WorkerEngine
from appliance.engine.settings import Adapter, EngineSettings
from appliance.errors import AdapterError
from tests.engine.conftest import LONG, ask, request
from tests.support.scripted import eventually


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / name for name in "abcd"}
    for path in paths.values():
        path.write_bytes(b"x" * 40)
    return paths


def test_the_least_recently_used_go_when_the_room_is_needed(files: dict[str, Path]) -> None:
    freed: list[str] = []
    adapters = Adapters(files, budget=100, load=lambda path: path.name, free=freed.append)
    assert [adapters.get(name) for name in "abab"] == list("abab")
    adapters.get("c")
    assert (freed, adapters.loaded) == (["a"], ("b", "c"))
    adapters.get("d", in_use=["b"])
    assert (freed, adapters.loaded) == (["a", "c"], ("b", "d"))
    adapters.get("a", in_use=["b", "d", None])  # what is in use stays, whatever the budget
    assert adapters.loaded == ("b", "d", "a")
    assert [adapters.is_loaded(name) for name in "abc"] == [True, True, False]


def test_one_may_be_greater_than_the_budget_and_an_unknown_one_is_refused(files: dict[str, Path]) -> None:
    adapters = Adapters(files, budget=10, load=lambda path: path.name, free=lambda _: None)
    adapters.get("a")
    adapters.get("b")
    assert adapters.loaded == ("b",)
    with pytest.raises(AdapterError, match="nobody"):
        adapters.get("nobody")
    files["c"].unlink()
    assert adapters.bytes("c") == 0


def test_an_adapter_made_for_another_model_is_refused_before_it_is_read(tmp_path: Path) -> None:
    made_for = {
        "ours": Adapter(path=tmp_path / "x", base="sha256:model"),
        "foreign": Adapter(path=tmp_path / "y", base="sha256:another"),
    }
    engine = WorkerEngine(tmp_path / "m.gguf", made_for, settings=EngineSettings(digest="sha256:model"))
    with pytest.raises(AdapterError, match=r"foreign was made for another model \(sha256:another"):
        next(iter(engine.generate(request(adapter="foreign"))))
    engine.close()


@pytest.fixture
def trap(tiny: Path, tiny_lora: Path, tmp_path: Path) -> Iterator[WorkerEngine]:
    """An engine one of whose adapters never finishes loading: a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "trap")
    with WorkerEngine(tiny, {"trap": tmp_path / "trap", "demo": tiny_lora}, threads=1) as engine:
        yield engine


@pytest.mark.needs_shared
def test_an_adapter_that_brings_the_process_down_is_blamed_and_the_others_are_answered(trap: WorkerEngine) -> None:
    expected = ask(trap, adapter="demo")[0]
    with ThreadPoolExecutor(4) as threads:
        guilty = [threads.submit(ask, trap, adapter="trap") for _ in range(2)]
        eventually(lambda: trap._risk is not None)
        innocent = [threads.submit(ask, trap, adapter="demo") for _ in range(2)]
        eventually(lambda: len(trap._waiting) == 4)
        assert trap.pid is not None
        os.kill(trap.pid, signal.SIGSEGV)
        assert [one.result(60)[0] for one in innocent] == [expected] * 2
        for one in guilty:
            with pytest.raises(AdapterError, match="trap was loaded"):
                one.result(60)
    survivor = trap.pid
    with pytest.raises(AdapterError, match="trap is damaged"):
        ask(trap, adapter="trap")
    assert ask(trap, adapter="demo")[0] == expected and trap.pid == survivor


@pytest.mark.needs_shared
def test_innocent_requests_are_not_charged_for_it(trap: WorkerEngine) -> None:
    whole = ask(trap, **LONG)[0]
    silent = {**LONG, "stop": (whole + "\0",)}  # begun, but nothing of it is certain before its end
    with ThreadPoolExecutor(2) as threads:
        innocent = threads.submit(ask, trap, **silent)
        eventually(lambda: any(one.begun for one in list(trap._waiting.values())))
        guilty = threads.submit(ask, trap, adapter="trap")
        eventually(lambda: trap._risk is not None)
        assert trap.pid is not None
        os.kill(trap.pid, signal.SIGSEGV)
        assert innocent.result(60)[0] == whole
        with pytest.raises(AdapterError):
            guilty.result(60)


@pytest.mark.needs_shared
def test_adapters_beyond_the_budget_take_turns_and_the_answers_stay_right(tiny: Path, tiny_lora: Path) -> None:
    with WorkerEngine(
        tiny, dict.fromkeys("abc", tiny_lora), threads=1, settings=EngineSettings(adapter_mb=0)
    ) as engine:
        expected = ask(engine, adapter="a", max_tokens=6)[0]
        with ThreadPoolExecutor(6) as threads:
            asked = [threads.submit(ask, engine, adapter=name, max_tokens=6) for name in "abcabc"]
            assert [one.result(60)[0] for one in asked] == [expected] * 6
