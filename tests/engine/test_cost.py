"""appliance.engine.cost: fills up where that is cheaper, and nowhere else."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.cost import CostCurve

CURVES = st.dictionaries(st.integers(1, 64), st.floats(0.001, 10), min_size=1).map(lambda s: CostCurve(seconds=s))
MEASURED = CostCurve(seconds={1: 27, 2: 55, 4: 69, 7: 98, 8: 83, 15: 126, 16: 94, 32: 160, 64: 250})


def test_the_measured_dips_are_used() -> None:
    assert [MEASURED.fill(size, 16) for size in (1, 6, 7, 8, 9, 12, 15, 16)] == [1, 8, 8, 8, 9, 16, 16, 16]
    assert MEASURED.fill(15, 15) == 15  # no room for more
    assert MEASURED.best(9, 48) == 32 and MEASURED.best(9, 14) == 14
    assert MEASURED.within(170, (16, 32, 64)) == 32
    assert MEASURED.within(1, (16, 32, 64)) == 16


@given(CURVES, st.integers(1, 80), st.integers(1, 80))
def test_filling_up_never_costs_more_and_stays_within_bounds(curve: CostCurve, size: int, most: int) -> None:
    filled = curve.fill(size, most)
    assert filled == size or (size < filled <= most and curve.at(filled) < curve.at(size))


@given(CURVES, st.integers(1, 80), st.integers(0, 80))
def test_the_best_size_is_within_bounds(curve: CostCurve, least: int, more: int) -> None:
    best = curve.best(least, least + more)
    assert least <= best <= least + more
    within = [size for size in curve.seconds if least <= size <= least + more]
    assert all(best / curve.at(best) >= size / curve.at(size) for size in within)
    assert best in within or not within


@given(CURVES, st.integers(1, 200))
def test_between_two_sizes_the_cost_is_between_theirs(curve: CostCurve, size: int) -> None:
    sizes = sorted(curve.seconds)
    below = max((s for s in sizes if s <= size), default=sizes[0])
    above = min((s for s in sizes if s >= size), default=None)
    if above is None:
        assert curve.at(size) > curve.seconds[sizes[-1]]
    else:
        low, high = sorted((curve.seconds[below], curve.seconds[above]))
        assert low * (1 - 1e-9) <= curve.at(size) <= high * (1 + 1e-9)


def test_unmeasured_nothing_is_filled_up() -> None:
    curve = CostCurve.unmeasured()
    assert [curve.fill(size, 16) for size in range(1, 17)] == list(range(1, 17))
    assert curve.best(3, 40) == 40


def test_the_quickest_of_several_measurements_counts() -> None:
    assert CostCurve.of({1: [3.0, 1.0, 2.0], 2: []}).seconds == {1: 1.0}
