"""WorkerEngine on real models through llama.cpp: what is asked is answered, in order, one way every time."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.engine.client import WorkerEngine
from appliance.engine.protocol import GenerationRequest, Message
from appliance.errors import AdapterError, EngineError, PromptTooLong
from appliance.exchange import Usage
from tests.engine.conftest import LONG, ROOT, WATER, ask, request
from tests.support.scripted import eventually

DEMO = ROOT / "bundles" / "demo"
DEMO_MODEL = DEMO / "model" / "fieldpost-demo.gguf"
DEMO_ADAPTER = DEMO / "adapter" / "steps.gguf"

shared_only = pytest.mark.needs_shared


@shared_only
def test_greedy_answers_are_the_same_every_time(engine: WorkerEngine) -> None:
    first, usage = ask(engine)
    ask(engine, messages=(Message(role="user", content="Once upon a time"),))
    assert ask(engine)[0] == first != ""
    assert usage.finish == "stop"
    assert usage.prompt_tokens == engine.count(WATER)
    assert 0 < usage.first_token_s <= usage.total_s


@shared_only
def test_a_seed_repeats_a_warm_answer_and_another_seed_changes_it(engine: WorkerEngine) -> None:
    one = ask(engine, temperature=2.0, seed=1)[0]
    assert ask(engine, temperature=2.0, seed=1)[0] == one
    assert ask(engine, temperature=2.0, seed=2)[0] != one


@shared_only
def test_the_adapter_changes_the_answer_and_only_its_own(engine: WorkerEngine) -> None:
    plain = ask(engine)[0]
    adapted = ask(engine, adapter="demo")[0]
    assert adapted.strip().startswith("Boil")
    assert not plain.strip().startswith("Boil")
    assert ask(engine)[0] == plain


@shared_only
def test_an_answer_ends_at_the_limit_the_stop_text_or_the_context(engine: WorkerEngine) -> None:
    whole = ask(engine)[0]
    text, usage = ask(engine, max_tokens=3)
    assert (usage.finish, usage.generated_tokens) == ("length", 3)
    assert whole.startswith(text)
    stop = whole.strip().split()[-1]
    text, usage = ask(engine, stop=(stop,))
    assert usage.finish == "stop"
    assert text == whole[: whole.index(stop)]
    long = (Message(role="user", content="water " * 160),)
    usage = ask(engine, messages=long, max_tokens=400, temperature=5.0, seed=3)[1]
    assert usage.prompt_tokens + usage.generated_tokens <= engine.context == 512


@shared_only
def test_a_prompt_too_long_is_refused_with_its_counts_and_the_next_is_answered(engine: WorkerEngine) -> None:
    messages = (Message(role="user", content="water " * 600),)
    tokens = engine.count(messages)
    with pytest.raises(PromptTooLong, match=str(tokens)) as caught:
        ask(engine, messages=messages)
    assert "512" in caught.value.needed
    assert ask(engine)[0]


@shared_only
def test_the_context_is_the_lesser_of_asked_for_and_trained(tiny: Path, engine: WorkerEngine) -> None:
    assert engine.context == engine.wait_until_loaded().trained == 512  # 2048 were asked for
    with WorkerEngine(tiny, context=128) as small:
        assert small.context == 128
        with pytest.raises(PromptTooLong):
            ask(small, messages=(Message(role="user", content="water " * 60),))


@shared_only
@pytest.mark.parametrize("name", ["other-architecture", "cut", "junk", "a-model", "missing"])
def test_an_adapter_that_does_not_fit_is_refused_and_the_worker_lives(engine: WorkerEngine, name: str) -> None:
    before = engine.pid
    with pytest.raises(AdapterError, match="does not fit this model"):
        ask(engine, adapter=name)
    assert ask(engine)[0]
    assert engine.pid == before


@pytest.mark.skipif(not DEMO_MODEL.is_file(), reason="the demo model is not built here")
@shared_only
def test_an_adapter_of_another_model_is_refused(tiny_lora: Path) -> None:
    with WorkerEngine(DEMO_MODEL, {"foreign": tiny_lora}) as demo:
        with pytest.raises(AdapterError, match="mismatch"):
            ask(demo, adapter="foreign")
        assert ask(demo)[1].generated_tokens


@pytest.mark.skipif(not DEMO_ADAPTER.is_file(), reason="the demo adapter is not built here")
def test_the_demo_model_answers_with_and_without_its_adapter() -> None:
    with WorkerEngine(DEMO_MODEL, {"steps": DEMO_ADAPTER}, name="answers") as demo:
        assert demo.model == "answers"
        assert demo.wait_until_loaded().description.startswith("qwen")
        guide = (DEMO / "docs" / "safe-water.md").read_text()
        questions = ["How long do I boil water?", "How many drops of bleach?", "Where do I keep the pot?"]
        prompts = [
            (
                Message(role="system", content="Answer only from the passages."),
                Message(role="user", content=f"[1] Safe water\n{guide[:800]}\n\nQuestion: {question}"),
            )
            for question in questions
        ]
        plain = [ask(demo, messages=messages)[0] for messages in prompts]
        adapted = [ask(demo, messages=messages, adapter="steps")[0] for messages in prompts]
        assert all(plain) and plain != adapted
        assert [ask(demo, messages=messages)[0] for messages in prompts] == plain


def test_unknown_adapters_and_senseless_numbers_are_refused_without_a_worker(tmp_path: Path) -> None:
    idle = WorkerEngine(tmp_path / "none.gguf", {"known": tmp_path / "a.gguf"})
    with pytest.raises(AdapterError, match="nobody") as caught:
        next(iter(idle.generate(request(adapter="nobody"))))
    assert "known" in caught.value.needed
    for wrong in ({"max_tokens": 0}, {"temperature": -1.0}, {"temperature": float("nan")}, {"seed": -1}):
        with pytest.raises(EngineError):
            next(iter(idle.generate(request(**wrong))))
    idle.close()


@shared_only
def test_a_cancelled_answer_does_not_leak_into_the_next(engine: WorkerEngine) -> None:
    expected = ask(engine, max_tokens=5)
    stream = engine.generate(request(**LONG))
    assert isinstance(next(stream), str)
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)
    # No piece of the cancelled one may turn up in the next one's.
    assert ask(engine, max_tokens=5)[0] == expected[0]


@shared_only
def test_a_cancelled_request_stops_costing(tiny: Path) -> None:
    with WorkerEngine(tiny, threads=1) as engine:
        started = time.perf_counter()
        ask(engine, **LONG)
        whole = time.perf_counter() - started
        streams = [engine.generate(request(**LONG)) for _ in range(10)]
        started = time.perf_counter()
        for stream in streams:
            next(stream)
            stream.close()
        ask(engine, max_tokens=1)
        assert time.perf_counter() - started < 5 * whole  # ten whole ones would take 10


@shared_only
def test_cancelling_the_one_in_flight_lets_the_queue_go_on(engine: WorkerEngine) -> None:
    expected = ask(engine)[0]
    first = engine.generate(request(**LONG))
    next(first)
    with ThreadPoolExecutor(3) as threads:
        later = [threads.submit(ask, engine) for _ in range(3)]
        first.close()
        assert [one.result(60)[0] for one in later] == [expected] * 3


@shared_only
def test_a_request_cancelled_by_its_id_ends_at_once_while_it_is_answered_and_while_it_waits(
    single: WorkerEngine,
) -> None:
    expected = ask(single)[0]
    running, queued = request(**LONG), request(**LONG)
    stream = single.generate(running)
    next(stream)
    with ThreadPoolExecutor(2) as threads:
        waiter = threads.submit(list, single.generate(queued))
        after = threads.submit(ask, single)
        eventually(lambda: any(waiting.id == queued.id for waiting in list(single._waiting.values())))
        single.cancel(queued.id)
        nothing = Usage(prompt_tokens=0, generated_tokens=0, first_token_s=0.0, total_s=0.0, finish="cancelled")
        assert waiter.result(60) == [nothing]
        single.cancel(running.id)
        *pieces, usage = stream
        assert isinstance(usage, Usage)
        assert usage.finish == "cancelled"
        assert usage.prompt_tokens == single.count(WATER)
        assert len(pieces) < usage.generated_tokens < 294  # not the whole
        assert 0 < usage.first_token_s <= usage.total_s
        assert after.result(60)[0] == expected
    single.cancel(running.id)
    single.cancel("nobody's")
    assert ask(single)[0] == expected


@shared_only
def test_a_request_cancelled_while_its_process_hangs_ends_nevertheless(engine: WorkerEngine) -> None:
    expected = ask(engine)[0]
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # as a long prefill: it hears nothing
    try:
        wanted = request()
        with ThreadPoolExecutor(1) as threads:
            waiter = threads.submit(list, engine.generate(wanted))
            eventually(lambda: any(waiting.id == wanted.id for waiting in list(engine._waiting.values())))
            engine.cancel(wanted.id)
            (usage,) = waiter.result(10)
            assert isinstance(usage, Usage)
            assert (usage.finish, usage.generated_tokens) == ("cancelled", 0)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ask(engine)[0] == expected
    assert engine.pid == pid


@shared_only
def test_threads_are_served_in_turn_and_get_their_own_answers(engine: WorkerEngine) -> None:
    questions = [f"Tell me about a {thing}" for thing in ("dog", "cat", "tree", "boat", "girl", "star")]

    def answer(question: str) -> str:
        adapter = "demo" if "t" in question[16:] else None
        return ask(engine, messages=(Message(role="user", content=question),), adapter=adapter)[0]

    alone = [answer(question) for question in questions]
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(answer, questions * 3)) == alone * 3


@shared_only
def test_counting_does_not_wait_for_a_generation(engine: WorkerEngine) -> None:
    stream = engine.generate(request(**LONG))
    next(stream)
    assert engine.count(WATER) > 0
    *rest, usage = stream
    assert isinstance(usage, Usage)
    assert len(rest) > 100  # it was still going on


@shared_only
def test_a_message_cannot_end_its_own_turn(engine: WorkerEngine) -> None:
    plain = engine.count((Message(role="user", content="water"),))
    armed = engine.count((Message(role="user", content="wa</s><s>ter"),))
    assert armed > plain + 2  # two control tokens would be exactly 2 more


@shared_only
def test_broken_text_from_a_client_is_answered(engine: WorkerEngine) -> None:
    for content in ("", "\ud800", "\0", "\u202e" * 10, "a" * 50):
        assert ask(engine, messages=(Message(role="user", content=content),), max_tokens=2)[1].generated_tokens <= 2


@shared_only
def test_after_closing_nothing_is_answered(tiny: Path) -> None:
    engine = WorkerEngine(tiny)
    with engine:
        stream = engine.generate(request(**LONG))
        next(stream)
        waiter: list[Exception] = []

        def wait() -> None:
            try:
                ask(engine)
            except EngineError as error:
                waiter.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
    thread.join(30)
    with pytest.raises(EngineError):
        list(stream)
    with pytest.raises(EngineError, match="closed"):
        ask(engine)
    with pytest.raises(EngineError, match="closed"):
        engine.count(WATER)
    assert not thread.is_alive()


def test_a_request_has_an_id_of_its_own() -> None:
    assert request().id != request().id
    assert isinstance(request(), GenerationRequest)
