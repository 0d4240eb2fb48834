"""appliance.engine.schedule on the simulated box: nobody starves, nothing is mixed, bounds hold, and it pays."""

import statistics
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine import schedule
from appliance.engine.cost import CostCurve
from tests.engine.simulator import CURVE, LIMITS, ROOM, SMALL, Arrival, simulate

ARRIVALS = st.lists(
    st.builds(
        Arrival,
        at=st.floats(0, 5),
        user=st.sampled_from(["", "ann", "ben", "cy"]),
        adapter=st.sampled_from([None, None, "a", "b", "c"]),
        prompt=st.integers(1, 250),
        answer=st.integers(1, 30),
    ),
    min_size=1,
    max_size=14,
)
ROOMS = st.sampled_from([ROOM, SMALL, replace(ROOM, adapter_bytes=0)])
LIMITED = st.builds(schedule.Limits, batch=st.sampled_from([32, 128]), chunk=st.integers(1, 64), mixed=st.booleans())


@settings(max_examples=60, deadline=None)
@given(ARRIVALS, ROOMS, LIMITED)
def test_whatever_comes_everyone_is_answered_and_every_batch_keeps_the_rules(
    arrivals: list[Arrival], room: schedule.Room, limits: schedule.Limits
) -> None:
    lives, steps = simulate(arrivals, room, limits)
    assert all(life.over for life in lives)
    for step in steps:
        by_key = {one.key: one for one in step.running}
        shares = dict(step.plan.shares)
        assert len(shares) == len(step.plan.shares) > 0
        assert {by_key[key].adapter for key in shares} == {step.plan.adapter}  # one adapter a batch
        assert all(1 <= count <= by_key[key].due for key, count in shares.items())
        assert step.plan.tokens + step.plan.padding <= limits.batch
        assert len(step.running) <= room.sequences
        assert sum(one.cells for one in step.running) <= room.cells
        loaded = {one.adapter for one in step.running} - {None}
        assert len(loaded) <= 1 or sum(room.adapters[name] for name in loaded) <= room.adapter_bytes
        reads = sum(count for key, count in shares.items() if not by_key[key].writing)
        if any(one.writing for one in step.running):
            writes = sum(count for key, count in shares.items() if by_key[key].writing)
            assert reads <= limits.chunk + CURVE.fill(writes, limits.fill) - writes
        if not limits.mixed:
            assert len({by_key[key].writing for key in shares}) == 1


@settings(max_examples=40, deadline=None)
@given(ARRIVALS, LIMITED)
def test_no_adapter_is_passed_over_more_often_than_there_are_others(
    arrivals: list[Arrival], limits: schedule.Limits
) -> None:
    _, steps = simulate(arrivals, ROOM, limits)
    passed: dict[str | None, int] = {}
    for step in steps:
        present = {one.adapter for one in step.running}
        passed = {name: passed.get(name, -1) + 1 for name in present}
        assert passed[step.plan.adapter] < 4  # None, a, b and c
        passed[step.plan.adapter] = -1


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 500)), min_size=1, max_size=30))
def test_waiting_users_are_served_evenly_whatever_they_ask(asked: list[tuple[str, int]]) -> None:
    waiting = [schedule.Waiting(key=k, user=user, adapter=None, cells=cells) for k, (user, cells) in enumerate(asked)]
    order = schedule.line(waiting, [], schedule.Fairness())
    assert sorted(one.key for one in order) == list(range(len(asked)))
    for user in "abcd":
        own = [one.key for one in order if one.user == user]
        assert own == sorted(own)  # of one user first come, first served
        first = next((place for place, one in enumerate(order) if one.user == user), None)
        assert first is None or first < 4  # nobody waits for another's second


