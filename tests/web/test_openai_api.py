"""Tests of /v1 over real HTTP with OpenAI's own client, on an engine that says what it is told to."""

import json
import threading

import httpx
import openai
import pytest

from appliance.engine.embedding import MOST_CHARACTERS
from appliance.engine.protocol import Chance, Logprobs, Thinking
from appliance.errors import AdapterError, EngineError, PromptTooLong, RequestRefused, Resting
from appliance.web import openai_api
from tests.support.scripted import ScriptedEngine, eventually
from tests.support.served_api import USAGE, served_api

HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def site(tmp_path):
    """A served API: ``site.engine`` is what answers, ``site.client`` is OpenAI's."""
    with served_api(tmp_path) as served:
        served.client = openai.OpenAI(base_url=served.url, api_key=served.key, max_retries=0)
        yield served
        served.client.close()


def chat(site, **more):
    return site.client.chat.completions.create(model="base", messages=HI, **more)


def test_an_answer_with_what_it_cost(site):
    answer = chat(site)
    assert answer.object == "chat.completion"
    assert answer.model == "base"
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "Boil it.", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 3, 10)
    assert answer.usage.prompt_tokens_details.cached_tokens == 5
    assert answer.usage.completion_tokens_details.reasoning_tokens == 1
    assert site.log.records == [
        ("metric", {"v": 1, "event": "api", "prompt_tokens": 7, "generated_tokens": 3, "finish": "stop"})
    ]


def test_a_stream_ends_with_its_cost_when_that_is_asked_for(site):
    chunks = list(chat(site, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Boil it."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 10
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chat(site, stream=True))


def test_what_is_asked_for_reaches_the_engine(site):
    site.client.chat.completions.create(
        model="base:steps",
        messages=[
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]},
        ],
        temperature=0.5, top_p=0.9, seed=7, stop=["x", "y"], max_completion_tokens=9, presence_penalty=0.5,
        frequency_penalty=0.25, logprobs=True, top_logprobs=2, reasoning_effort="low",
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "string"}}},
        extra_body={"top_k": 3, "min_p": 0.1},
    )  # fmt: skip
    (asked,) = site.engine.requests
    assert [(m.role, m.content) for m in asked.messages] == [("system", "Be short."), ("user", "Hi")]
    assert asked.adapter == "steps"
    assert (asked.temperature, asked.top_p, asked.top_k, asked.min_p) == (0.5, 0.9, 3, 0.1)
    assert (asked.seed, asked.stop, asked.max_tokens) == (7, ("x", "y"), 9)
    assert (asked.presence_penalty, asked.frequency_penalty, asked.logprobs) == (0.5, 0.25, 2)
    assert asked.response_schema == {"type": "string"}
    assert asked.thinking_tokens == 256
    assert asked.user == "test", "fairness is between keys"


def test_nothing_said_means_openais_defaults(site):
    chat(site)
    (asked,) = site.engine.requests
    assert (asked.temperature, asked.top_p, asked.min_p, asked.seed, asked.logprobs) == (1.0, 1.0, 0.0, None, None)


def test_thinking_is_kept_apart(site):
    site.engine = ScriptedEngine([Thinking(text="hm"), "Boil."], ending=USAGE)
    assert chat(site).choices[0].message.content == "Boil."
    assert chat(site).choices[0].message.reasoning_content == "hm"
    chunks = list(chat(site, stream=True))
    assert [
        c.choices[0].delta.reasoning_content for c in chunks if hasattr(c.choices[0].delta, "reasoning_content")
    ] == ["hm"]


def chance(text, logprob):
    return Chance(data=text.encode(), logprob=logprob)


