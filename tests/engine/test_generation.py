"""appliance.engine.generation: what is due to decode, and when it ends; a scripted vocabulary, no model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.generation import Generation
from appliance.engine.pieces import Pieces
from appliance.engine.sampling import Sampler, Sampling
from appliance.errors import PromptTooLong

END = 0
WORDS = {1: b"a", 2: "é".encode()[:1], 3: "é".encode()[1:], 4: b"stop"}


def begin(prompt: int, *, context: int = 64, max_tokens: int = 8, stop: tuple[str, ...] = ()) -> Generation:
    return Generation(
        [9] * prompt,
        context=context,
        max_tokens=max_tokens,
        sampler=Sampler(Sampling()),
        pieces=Pieces(stop),
        is_end=lambda token: token == END,
        piece=WORDS.__getitem__,
    )


def scores(token: int) -> np.ndarray:
    return np.eye(8, dtype=np.float32)[token]


@given(st.integers(1, 63), st.integers(1, 20))
def test_the_prompt_is_decoded_in_chunks_without_gap_or_overlap(prompt: int, chunk: int) -> None:
    generation = begin(prompt, context=128)
    position = 0
    ready = False
    while not ready:
        tokens, at = generation.due(chunk)
        assert at == position
        assert 1 <= len(tokens) <= chunk
        position += len(tokens)
        ready = generation.decoded(len(tokens))
    assert position == prompt
    generation.take(scores(1))
    assert generation.due(chunk) == ([1], prompt)


def run(generation: Generation, *tokens: int) -> str:
    text = ""
    for token in tokens:
        assert generation.finish is None
        due, _ = generation.due(100)
        assert generation.decoded(len(due))
        text += generation.take(scores(token))
    return text


def test_it_ends_at_the_end_token_which_is_no_text() -> None:
    generation = begin(3)
    assert run(generation, 1, 1, END) == "aa"
    assert (generation.finish, generation.generated_tokens) == ("stop", 2)


def test_it_ends_at_the_limit_and_gives_the_half_character_back_as_a_replacement() -> None:
    generation = begin(3, max_tokens=2)
    assert run(generation, 1, 2) == "a\ufffd"
    assert (generation.finish, generation.generated_tokens) == ("length", 2)


def test_it_ends_where_the_context_does() -> None:
    generation = begin(61, context=64)
    assert run(generation, 1, 2, 3) == "aé"
    assert generation.finish == "length"


def test_it_ends_at_a_stop_text() -> None:
    generation = begin(3, stop=("as",))
    assert run(generation, 1, 4) == ""
    assert generation.finish == "stop"


@pytest.mark.parametrize("prompt", [0, 64, 100])
def test_a_prompt_that_leaves_no_room_is_refused(prompt: int) -> None:
    with pytest.raises(PromptTooLong, match=str(prompt)):
        begin(prompt)