def test_one_who_asks_much_does_not_make_the_others_wait() -> None:
    flood = [Arrival(at=0, user="flood", answer=40) for _ in range(40)]
    lives, _ = simulate([*flood, *(Arrival(at=1 + n, user=f"u{n}") for n in range(4))], ROOM, LIMITS)
    others = [life for life in lives if life.arrival.user != "flood"]
    last = sorted(life.tokens_at[-1] for life in lives if life.arrival.user == "flood")
    assert max(life.tokens_at[-1] for life in others) < last[len(last) // 2]


def test_a_stream_of_new_users_does_not_starve_an_old_one() -> None:
    old = [Arrival(at=0, user="old", prompt=400, answer=30) for _ in range(5)]
    stream = [Arrival(at=0.7 * n, user=f"new{n}", prompt=60, answer=10) for n in range(100)]
    room = replace(ROOM, sequences=2)
    lives, _ = simulate([*old, *stream], room, LIMITS)
    ends = sorted(life.tokens_at[-1] for life in lives)
    assert max(life.tokens_at[-1] for life in lives if life.arrival.user == "old") < ends[len(ends) * 3 // 4]


def test_who_comes_back_starts_where_the_others_are() -> None:
    fairness = schedule.Fairness().charged("busy", 1000, among=1).charged("busy", 1000, among=1)
    assert fairness.level("new") == fairness.floor == 1000 < fairness.level("busy")
    for _ in range(50):
        fairness = fairness.charged("busy", 100, among=1)
    assert len(fairness.levels) == 1  # nobody is remembered for ever
    fairness = fairness.charged("other", 1000, among=2)
    assert fairness.level("another") == fairness.floor > 1000


def test_a_big_request_is_not_overtaken_for_ever_by_small_ones() -> None:
    big = Arrival(at=0.1, user="big", prompt=400, answer=20)
    small = [Arrival(at=0.05 * n, user=f"s{n}", prompt=60, answer=10) for n in range(60)]
    lives, _ = simulate([big, *small], SMALL, LIMITS)
    begun_before = sum(life.began < next(one for one in lives if one.arrival is big).began for life in lives)
    assert begun_before < 12


def test_long_prompts_do_not_delay_the_next_token_of_others() -> None:
    writer = Arrival(at=0, prompt=10, answer=100)
    readers = [Arrival(at=0.5 + n, user=f"r{n}", prompt=1000, answer=2) for n in range(3)]
    lives, _ = simulate([writer, *readers], ROOM, LIMITS)
    assert max(lives[0].gaps) <= CURVE.at(1 + LIMITS.chunk)
    unbounded, _ = simulate([writer, *readers], ROOM, replace(LIMITS, chunk=128))
    assert max(unbounded[0].gaps) > 1.5 * max(lives[0].gaps)


def test_prompts_are_read_one_after_another_so_that_half_begin_early() -> None:
    arrivals = [Arrival(at=0, user=f"u{n}", prompt=170, answer=64) for n in range(8)]
    lives, _ = simulate(arrivals, ROOM, LIMITS)
    firsts = sorted(life.first for life in lives)
    together = CURVE.at(128) * (8 * 170 / 128)  # all prompts at once, everyone's first token at the end
    assert statistics.median(firsts) < 0.85 * together and firsts[1] < 0.4 * together


@pytest.mark.parametrize(("clients", "gain"), [(7, 1.1), (12, 1.1), (15, 1.3)])
def test_filling_up_pays_where_the_curve_has_a_dip(clients: int, gain: float) -> None:
    room = replace(ROOM, sequences=16)
    arrivals = [Arrival(at=0, user=f"u{n}", prompt=1, answer=200) for n in range(clients)]

    def seconds(limits: schedule.Limits) -> float:
        lives, _ = simulate(arrivals, room, limits)
        return max(life.tokens_at[-1] for life in lives)

    assert seconds(replace(LIMITS, fill=0)) / seconds(LIMITS) > gain


def test_adapters_share_the_box_evenly() -> None:
    arrivals = [Arrival(at=0, user=f"u{n}", adapter=name, answer=50) for n, name in enumerate(("a", "a", "a", "b"))]
    lives, _ = simulate(arrivals, ROOM, LIMITS)
    ends = [life.tokens_at[-1] for life in lives]
    assert max(ends) < 1.5 * min(ends)


def test_the_plan_is_the_same_for_the_same_state() -> None:
    arrivals = [Arrival(at=0.1 * n, user=str(n % 3), adapter=("a", None)[n % 2]) for n in range(9)]
    assert simulate(arrivals, ROOM, LIMITS)[1] == simulate(arrivals, ROOM, LIMITS)[1]


def test_nothing_runs_nothing_is_planned() -> None:
    assert schedule.plan([], schedule.Turns(), CostCurve.unmeasured(), LIMITS) is None
