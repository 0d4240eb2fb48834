"""Other programs on the Wi-Fi use the box's model: the real openai and LiteLLM clients against ``fieldpost serve``."""

import json
import os

import openai
import pytest

from tests.support.site import run, serving

TELL = [{"role": "user", "content": "How do I make water safe?"}]


@pytest.fixture(scope="module")
def box(demo_site):
    with serving("fieldpost", "--home", demo_site.home) as server:
        yield server


@pytest.fixture(scope="module")
def key(demo_site, box):
    return run("fieldpost", "keys", "new", "journey", "--home", demo_site.home).stdout.strip()


@pytest.fixture(scope="module")
def client(box, key):
    with openai.OpenAI(base_url=f"{box.url}/v1", api_key=key, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def model(client):
    return next(iter(client.models.list())).id


def test_without_a_key_the_api_is_shut_though_the_page_is_open(box, key):
    stranger = openai.OpenAI(base_url=f"{box.url}/v1", api_key="guessed", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_a_stream_is_the_same_text_as_the_whole(client, model):
    ask = {"model": model, "messages": TELL, "temperature": 0, "max_tokens": 24}
    whole = client.chat.completions.create(**ask)
    streamed = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
    assert text == whole.choices[0].message.content
    assert text
    assert streamed[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_a_seed_repeats_and_another_does_not(client, model):
    def once(seed):
        answer = client.chat.completions.create(
            model=model, messages=TELL, temperature=2, seed=seed, max_tokens=24, top_p=1
        )
        return answer.choices[0].message.content

    assert once(1) == once(1)
    assert len({once(seed) for seed in range(5)}) > 1


def test_an_answer_in_a_schema_fits_it(client, model):
    schema = {
        "type": "object",
        "properties": {"minutes": {"type": "integer"}, "safe": {"type": "boolean"}},
        "required": ["minutes", "safe"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model=model,
        messages=TELL,
        temperature=0,
        max_tokens=100,
        response_format={"type": "json_schema", "json_schema": {"name": "boil", "schema": schema}},
    )
    (choice,) = answer.choices
    if choice.finish_reason == "length":  # a grammar bounds the form, not how long a little model counts
        assert choice.message.content.lstrip().startswith("{")
    else:
        told = json.loads(choice.message.content)
        assert set(told) == {"minutes", "safe"}
        assert type(told["minutes"]) is int
        assert type(told["safe"]) is bool


def test_logprobs_are_probabilities_and_the_greedy_token_is_the_likeliest(client, model):
    answer = client.chat.completions.create(
        model=model, messages=TELL, temperature=0, max_tokens=8, logprobs=True, top_logprobs=3
    )
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens
    for token in content:
        assert token.logprob <= 0
        assert token.logprob == pytest.approx(max(other.logprob for other in token.top_logprobs))


def test_an_adapter_is_a_model_and_answers_otherwise(client, model):
    raw = {"prompt": "Water", "temperature": 0, "max_tokens": 24}
    names = [one.id for one in client.models.list()]
    adapted = f"{model}:steps"
    assert adapted in names
    plain = client.completions.create(model=model, **raw, logprobs=1)
    other = client.completions.create(model=adapted, **raw, logprobs=1)
    assert plain.choices[0].logprobs.token_logprobs != other.choices[0].logprobs.token_logprobs


def test_a_stream_that_is_left_frees_the_model(client, model):
    with client.chat.completions.create(
        model=model, messages=TELL, temperature=2, max_tokens=400, stream=True
    ) as stream:
        next(iter(stream))
    assert client.chat.completions.create(model=model, messages=TELL, max_tokens=2).choices


def test_litellm_asks_the_same_way(box, key, model):
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch prices when it is imported
    import litellm

    answer = litellm.completion(
        model=f"openai/{model}", api_base=f"{box.url}/v1", api_key=key, messages=TELL, temperature=0, max_tokens=8
    )
    assert answer.choices[0].message.content
    pieces = litellm.completion(
        model=f"openai/{model}", api_base=f"{box.url}/v1", api_key=key, messages=TELL, temperature=0, max_tokens=8,
        stream=True,
    )  # fmt: skip
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text == answer.choices[0].message.content


def test_revoked_is_refused_at_once(demo_site, box):
    secret = run("fieldpost", "keys", "new", "short-lived", "--home", demo_site.home).stdout.strip()
    with openai.OpenAI(base_url=f"{box.url}/v1", api_key=secret, max_retries=0) as guest:
        assert guest.models.list().data
        run("fieldpost", "keys", "revoke", "short-lived", "--home", demo_site.home)
        with pytest.raises(openai.AuthenticationError):
            guest.models.list()
