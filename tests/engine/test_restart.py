"""WorkerEngine when its process dies, or its model is no model: errors in words, no hang, up again in seconds."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.engine.client import MAX_DEATHS, WorkerEngine
from appliance.errors import EngineError
from tests.engine.conftest import LONG, WATER, ask, request
from tests.support.scripted import eventually

pytestmark = pytest.mark.needs_shared


def worker(engine: WorkerEngine) -> int:
    eventually(lambda: engine.pid is not None)
    assert engine.pid is not None
    return engine.pid


def test_a_worker_killed_while_it_streams_fails_that_answer_and_serves_the_next(engine: WorkerEngine) -> None:
    expected = ask(engine)[0]
    dead = worker(engine)
    stream = engine.generate(request(**LONG))
    next(stream)
    os.kill(dead, signal.SIGKILL)
    with pytest.raises(EngineError, match="SIGKILL"):
        list(stream)
    started = time.monotonic()
    assert ask(engine)[0] == expected
    assert time.monotonic() - started < 10
    assert worker(engine) != dead


def test_requests_that_wait_are_answered_after_a_death(engine: WorkerEngine) -> None:
    expected = ask(engine)[0]
    counted = engine.count(WATER)
    dead = worker(engine)
    os.kill(dead, signal.SIGSTOP)  # so that all of them surely wait
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(ask, engine) for _ in range(3)]
        count = threads.submit(engine.count, WATER)
        eventually(lambda: len(engine._waiting) == 4)
        os.kill(dead, signal.SIGKILL)
        assert [answer.result(60)[0] for answer in answers] == [expected] * 3
        assert count.result(60) == counted


def test_a_request_begun_but_not_streamed_begins_again_once(engine: WorkerEngine) -> None:
    whole = ask(engine, **LONG)[0]
    # Held back to the end, because it might become the stop text: begun, and nothing streamed.
    silent = {**LONG, "stop": (whole + "\0",)}

    def kill_when_begun() -> None:
        eventually(lambda: any(waiting.begun for waiting in list(engine._waiting.values())))
        os.kill(worker(engine), signal.SIGKILL)

    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(ask, engine, **silent)
        kill_when_begun()
        assert answer.result(60)[0] == whole
        answer = threads.submit(ask, engine, **silent)
        kill_when_begun()
        eventually(lambda: any(waiting.tries for waiting in list(engine._waiting.values())))
        kill_when_begun()
        with pytest.raises(EngineError, match="while it answered"):
            answer.result(60)
    assert ask(engine)[0]


@pytest.mark.parametrize("keep", [0, 3, 24, 2000, 0.5, -1])
def test_a_model_cut_short_is_refused_in_words(tiny: Path, tmp_path: Path, keep: float) -> None:
    raw = tiny.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(raw[: int(len(raw) * keep) if 0 < keep < 1 else int(keep)])
    with pytest.raises(EngineError, match=r"cut\.gguf cannot be loaded") as caught, WorkerEngine(cut):
        pass
    assert caught.value.todo


@pytest.mark.parametrize("at", [4, 8, 16, 24, 40, 90])
def test_a_model_with_a_damaged_header_is_refused_or_crashes_without_us(tiny: Path, tmp_path: Path, at: int) -> None:
    raw = bytearray(tiny.read_bytes())
    raw[at : at + 8] = b"\xff" * 8
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(raw)
    with pytest.raises(EngineError), WorkerEngine(damaged):
        pass


@pytest.mark.parametrize("data", [b"", b"GGUF", b"not a model at all\n" * 100, b"\0" * 4096])
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(data)
    with pytest.raises(EngineError, match=r"x\.gguf"), WorkerEngine(tmp_path / "x.gguf"):
        pass


def test_a_missing_model_and_a_vocabulary_without_weights_are_refused(tmp_path: Path, shared: Path) -> None:
    for path in (tmp_path / "none.gguf", shared / "models" / "vocab-qwen2.5.gguf"):
        with pytest.raises(EngineError), WorkerEngine(path):
            pass


def test_a_model_that_writes_no_text_is_refused(shared: Path) -> None:
    with pytest.raises(EngineError), WorkerEngine(shared / "models" / "all-MiniLM-L6-v2-Q8_0.gguf"):
        pass


def test_it_gives_up_after_deaths_in_a_row_and_tries_again_when_asked(tmp_path: Path) -> None:
    # Opening a pipe nobody writes to waits for ever: time to kill each worker while it loads.
    os.mkfifo(tmp_path / "model.gguf")
    engine = WorkerEngine(tmp_path / "model.gguf")
    killed: set[int] = set()

    def kill_next() -> None:
        eventually(lambda: engine.pid not in {None, *killed})
        assert engine.pid is not None
        killed.add(engine.pid)
        os.kill(engine.pid, signal.SIGKILL)

    engine.start()
    try:
        for _ in range(MAX_DEATHS):
            kill_next()
        with pytest.raises(EngineError, match=f"{MAX_DEATHS} times in a row"):
            engine.wait_until_loaded()
        killer = threading.Thread(target=kill_next)
        killer.start()
        with pytest.raises(EngineError, match="SIGKILL"):
            ask(engine)
        killer.join()
    finally:
        engine.close()


def test_closing_while_it_loads_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.gguf")
    engine = WorkerEngine(tmp_path / "model.gguf")
    engine.start()
    closer = threading.Thread(target=engine.close)
    closer.start()
    closer.join(20)
    assert not closer.is_alive()
