"""appliance.engine.pieces: whole characters, nothing lost, nothing from a stop text on."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.pieces import Pieces

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


@given(TEXT, st.lists(st.integers(0, 500)), st.lists(st.text("ab", min_size=1), max_size=2))
def test_however_the_bytes_are_cut_the_text_is_the_same(text: str, cuts: list[int], stop: list[str]) -> None:
    stop = [s for s in stop if s not in text]
    pieces = Pieces(stop)
    given_out = [pieces.push(part) for part in cut(text.encode(), cuts)]
    assert "".join([*given_out, pieces.finish()]) == text
    assert not pieces.stopped


@given(st.text("अ🙂éx", min_size=1), st.lists(st.integers(0, 500)))
def test_no_piece_holds_half_a_character(text: str, cuts: list[int]) -> None:
    pieces = Pieces()
    seen = ""
    for part in cut(text.encode(), cuts):
        seen += pieces.push(part)
        assert text.startswith(seen)


@given(st.text("abc", max_size=30), st.text("abc", min_size=1, max_size=4), st.lists(st.integers(0, 500)))
def test_a_stop_text_ends_it_wherever_it_is_cut(text: str, stop: str, cuts: list[int]) -> None:
    pieces = Pieces([stop])
    out = "".join(pieces.push(part) for part in cut(text.encode(), cuts))
    out += pieces.finish()
    assert pieces.stopped == (stop in text)
    assert out == text.split(stop, 1)[0]


def test_of_several_stop_texts_the_first_in_the_text_counts() -> None:
    pieces = Pieces(["late", "early", ""])
    assert pieces.push(b"an early and late end") == "an "
    assert pieces.push(b"more") == "" == pieces.finish()


@given(st.binary(max_size=40), st.lists(st.integers(0, 100)))
def test_bytes_that_are_no_text_become_replacement_characters(data: bytes, cuts: list[int]) -> None:
    pieces = Pieces()
    out = "".join(pieces.push(part) for part in cut(data, cuts)) + pieces.finish()
    assert out == data.decode("utf-8", "replace")
