"""appliance.engine.generation: what is due to decode, and when it ends; a scripted vocabulary, no model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.generation import Extras, Generation, Vocabulary
from appliance.engine.pieces import Pieces
from appliance.engine.protocol import Chance, Logprobs, Piece, Thinking
from appliance.engine.sampling import Sampler, Sampling
from appliance.errors import PromptTooLong

END = 0
WORDS = {0: b"", 1: b"a", 2: "é".encode()[:1], 3: "é".encode()[1:], 4: b"stop", 5: b"</think>", 6: b"\n", 7: b"7"}


def begin(
    prompt: int,
    *,
    context: int = 64,
    max_tokens: int = 8,
    pieces: Pieces | None = None,
    extras: Extras = Extras(),  # noqa: B008
    boundaries: tuple[int, ...] = (),
) -> Generation:
    return Generation(
        [9] * prompt,
        context=context,
        max_tokens=max_tokens,
        sampler=Sampler(Sampling()),
        pieces=pieces or Pieces(),
        vocabulary=Vocabulary(is_end=lambda token: token == END, piece=WORDS.__getitem__, end_of_thinking=(5, 6)),
        extras=extras,
        boundaries=boundaries,
    )


def scores(token: int) -> np.ndarray:
    return np.eye(8, dtype=np.float32)[token]


def run(generation: Generation, *tokens: int) -> list[Piece]:
    pieces: list[Piece] = []
    for token in tokens:
        assert generation.finish is None
        while not generation.decoded(generation.due):
            pass
        pieces += generation.take(scores(token))
    return pieces


def text(generation: Generation, *tokens: int) -> str:
    return "".join(piece for piece in run(generation, *tokens) if isinstance(piece, str))


@given(st.integers(1, 63), st.integers(1, 20), st.lists(st.integers(0, 70), max_size=4), st.data())
def test_the_prompt_is_decoded_in_chunks_that_pause_at_every_boundary(
    prompt: int, chunk: int, boundaries: list[int], data: st.DataObject
) -> None:
    generation = begin(prompt, context=128, boundaries=tuple(boundaries))
    kept = data.draw(st.integers(0, prompt - 1))
    generation.restored(kept)
    assert generation.cached_tokens == kept
    seen = {kept}
    ready = False
    while not ready:
        assert not generation.writing
        assert generation.due >= 1
        ready = generation.decoded(min(generation.due, chunk))
        seen.add(generation.position)
    assert generation.position == prompt
    assert {b for b in boundaries if kept < b < prompt} <= seen
    generation.take(scores(1))
    assert generation.writing and generation.due == 1
    assert generation.tokens == [9] * prompt + [1]


def test_it_ends_at_the_end_token_which_is_no_text() -> None:
    generation = begin(3)
    assert text(generation, 1, 1, END) == "aa"
    assert (generation.finish, generation.generated_tokens) == ("stop", 2)


def test_it_ends_at_the_limit_and_gives_the_half_character_back_as_a_replacement() -> None:
    generation = begin(3, max_tokens=2)
    assert text(generation, 1, 2) == "a\ufffd"
    assert (generation.finish, generation.generated_tokens) == ("length", 2)


def test_it_ends_where_the_context_does() -> None:
    generation = begin(61, context=64)
    assert text(generation, 1, 2, 3) == "aé"
    assert generation.finish == "length"


def test_it_ends_at_a_stop_text() -> None:
    generation = begin(3, pieces=Pieces(["as"]))
    assert text(generation, 1, 4) == ""
    assert generation.finish == "stop"


@pytest.mark.parametrize("prompt", [0, 64, 100])
def test_a_prompt_that_leaves_no_room_is_refused(prompt: int) -> None:
    with pytest.raises(PromptTooLong, match=str(prompt)):
        begin(prompt)


def test_a_thought_that_took_long_enough_is_closed_and_the_answer_follows() -> None:
    generation = begin(3, pieces=Pieces(thinking=True), extras=Extras(thinking_tokens=2))
    pieces = run(generation, 1, 1)
    assert pieces == [Thinking(text="a"), Thinking(text="a")]
    assert generation.tokens[3:] == [1, 1, 5, 6]
    assert generation.due == 3  # the closing mark is decoded with the last thought
    assert run(generation, 7, END) == ["7"]
    assert (generation.thinking_tokens, generation.generated_tokens) == (3, 5)


def test_without_a_limit_a_thought_ends_when_the_model_ends_it() -> None:
    generation = begin(3, pieces=Pieces(thinking=True))
    assert run(generation, 1, 5, 6, 7) == [Thinking(text="a"), "7"]
    assert generation.thinking_tokens == 2


def test_a_thought_closed_by_force_never_passes_the_limit_of_all() -> None:
    generation = begin(3, max_tokens=2, pieces=Pieces(thinking=True), extras=Extras(thinking_tokens=1))
    run(generation, 1)
    assert (generation.finish, generation.generated_tokens) == ("length", 2)


def test_logprobs_come_before_the_text_and_hold_the_likeliest() -> None:
    generation = begin(1, extras=Extras(logprobs=2))
    generation.decoded(1)
    first, after = generation.take(np.log(np.array([1, 5, 1, 1, 3, 1, 1, 1]) / 14).astype(np.float32))
    assert isinstance(first, Logprobs) and after == "a"
    assert first.chosen == first.top[0] == Chance(data=b"a", logprob=pytest.approx(np.log(5 / 14)))
    assert first.top[1] == Chance(data=b"stop", logprob=pytest.approx(np.log(3 / 14)))


class Only:
    """A grammar that allows some tokens."""

    def __init__(self, *allowed: int) -> None:
        self.allowed = allowed
        self.accepted: list[int] = []
        self.masks = 0

    def allows(self, token: int) -> bool:
        return token in self.allowed

    def masked(self, scores: np.ndarray) -> np.ndarray:
        self.masks += 1
        masked = np.full_like(scores, -np.inf)
        masked[list(self.allowed)] = scores[list(self.allowed)]
        return masked

    def accept(self, token: int) -> None:
        assert token in self.allowed
        self.accepted.append(token)


def test_a_grammar_is_only_asked_for_all_tokens_when_it_refuses_the_one() -> None:
    grammar = Only(1, 7)
    assert text(begin(2, extras=Extras(grammar=grammar)), 1, 4, 7) == "aa7"
    assert (grammar.accepted, grammar.masks) == ([1, 1, 7], 1)


def test_a_grammar_that_allows_nothing_ends_the_answer() -> None:
    generation = begin(2, extras=Extras(grammar=Only()))
    assert text(generation, 1) == ""
    assert generation.finish == "stop"


def test_a_grammar_does_not_bind_thoughts() -> None:
    grammar = Only(7)
    generation = begin(2, pieces=Pieces(thinking=True), extras=Extras(grammar=grammar))
    assert run(generation, 1, 5, 7) == [Thinking(text="a"), "7"]
    assert grammar.accepted == [7]
