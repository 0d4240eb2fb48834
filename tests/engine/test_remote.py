"""A server in place of the model: what an engine promises, over real HTTP, and what happens when it is away."""

import socket
import threading
from itertools import takewhile

import pytest

from appliance.config import Config
from appliance.engine.fallback import REST_S, FallbackEngine
from appliance.engine.protocol import Chance, GenerationRequest, Logprobs, Message, Thinking
from appliance.engine.remote import MOST_REFUSAL, RemoteEngine, UpstreamAway
from appliance.errors import AdapterError, EngineError
from appliance.exchange import Question, Usage
from appliance.pipeline import Finished, Pipeline
from appliance.safety.redact import redact
from tests.support.scripted import ListLog, ScriptedEngine, ScriptedFinder, ScriptedTranslator, eventually, passage
from tests.support.served_api import USAGE, served_api


@pytest.fixture
def api(tmp_path):
    with served_api(tmp_path) as served:
        yield served


@pytest.fixture
def remote(api):
    engine = RemoteEngine(
        api.url, model="base", key=api.key, adapters={"steps": "base:steps"}, redact=lambda t: redact(t, ["KE"]).text
    )
    yield engine
    engine.close()


def request(**more):
    return GenerationRequest(**{"messages": (Message(role="user", content="Hi"),), "max_tokens": 9, **more})


def test_text_and_cost_come_as_from_a_model_of_our_own(remote):
    *texts, usage = remote.generate(request())
    assert "".join(texts) == "Boil it."
    assert (usage.prompt_tokens, usage.generated_tokens, usage.finish) == (7, 3, "stop")
    assert (usage.cached_tokens, usage.thinking_tokens, usage.model) == (5, 1, "base")


def test_what_is_asked_for_arrives(api, remote):
    asked = request(
        adapter="steps", temperature=0.5, top_p=0.9, top_k=3, min_p=0.1, seed=7, stop=("x",), logprobs=2,
        presence_penalty=0.5, frequency_penalty=0.25, repeat_penalty=1.1, response_schema={"type": "string"},
        tools=({"type": "function", "function": {"name": "stock"}},),
    )  # fmt: skip
    list(remote.generate(asked))
    (arrived,) = api.engine.requests
    for name in ("adapter", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "logprobs", "max_tokens",
                 "presence_penalty", "frequency_penalty", "repeat_penalty", "response_schema", "tools"):  # fmt: skip
        assert getattr(arrived, name) == getattr(asked, name), name


def test_a_raw_prompt_stays_raw(api, remote):
    assert "".join(p for p in remote.generate(request(messages=(), prompt="Boil")) if isinstance(p, str)) == "Boil it."
    assert api.engine.requests[0].prompt == "Boil"


def test_thinking_logprobs_and_calls_keep_their_kinds(api, remote):
    told = Logprobs(chosen=Chance(data=b"Bo", logprob=-0.5), top=(Chance(data=b"Bo", logprob=-0.5),))
    api.engine = ScriptedEngine([Thinking(text="hm"), told, "Bo"], ending=USAGE)
    assert list(remote.generate(request(logprobs=1)))[:3] == [Thinking(text="hm"), told, "Bo"]
    call = '<tool_call>{"name": "stock", "arguments": {"item": "ORS"}}</tool_call>'
    api.engine = ScriptedEngine([call], ending=USAGE)
    tools = ({"type": "function", "function": {"name": "stock"}},)
    assert "".join(p for p in remote.generate(request(tools=tools)) if isinstance(p, str)) == call


def test_nothing_leaves_that_was_not_redacted(api, remote):
    words = "Call 0712 345 678 or amina@example.org"
    turns = (
        Message(role="user", content=words),
        Message(role="assistant", content="", tool_calls=({"function": {"arguments": words}},)),
        Message(role="tool", content=words, tool_call_id="1"),
    )
    tool = {"type": "function", "function": {"name": "call", "description": words, "parameters": {"enum": [words, 3]}}}
    schema = {"enum": [words, 254712345678, True]}
    list(remote.generate(request(messages=turns, tools=(tool,), response_schema=schema, stop=(words,))))
    list(remote.generate(request(messages=(), prompt=words)))
    arrived = str([(r.messages, r.prompt, r.tools, r.response_schema, r.stop) for r in api.engine.requests])
    assert "345" not in arrived
    assert "amina" not in arrived
    assert arrived.count("Call") == 8, "everything else is there"
    assert arrived.count("3]") == 1
    assert arrived.count("True]") == 1


def test_cancel_ends_both_ends_at_once(api, remote):
    gate = threading.Event()
    api.engine = ScriptedEngine(["Bo", *["il"] * 50], gate=gate)
    asked, came = request(), []
    reader = threading.Thread(target=lambda: came.extend(remote.generate(asked)))
    reader.start()
    eventually(lambda: bool(api.engine.requests))
    assert remote.position(asked.id) == 0
    remote.cancel(asked.id)
    reader.join(10)
    assert not reader.is_alive()
    assert [piece.finish for piece in came if isinstance(piece, Usage)] == ["cancelled"]
    eventually(lambda: bool(api.engine.cancelled))
    gate.set()
    assert remote.position(asked.id) is None


def test_an_adapter_without_a_name_there_is_refused(remote):
    with pytest.raises(AdapterError, match=r"no name for the adapter 'poems'.*steps.*\[upstream\]"):
        next(remote.generate(request(adapter="poems")))


def test_a_wrong_key_is_told_and_is_no_reason_to_wait(api):
    stranger = RemoteEngine(api.url, model="base", key="wrong", redact=str)
    with pytest.raises(EngineError, match="answered 401") as refused:
        next(stranger.generate(request()))
    assert not isinstance(refused.value, UpstreamAway)
    stranger.close()


