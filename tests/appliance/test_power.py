"""Tests of appliance.power: four modes, strict at once, laxer with hysteresis."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import PowerConfig
from appliance.metrics import Vitals
from appliance.power import HOLD_S, Mode, Standing, measure, stand

LIMITS = PowerConfig()
FINE = Vitals(battery=90, celsius=40, memory_pressure=0)


@pytest.mark.parametrize(
    ("seen", "mode", "cause"),
    [
        (Vitals(), Mode.NORMAL, ""),
        (FINE, Mode.NORMAL, ""),
        (Vitals(battery=50), Mode.NORMAL, ""),
        (Vitals(battery=49.9), Mode.SAVING, "battery"),
        (Vitals(battery=24), Mode.LOW, "battery"),
        (Vitals(battery=7), Mode.PAUSE, "battery"),
        (Vitals(battery=7, charging=True), Mode.NORMAL, ""),
        (Vitals(celsius=80), Mode.SAVING, "heat"),
        (Vitals(celsius=95, battery=30), Mode.PAUSE, "heat"),
        (Vitals(memory_pressure=26), Mode.LOW, "memory"),
    ],
)
def test_each_threshold_has_its_mode_and_the_strictest_holds(seen, mode, cause):
    standing = stand(Standing(), seen, LIMITS, 1.0)
    assert (standing.mode, standing.cause) == (mode, cause)


def test_a_threshold_of_0_is_switched_off():
    off = PowerConfig(battery_saving=0, battery_low=0, battery_pause=0, celsius_pause=0)
    assert stand(Standing(), Vitals(battery=1), off, 1.0).mode is Mode.NORMAL
    assert stand(Standing(), Vitals(celsius=200), off, 1.0).mode is Mode.LOW


def test_a_mode_is_left_by_a_margin_and_after_a_while_only():
    low = stand(Standing(), Vitals(battery=24), LIMITS, 1000.0)
    a_little_better = Vitals(battery=27)
    much_better = Vitals(battery=31)
    assert stand(low, a_little_better, LIMITS, 2000.0) == low
    assert stand(low, much_better, LIMITS, 1000.0 + HOLD_S - 1) == low
    assert stand(low, much_better, LIMITS, 1000.0 + HOLD_S).mode is Mode.SAVING
    assert stand(low, FINE, LIMITS, 1000.0 + HOLD_S).mode is Mode.NORMAL


def test_a_stricter_mode_holds_at_once():
    low = stand(Standing(), Vitals(battery=24), LIMITS, 1000.0)
    assert stand(low, Vitals(celsius=99), LIMITS, 1000.1) == Standing(mode=Mode.PAUSE, cause="heat", since_s=1000.1)


_READINGS = st.builds(
    Vitals,
    battery=st.none() | st.floats(0, 100),
    charging=st.booleans(),
    celsius=st.none() | st.floats(0, 120),
    memory_pressure=st.none() | st.floats(0, 100),
)


@given(seen=_READINGS, before=st.sampled_from(Mode), now=st.floats(0, 1e6))
def test_what_was_seen_twice_changes_nothing_the_second_time(seen, before, now):
    once = stand(Standing(mode=before, cause="heat" if before else "", since_s=0.0), seen, LIMITS, now)
    assert stand(once, seen, LIMITS, now) == once


@given(readings=st.lists(_READINGS, max_size=30))
def test_a_mode_never_becomes_laxer_twice_within_its_hold(readings):
    standing, eased_at = Standing(since_s=-HOLD_S), None
    for second, seen in enumerate(readings):
        after = stand(standing, seen, LIMITS, float(second))
        assert after.mode >= stand(Standing(), seen, LIMITS, 0.0).mode
        if after.mode < standing.mode:
            assert second - standing.since_s >= HOLD_S
            assert eased_at is None or second - eased_at >= HOLD_S
            eased_at = second
        standing = after


def test_a_mode_takes_slots_and_tokens_and_in_the_end_the_model():
    told = [measure(mode, slots=8, max_tokens=256) for mode in Mode]
    assert [(one.slots, one.max_tokens, one.answers) for one in told] == [
        (8, None, True),
        (4, 128, True),
        (1, 128, False),
        (1, 128, False),
    ]
    assert measure(Mode.SAVING, slots=1, max_tokens=8).slots == 1
