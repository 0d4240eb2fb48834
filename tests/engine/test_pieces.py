"""appliance.engine.pieces: whole characters, nothing lost, nothing from a stop text on."""

from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.pieces import Pieces
from appliance.engine.protocol import Thinking

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def flat(*released: list[str | Thinking]) -> str:
    """All of it, thoughts in brackets."""
    pieces = (piece for one in released for piece in one)
    return "".join(
        f"[{''.join(piece.text for piece in together)}]" if thought else "".join(together)
        for thought, together in groupby(pieces, key=lambda piece: isinstance(piece, Thinking))
    )


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


@given(TEXT, st.lists(st.integers(0, 500)), st.lists(st.text("ab", min_size=1), max_size=2))
def test_however_the_bytes_are_cut_the_text_is_the_same(text: str, cuts: list[int], stop: list[str]) -> None:
    stop = [s for s in stop if s not in text]
    pieces = Pieces(stop)
    given_out = [pieces.push(part) for part in cut(text.encode(), cuts)]
    assert flat(*given_out, pieces.finish()) == text
    assert not pieces.stopped


@given(st.text("अ🙂éx", min_size=1), st.lists(st.integers(0, 500)))
def test_no_piece_holds_half_a_character(text: str, cuts: list[int]) -> None:
    pieces = Pieces()
    seen = ""
    for part in cut(text.encode(), cuts):
        seen += flat(pieces.push(part))
        assert text.startswith(seen)


@given(st.text("abc", max_size=30), st.text("abc", min_size=1, max_size=4), st.lists(st.integers(0, 500)))
def test_a_stop_text_ends_it_wherever_it_is_cut(text: str, stop: str, cuts: list[int]) -> None:
    pieces = Pieces([stop])
    out = flat(*(pieces.push(part) for part in cut(text.encode(), cuts)))
    out += flat(pieces.finish())
    assert pieces.stopped == (stop in text)
    assert out == text.split(stop, 1)[0]


def test_of_several_stop_texts_the_first_in_the_text_counts() -> None:
    pieces = Pieces(["late", "early", ""])
    assert pieces.push(b"an early and late end") == ["an "]
    assert pieces.push(b"more") == [] == pieces.finish()


@given(st.binary(max_size=40), st.lists(st.integers(0, 100)))
def test_bytes_that_are_no_text_become_replacement_characters(data: bytes, cuts: list[int]) -> None:
    pieces = Pieces()
    out = flat(*(pieces.push(part) for part in cut(data, cuts)), pieces.finish())
    assert out == data.decode("utf-8", "replace")


CUTS = st.lists(st.integers(0, 500))
THOUGHT = "<think>Is it 2 < 3? </thin </think>\n\nYes: <think> is a word."


@given(CUTS)
def test_a_thought_is_told_apart_however_it_is_cut(cuts: list[int]) -> None:
    pieces = Pieces(["word"], thinks=True)
    out = flat(*(pieces.push(part) for part in cut(f" \n{THOUGHT}".encode(), cuts)), pieces.finish())
    assert out == "[Is it 2 < 3? </thin ]Yes: <think> is a "
    assert pieces.stopped


@given(CUTS)
def test_a_thought_that_the_prompt_opened_needs_no_mark(cuts: list[int]) -> None:
    pieces = Pieces(["2"], thinks=True, thinking=True)
    out = flat(*(pieces.push(part) for part in cut(b"2 or 3</think>3", cuts)), pieces.finish())
    assert out == "[2 or 3]3"  # a stop text within a thought ends nothing


@given(st.sampled_from(["<thin", "  plain <think>", "<", "", " \n", "<thimble> 1"]), CUTS)
def test_a_model_that_may_think_need_not(text: str, cuts: list[int]) -> None:
    pieces = Pieces(thinks=True)
    assert flat(*(pieces.push(part) for part in cut(text.encode(), cuts)), pieces.finish()) == text


@given(CUTS)
def test_the_mark_means_nothing_to_a_model_that_does_not_think(cuts: list[int]) -> None:
    pieces = Pieces()
    assert flat(*(pieces.push(part) for part in cut(THOUGHT.encode(), cuts)), pieces.finish()) == THOUGHT


def test_an_unfinished_thought_is_no_answer() -> None:
    pieces = Pieces(thinks=True)
    assert flat(pieces.push(b"<think>Well</th"), pieces.finish()) == "[Well</th]"