@pytest.fixture
def dead():
    """A server that answers every request with the same bytes and hangs up."""
    answers = {"bytes": b""}
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link, link.makefile("rb") as asked:
                # All of it: closing with bytes unread would reset the connection, and take the answer along.
                head = b"".join(takewhile(lambda line: line != b"\r\n", asked)).lower()
                asked.read(int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0))
                link.sendall(answers["bytes"])

    thread = threading.Thread(target=serve)
    thread.start()
    engine = RemoteEngine(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", model="m", redact=str)
    yield engine, answers
    engine.close()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
WORD = b'data: {"choices": [{"delta": {"content": "Bo"}}]}\n\n'


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        HEAD,
        HEAD + b"data: {\n\n",
        HEAD + b"data: 3\n\n",
        HEAD + b'data: {"choices": [3]}\n\n',
        HEAD + b'data: {"choices": [{"logprobs": {"content": [{}]}}]}\n\n',
        HEAD + b'data: {"choices": [{"logprobs": {"content": [{"bytes": 9999999999999, "logprob": 0}]}}]}\n\n',
    ],
    ids=["nothing", "busy", "no-event", "no-json", "no-object", "no-choice", "no-chance", "no-bytes"],
)
def test_before_the_first_word_it_counts_as_away(dead, said):
    engine, answers = dead
    answers["bytes"] = said
    with pytest.raises(UpstreamAway):
        list(engine.generate(request()))


def test_a_refusal_without_an_end_is_told_by_its_beginning(dead):
    engine, answers = dead
    answers["bytes"] = b"HTTP/1.1 500 No\r\nContent-Length: 90000000000\r\n\r\n" + b"x" * (MOST_REFUSAL + 1)
    with pytest.raises(EngineError, match=r"answered 500: x{300} Check"):
        list(engine.generate(request()))


def test_after_the_first_word_an_answer_cut_short_is_an_error_and_no_answer(dead):
    engine, answers = dead
    answers["bytes"] = HEAD + WORD
    pieces = engine.generate(request())
    assert next(pieces) == "Bo"
    with pytest.raises(EngineError, match="broke off"):
        next(pieces)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_away_means_the_boxs_own_model_answers_and_the_server_is_left_in_peace_for_a_while(dead):
    engine, answers = dead
    local = ScriptedEngine(["Own."], ending=USAGE)
    clock = Clock()
    both = FallbackEngine(engine, local, clock=clock)
    assert both.model == "m"
    assert "".join(p for p in both.generate(request()) if isinstance(p, str)) == "Own."
    assert both.model == "scripted"
    answers["bytes"] = HEAD + WORD + b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
    assert "".join(p for p in both.generate(request()) if isinstance(p, str)) == "Own.", "not asked again yet"
    clock.now += REST_S
    assert "".join(p for p in both.generate(request()) if isinstance(p, str)) == "Bo"


def test_what_the_server_cannot_do_the_box_does(api, remote):
    local = ScriptedEngine(["Own."], ending=USAGE)
    both = FallbackEngine(remote, local)
    for asked in (request(adapter="poems"), request(thinking_tokens=5)):
        assert "".join(p for p in both.generate(asked) if isinstance(p, str)) == "Own."
    assert "".join(p for p in both.generate(request()) if isinstance(p, str)) == "Boil it.", "and it is asked again"


def test_the_log_says_which_model_answered(remote):
    log = ListLog()
    pipeline = Pipeline(
        engine=FallbackEngine(remote, ScriptedEngine(["Own."], ending=USAGE)),
        finder=ScriptedFinder([passage("Boil it.")]),
        translator=ScriptedTranslator({}),
        log=log,
        config=Config(),
        working_lang="en",
        documents=lambda: True,
    )
    *_, last = pipeline.ask(Question(text="How?", lang="en"))
    assert isinstance(last, Finished)
    assert log.records[0][1]["model"] == "base"


@pytest.fixture
def gate():
    """Opened in the end, so that no server waits behind it."""
    opened = threading.Event()
    yield opened
    opened.set()


def test_a_server_that_says_nothing_is_left_when_the_deadline_passes(api, remote, gate):
    api.engine = ScriptedEngine(["Bo"], gate=gate)
    with pytest.raises(EngineError, match="deadline passed before"):
        list(remote.generate(request(deadline_s=0.3)))
    assert api.engine.requests


def test_an_answer_that_stops_growing_ends_as_it_is_when_the_deadline_passes(api, remote, gate):
    class Stuck(ScriptedEngine):
        def generate(self, request):
            yield "Bo"
            gate.wait(30)
            yield from super().generate(request)

    api.engine = Stuck(["il"])
    *texts, usage = remote.generate(request(deadline_s=0.5))
    assert texts == ["Bo"] and usage.finish == "deadline"


def test_what_a_server_took_of_the_deadline_is_not_given_again(api, remote, gate):
    api.engine = ScriptedEngine(["Bo"], gate=gate)
    local = ScriptedEngine(["Own."])
    list(FallbackEngine(remote, local).generate(request(deadline_s=0.3)))
    assert local.requests[0].deadline_s == 0


def test_a_server_says_whether_it_is_there_and_takes_the_key(api, remote):
    assert remote.ails() == ""
    for url, words in ((api.url, "refuses the key"), ("http://127.0.0.1:1/v1", "cannot be reached")):
        other = RemoteEngine(url, model="base", key="wrong", redact=str)
        assert words in other.ails()
        other.close()
