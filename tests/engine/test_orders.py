"""appliance.engine.orders: what is sent is what arrives, and what no model could do is refused."""

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine import orders
from appliance.engine.protocol import Chance, GenerationRequest, Logprobs, Message
from appliance.errors import AdapterError, EngineError, PromptTooLong

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.dictionaries(st.text(), v))
OBJECTS = st.dictionaries(st.text(), JSON, max_size=3)
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=st.text(),
    shared=st.integers(0, 9),
    tool_calls=st.lists(OBJECTS, max_size=2).map(tuple),
    tool_call_id=st.text(max_size=4),
)
REQUESTS = st.builds(
    GenerationRequest,
    messages=st.lists(MESSAGES, max_size=3).map(tuple),
    prompt=st.none() | st.text(),
    tools=st.lists(OBJECTS, max_size=2).map(tuple),
    max_tokens=st.integers(1),
    stop=st.lists(st.text(), max_size=3).map(tuple),
    response_schema=st.none() | OBJECTS,
    seed=st.none() | st.integers(0),
    logprobs=st.none() | st.integers(0, 20),
    user=st.text(),
    deadline_s=st.none() | st.floats(0, 1e6),
)


@given(REQUESTS)
def test_a_request_arrives_as_it_was_sent(request: GenerationRequest) -> None:
    sent = json.loads(json.dumps(orders.request_to_message(request)))
    assert replace(orders.request_from_message({"do": "generate", "key": 1, **sent}), id=request.id) == request


@given(st.lists(st.tuples(st.binary(max_size=9), st.floats(-90, 0)), min_size=1))
def test_logprobs_arrive_as_they_were_sent(pairs: list[tuple[bytes, float]]) -> None:
    chances = [Chance(data=data, logprob=value) for data, value in pairs]
    logprobs = Logprobs(chosen=chances[0], top=tuple(chances[1:]))
    assert orders.logprobs_from_message(json.loads(json.dumps(orders.logprobs_to_message(logprobs)))) == logprobs


def test_the_plain_request_is_fine_and_each_senseless_number_is_named() -> None:
    plain = GenerationRequest(prompt="Water", max_tokens=1)
    orders.check(plain, ())
    wrong: dict[str, object] = {
        "max_tokens": 0,
        "temperature": float("nan"),
        "top_k": -1,
        "top_p": 1.1,
        "min_p": -0.1,
        "repeat_penalty": 0.0,
        "presence_penalty": 3.0,
        "frequency_penalty": float("inf"),
        "seed": -1,
        "logprobs": 21,
        "thinking_tokens": -1,
        "deadline_s": -1.0,
    }
    assert wrong.keys() <= {f.name for f in fields(GenerationRequest)}
    for name, value in wrong.items():
        with pytest.raises(EngineError, match="tokens" if name == "max_tokens" else name):
            orders.check(replace(plain, **{name: value}), ())
    with pytest.raises(EngineError, match="stop"):
        orders.check(replace(plain, stop=("x",) * 17), ())
    with pytest.raises(AdapterError, match="nobody"):
        orders.check(replace(plain, adapter="nobody"), ("known",))


def test_messages_or_a_prompt_and_not_both() -> None:
    for wrong in (
        GenerationRequest(max_tokens=1),
        GenerationRequest(max_tokens=1, prompt="x", messages=(Message(role="user", content="x"),)),
    ):
        with pytest.raises(EngineError, match="messages or a raw prompt"):
            orders.check(wrong, ())


def test_what_is_no_json_or_too_long_is_refused_before_it_is_sent() -> None:
    with pytest.raises(EngineError, match="cannot be sent"):
        orders.request_to_message(GenerationRequest(prompt="", max_tokens=1, response_schema={"a": object()}))
    with pytest.raises(PromptTooLong, match="bytes"):
        orders.request_to_message(GenerationRequest(prompt="x" * orders.MOST_BYTES, max_tokens=1))
