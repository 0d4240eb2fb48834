"""Two opinions as one order: whoever is sure decides, and silence does not count against a passage."""

from appliance.exchange import Passage
from appliance.knowledge.fuse import Hit, fused


def hit(number: int, fit: float, near: float | None, trust: float = 1.0) -> Hit:
    passage = Passage(
        id=str(number), docpack="p", document="d", title="", heading="", lang="en", text="", start=0, end=0
    )
    return Hit(number=number, fit=fit, near=near, trust=trust, evident=True, passage=passage)


def order(*hits: Hit) -> list[int]:
    return [found.number for found in fused(hits)]


def test_without_vectors_the_words_decide() -> None:
    assert order(hit(1, 0.2, None), hit(2, 0.5, None), hit(3, 0.3, None)) == [2, 3, 1]


def test_whoever_is_sure_decides() -> None:
    assert order(hit(1, 0.40, 0.20), hit(2, 0.38, 0.90), hit(3, 0.39, 0.21)) == [2, 1, 3]
    assert order(hit(1, 0.90, 0.40), hit(2, 0.20, 0.42), hit(3, 0.21, 0.41)) == [1, 2, 3]


def test_both_together_beat_one() -> None:
    assert order(hit(1, 0.5, 0.1), hit(2, 0.1, 0.5), hit(3, 0.45, 0.45))[0] == 3


def test_vectors_that_find_badly_are_heard_little() -> None:
    assert order(hit(1, 0.45, 0.30, 1.3), hit(2, 0.35, 0.45, 1.3)) == [2, 1]
    assert order(hit(1, 0.45, 0.30, 0.7), hit(2, 0.35, 0.45, 0.7)) == [1, 2]


def test_what_is_not_among_the_nearest_counts_as_the_last_of_them() -> None:
    assert order(hit(1, 0.5, None), hit(2, 0.4, 0.3), hit(3, 0.1, 0.29)) == [1, 2, 3]


def test_equal_hits_keep_the_indexes_order() -> None:
    assert order(hit(2, 0.3, 0.3), hit(1, 0.3, 0.3)) == [1, 2]
    assert fused([]) == []
