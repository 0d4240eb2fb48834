"""What may be asked for besides plain text, on real models: schemas, thoughts, logprobs, raw prompts, deadlines."""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gguf
import pytest

from appliance.engine.client import WorkerEngine
from appliance.engine.protocol import Logprobs, Message, Thinking
from appliance.errors import EngineError
from appliance.exchange import Usage
from tests.engine.conftest import LONG, ask, request
from tests.support.scripted import eventually

pytestmark = pytest.mark.needs_shared
DOSE = {
    "type": "object",
    "properties": {"drops": {"type": "integer"}, "with": {"enum": ["bleach", "iodine"]}},
    "required": ["drops", "with"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("how", [{}, {"temperature": 1.5, "seed": 3, "top_k": 0, "min_p": 0.0}])
def test_an_answer_fits_its_schema(engine: WorkerEngine, how: dict[str, object]) -> None:
    text, usage = ask(engine, response_schema=DOSE, max_tokens=200, **how)
    if usage.finish == "length":  # random digits may go on for ever
        assert text.lstrip().startswith("{")
        return
    dose = json.loads(text)
    assert isinstance(dose["drops"], int) and dose["with"] in ("bleach", "iodine") and len(dose) == 2


def test_a_choice_ends_by_itself(engine: WorkerEngine) -> None:
    text, usage = ask(engine, response_schema={"enum": ["yes", "no"]}, max_tokens=50)
    assert json.loads(text) in ("yes", "no") and usage.finish == "stop"


def test_a_schema_that_is_none_is_refused_and_the_worker_lives(engine: WorkerEngine) -> None:
    before = engine.pid
    for wrong in ({"type": "nonsense"}, {"$ref": "https://example.org/x.json"}, {"enum": ["x" * 200_000]}):
        with pytest.raises(EngineError, match="schema"):
            ask(engine, response_schema=wrong)
    assert ask(engine)[0] and engine.pid == before


def test_logprobs_of_a_greedy_answer_are_the_likeliest(engine: WorkerEngine) -> None:
    *pieces, usage = engine.generate(request(logprobs=3, max_tokens=12))
    told = [piece for piece in pieces if isinstance(piece, Logprobs)]
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    assert isinstance(usage, Usage) and usage.generated_tokens == len(told) == 12
    for one in told:
        assert one.top[0] == one.chosen and len(one.top) == 3
        assert -20 < one.top[1].logprob <= one.chosen.logprob <= 0
        assert sum(math.exp(chance.logprob) for chance in one.top) <= 1 + 1e-6
    assert b"".join(one.chosen.data for one in told).decode("utf-8", "replace") == text
    assert text == ask(engine, max_tokens=12)[0]


def test_penalties_change_what_is_repeated(engine: WorkerEngine) -> None:
    def variety(**how: float) -> float:
        words = ask(engine, messages=(), prompt="Once upon a time", max_tokens=250, **how)[0].split()
        return len(set(words)) / len(words)

    assert variety(repeat_penalty=1.5) > variety() < variety(frequency_penalty=2.0, presence_penalty=2.0)


def test_a_raw_prompt_is_continued_as_it_is(engine: WorkerEngine) -> None:
    text, usage = ask(engine, messages=(), prompt="Once upon a time", max_tokens=8)
    assert text.startswith(", there was")
    assert usage.prompt_tokens < engine.count((Message(role="user", content="Once upon a time"),))


@pytest.fixture(scope="module")
def thinker(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerEngine]:
    """The tiny model with a reasoning model's template: its prompt opens a thought."""
    path = tmp_path_factory.mktemp("thinker") / "thinker.gguf"
    reader = gguf.GGUFReader(tiny)
    out = gguf.GGUFWriter(path, "llama")
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key not in ("general.architecture", "tokenizer.chat_template"):
            inner = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            out.add_key_value(key, field.contents(), field.types[0], sub_type=inner)
    out.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}<think>\n")
    for tensor in reader.tensors:
        out.add_tensor(tensor.name, tensor.data)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    with WorkerEngine(path, threads=2) as engine:
        yield engine


def test_thinking_is_told_apart_and_budgeted(thinker: WorkerEngine) -> None:
    *pieces, usage = thinker.generate(request(thinking_tokens=5, max_tokens=60))
    thought = "".join(piece.text for piece in pieces if isinstance(piece, Thinking))
    answer = "".join(piece for piece in pieces if isinstance(piece, str))
    assert isinstance(usage, Usage)
    assert thought and answer and "think>" not in thought + answer
    assert 5 <= usage.thinking_tokens < 20 < usage.generated_tokens
    *pieces, usage = thinker.generate(request(max_tokens=30))
    assert isinstance(usage, Usage) and usage.thinking_tokens == 30  # nothing closed it
    assert all(isinstance(piece, Thinking) for piece in pieces)


def test_a_deadline_ends_what_waits_with_an_error_and_what_is_written_as_it_is(single: WorkerEngine) -> None:
    stream = single.generate(request(**LONG))
    next(stream)
    with pytest.raises(EngineError, match="Nobody was free"):
        ask(single, deadline_s=0.0)
    stream.close()
    *pieces, usage = single.generate(request(**LONG, deadline_s=0.1))
    assert isinstance(usage, Usage) and usage.finish == "deadline"
    assert (0 < usage.generated_tokens < 294 and usage.total_s >= 0.09) or not pieces


def test_everybody_sees_their_place_in_the_line(single: WorkerEngine) -> None:
    gate = threading.Event()
    asked = [request(user=user, max_tokens=2) for user in ("ann", "ann", "ben")]
    stream = single.generate(running := request(**LONG, user="ann"))
    next(stream)
    assert single.position(running.id) == 0
    with ThreadPoolExecutor(3) as threads:
        answers = []
        for one in asked:
            answers.append(threads.submit(list, single.generate(one)))
            eventually(lambda one=one: single.position(one.id) is not None)
        # ann has one running already, so ben is next although he came last
        eventually(lambda: [single.position(one.id) for one in asked] == [2, 3, 1])
        gate.set()
        stream.close()
        assert all(answer.result(60) for answer in answers)
    assert single.position(running.id) is None
    assert single.position("nobody's") is None


def test_several_are_answered_at_once(engine: WorkerEngine) -> None:
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)  # so that they surely arrive together
    with ThreadPoolExecutor(6) as threads:
        asked = [threads.submit(ask, engine, **{**LONG, "seed": 1}, user=str(n)) for n in range(6)]
        eventually(lambda: len(engine._waiting) == 6)
        began = time.perf_counter()
        os.kill(engine.pid, signal.SIGCONT)
        usages = [one.result(60)[1] for one in asked]
        seconds = time.perf_counter() - began
    assert sum(usage.total_s for usage in usages) > 2 * seconds  # one after another it would be less than once
