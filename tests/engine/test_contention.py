"""Tests of the way a worker's threads wait, by what they waited for a processor."""

from pathlib import Path

import pytest

from appliance.engine.client import WorkerEngine
from appliance.engine.contention import Choice, Times, choose, first, variables
from tests.engine.conftest import ask


def test_between_the_bounds_all_stays_as_it_is() -> None:
    assert choose(0.2, "spin") == "sleep"
    assert choose(0.1, "spin") == "spin" and choose(0.1, "sleep") == "sleep"
    assert choose(0.01, "sleep") == "spin"


@pytest.mark.parametrize(
    ("told", "way"), [("some avg10=0.30 x", "spin"), ("some avg10=33.1 x", "sleep"), ("", "sleep")]
)
def test_the_first_way_is_by_what_the_whole_machine_waits(tmp_path: Path, told: str, way: str) -> None:
    (tmp_path / "cpu").write_text(told)
    assert first(tmp_path / "cpu") == way
    assert first(tmp_path / "none") == "sleep"


def threads(folder: Path, *told: str) -> Path:
    for number, line in enumerate(told):
        (folder / "7" / "task" / str(number)).mkdir(parents=True, exist_ok=True)
        (folder / "7" / "task" / str(number) / "schedstat").write_text(line)
    return folder


def test_the_share_is_of_all_threads_and_since_the_last_look(tmp_path: Path) -> None:
    before = Times.of(7, threads(tmp_path, "1000000000 500000000 3", "1000000000 0 3"))
    assert before == Times(ran=2.0, waited=0.5) and before.share_since(None) == pytest.approx(0.2)
    after = Times.of(7, threads(tmp_path, "2000000000 3500000000 3", "1000000000 0 3"))
    assert after is not None and after.share_since(before) == pytest.approx(0.75)
    assert after.share_since(after) is None, "nothing happened"
    assert Times.of(8, tmp_path) is None


@pytest.mark.needs_shared
def test_a_worker_that_had_better_wait_otherwise_is_started_anew_and_answers_the_same(tiny: Path) -> None:
    with WorkerEngine(tiny, threads=2) as engine:
        text = ask(engine)[0]
        old = engine.pid
        assert old is not None
        assert all(f"{k}={v}" in environment(old) for k, v in variables(engine._threads.way).items())
        other = "sleep" if engine._threads.way == "spin" else "spin"
        engine._threads._before = Times(ran=1e9, waited=1e9)  # from here on no look is long enough to tell
        engine._threads.better = other
        assert engine.adapt() == other
        assert ask(engine)[0] == text
        assert engine.pid not in (None, old) and engine.restarts == 0
        assert engine.pid is not None
        assert all(f"{k}={v}" in environment(engine.pid) for k, v in variables(other).items())


def environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


def test_sleep_comes_at_once_and_spinning_only_after_a_while(tmp_path: Path) -> None:
    choice = Choice(proc=tmp_path)
    choice.better = "spin"
    choice.begin()
    threads(tmp_path, "1000000000 1000000000 3")
    choice.look(7, hold_s=3600)
    assert choice.better == "sleep"
    choice.begin()
    threads(tmp_path, "9000000000 0 3")
    choice.look(7, hold_s=3600)
    assert choice.better == "sleep"
    threads(tmp_path, "19000000000 0 3")
    choice.look(7, hold_s=0)
    assert choice.better == "spin"