def test_logprobs_in_both_shapes(site):
    told = Logprobs(chosen=chance("Bo", -0.1), top=(chance("Bo", -0.1), chance("Co", -2.5)))
    site.engine = ScriptedEngine([told, "Bo", Logprobs(chosen=chance("il", -0.2)), "il"], ending=USAGE)
    first, second = chat(site, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert (first.token, first.logprob, first.bytes) == ("Bo", -0.1, [66, 111])
    assert [other.token for other in first.top_logprobs] == ["Bo", "Co"]
    assert second.token == "il"
    streamed = [c.choices[0].logprobs for c in chat(site, stream=True, logprobs=True)]
    assert [one.token for part in streamed if part for one in part.content] == ["Bo", "il"]
    plain = site.client.completions.create(model="base", prompt="Hi", logprobs=2).choices[0].logprobs
    assert plain.tokens == ["Bo", "il"]
    assert plain.text_offset == [0, 2]
    assert plain.top_logprobs[0] == {"Bo": -0.1, "Co": -2.5}


TOOL = {"type": "function", "function": {"name": "stock", "parameters": {"type": "object"}}}


@pytest.mark.parametrize("cut", [1, 4, 30])
def test_a_call_comes_back_as_a_call_however_it_is_cut(site, cut):
    text = 'Look: <tool_call>\n{"name": "stock", "arguments": {"item": "ORS"}}\n</tool_call>'
    site.engine = ScriptedEngine([text[i : i + cut] for i in range(0, len(text), cut)], ending=USAGE)
    (choice,) = chat(site, tools=[TOOL]).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Look:"
    (call,) = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("stock", {"item": "ORS"})
    chunks = list(chat(site, tools=[TOOL], stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks).strip() == "Look:"
    (streamed,) = [c.choices[0].delta.tool_calls for c in chunks if c.choices[0].delta.tool_calls]
    assert streamed[0].function.name == "stock"
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert site.engine.requests[0].tools == (TOOL,)


def test_what_only_looks_like_a_call_stays_text(site):
    site.engine = ScriptedEngine(["1 <tool", " <tool_call>{no}</tool_call>"], ending=USAGE)
    assert chat(site, tools=[TOOL]).choices[0].message.content == "1 <tool <tool_call>{no}</tool_call>"
    chunks = list(chat(site, tools=[TOOL], stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "1 <tool <tool_call>{no}</tool_call>"


def test_completions_take_a_raw_prompt(site):
    answer = site.client.completions.create(model="base", prompt=["Boil"], max_tokens=4)
    assert (answer.object, answer.choices[0].text) == ("text_completion", "Boil it.")
    (asked,) = site.engine.requests
    assert (asked.prompt, asked.messages, asked.max_tokens) == ("Boil", (), 4)
    chunks = list(site.client.completions.create(model="base", prompt="Boil", stream=True))
    assert "".join(c.choices[0].text for c in chunks) == "Boil it."


def test_embeddings_as_numbers_and_packed(site):
    plain = site.client.embeddings.create(model="vectors", input=["ab", "abc"], encoding_format="float")
    assert [one.embedding for one in plain.data] == [[2.0, 0.5], [3.0, 0.5]]
    packed = site.client.embeddings.create(model="vectors", input="ab")  # the client asks for base64 by itself
    assert packed.data[0].embedding == [2.0, 0.5]
    assert "vectors" in [model.id for model in site.client.models.list()]
    with pytest.raises(openai.BadRequestError, match="Texts are needed"):
        site.client.embeddings.create(model="vectors", input=[])


def test_embeddings_cost_their_tokens_and_a_text_that_is_not_read_whole_is_refused(site):
    assert site.client.embeddings.create(model="vectors", input=["ab", "abc"]).usage.prompt_tokens == 5
    for length, words in ((513, "513 tokens, and the model reads 512"), (MOST_CHARACTERS + 1, "16385 characters")):
        with pytest.raises(openai.BadRequestError, match=words) as refused:
            site.client.embeddings.create(model="vectors", input=["ab", "a" * length])
        assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "input")


def test_adapters_are_models(site):
    assert [model.id for model in site.client.models.list()] == ["base", "base:steps", "vectors"]
    assert site.client.models.retrieve("base:steps").id == "base:steps"
    with pytest.raises(openai.NotFoundError, match=r"no model 'base:poems'.*base:steps"):
        site.client.models.retrieve("base:poems")
    with pytest.raises(openai.NotFoundError) as refused:
        site.client.chat.completions.create(model="base:poems", messages=HI)
    assert refused.value.code == "model_not_found"


def test_a_name_built_into_a_program_gets_the_boxs_model_and_is_told_which(site):
    assert site.client.chat.completions.create(model="gpt-4o", messages=HI).model == "base"
    assert site.client.models.retrieve("gpt-4o").id == "base"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"store": True}, "store"),
        ({"modalities": ["text", "audio"], "audio": {"format": "wav", "voice": "ash"}}, "audio"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"n": 2}, "n"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"tool_choice": "required", "tools": [TOOL]}, "tool_choice"),
        ({"temperature": 3}, "temperature"),
        ({"extra_body": {"colour": "red"}}, "colour"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"messages": []}, "messages"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(site, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        site.client.chat.completions.create(**{"model": "base", "messages": HI, **more})
    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"
    assert site.engine.requests == []


def test_parts_of_openais_api_that_are_elsewhere(site):
    with pytest.raises(openai.NotFoundError) as refused:
        site.client.chat.completions.list()
    assert refused.value.code == "unknown_url"


def test_no_key_no_answer(site):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {site.key}"}):
        answer = httpx.get(f"{site.url}/models", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
    site.keys.revoke("test")
    with pytest.raises(openai.AuthenticationError, match="API of this box is off"):
        site.client.models.list()


def test_an_adapter_that_was_taken_back_is_refused_here_too(site, tmp_path):
    assert site.client.chat.completions.create(model="base:steps", messages=HI).model == "base:steps"
    taken = {"format": 1, "revoked": {"adapters/p/steps-1": "wrong doses"}}
    (tmp_path / "revoked.json").write_text(json.dumps(taken))
    for ask in (
        lambda: site.client.chat.completions.create(model="base:steps", messages=HI),
        lambda: site.client.completions.create(model="base:steps", prompt="Hi"),
    ):
        with pytest.raises(openai.NotFoundError, match="taken back by your organisation: wrong doses"):
            ask()
    assert chat(site).model == "base"


def test_a_damaged_file_of_keys_is_told_in_words(site, tmp_path):
    (tmp_path / "api-keys.json").write_text("{")
    with pytest.raises(openai.InternalServerError, match=r"api-keys\.json cannot be read"):
        site.client.models.list()


def test_the_engines_refusals_keep_their_words_and_get_a_status(site):
    class Refusing(ScriptedEngine):
        error = PromptTooLong("The prompt has 900 tokens.", todo="Ask in fewer words.")

        def generate(self, request):
            raise self.error
            yield

    site.engine = Refusing([])
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="900 tokens") as refused:
            chat(site, stream=stream)
        assert refused.value.code == "context_length_exceeded"
    site.engine.error = RequestRefused("The answer's schema cannot be used.")
    with pytest.raises(openai.BadRequestError, match="schema cannot be used"):
        chat(site)
    site.engine.error = AdapterError("The adapter steps was made for another model.")
    with pytest.raises(openai.NotFoundError, match="another model"):
        chat(site)
    for error in (EngineError("The model's process crashed."), Resting("The model rests now.")):
        site.engine.error = error
        with pytest.raises(openai.InternalServerError, match=error.found) as refused:
            chat(site)
        assert refused.value.status_code == 503 and refused.value.response.headers["retry-after"] == "5"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_ends_its_generation(site, stream):
    gate = threading.Event()
    site.engine = ScriptedEngine(["Bo", *["il"] * 50], gate=gate)
    body = {"model": "base", "messages": HI, "stream": stream}
    headers = {"Authorization": f"Bearer {site.key}"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{site.url}/chat/completions", json=body, headers=headers, timeout=0.5)
    eventually(lambda: site.engine.cancelled == [site.engine.requests[0].id])
    gate.set()
    eventually(site.engine.closed.is_set)


def test_too_many_at_once_are_told_to_come_back(site):
    gate = threading.Event()
    site.engine = ScriptedEngine(["x"], gate=gate, ending=USAGE)
    body = {"model": "base", "messages": HI}
    headers = {"Authorization": f"Bearer {site.key}"}

    def ask():
        httpx.post(f"{site.url}/chat/completions", json=body, headers=headers, timeout=30)

    threads = [threading.Thread(target=ask) for _ in range(openai_api.MOST_AT_ONCE)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(site.engine.requests) == openai_api.MOST_AT_ONCE)
    with pytest.raises(openai.RateLimitError) as refused:
        chat(site)
    assert refused.value.response.headers["retry-after"] == "5"
    gate.set()
    for thread in threads:
        thread.join()
    assert chat(site).choices[0].message.content == "x"


def test_a_body_without_end_is_cut_off(site):
    headers = {"Authorization": f"Bearer {site.key}"}
    answer = httpx.post(f"{site.url}/completions", content=b"[" * (openai_api.MOST_BYTES + 1), headers=headers)
    assert answer.status_code == 413
