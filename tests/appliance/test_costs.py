"""Tests of appliance.costs, against sums done by hand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import CostConfig
from appliance.costs import DAYS, SOURCES, Work, capacity, cost, paid

WORK = Work(prompt_tokens=400, answer_tokens=100, seconds=10, joules=360)
SITE = CostConfig(
    watts_idle=5, hours=10, grid=0.2, solar=0.1, generator=0.6, hardware=480, storage=48, years=4, operations=2, wage=5
)
"""Ten hours a day: 3,600 questions at most. At 1,800 it works for five hours and idles for five."""


def test_energy_is_that_of_the_questions_and_of_the_hours_between():
    millions = 1800 * DAYS * 500 / 1e6
    kwh = (1800 * 360 + 5 * 5 * 3600) * DAYS / 3.6e6
    assert cost(WORK, SITE, "grid", questions=1800).energy == pytest.approx(kwh * 0.2 / millions)


def test_the_parts_of_a_month():
    millions = 1800 * DAYS * 500 / 1e6
    found = cost(WORK, SITE, "solar", questions=1800)
    assert found.hardware * millions == pytest.approx(10)
    assert found.storage * millions == pytest.approx(1)
    assert found.operations * millions == pytest.approx(10)
    assert found.total == pytest.approx(found.energy + found.hardware + found.storage + found.operations)


def test_a_box_answers_no_more_than_it_can():
    assert capacity(WORK, SITE) == 3600
    assert cost(WORK, SITE, "grid", questions=1e9) == cost(WORK, SITE, "grid", questions=3600)


def test_what_nobody_knows_is_not_made_up():
    assert cost(replace(WORK, joules=None), SITE, "grid", questions=1).energy is None
    unpriced = cost(WORK, replace(SITE, solar=0.0), "solar", questions=1)
    assert unpriced.energy is None and unpriced.total is None
    assert paid(WORK, SITE) is None


def test_a_paid_api_is_reckoned_for_the_same_mixture_of_reading_and_writing():
    assert paid(WORK, replace(SITE, api_input=0.1, api_output=0.6)) == pytest.approx(0.2)


@given(few=st.floats(1, 3600), many=st.floats(1, 3600), source=st.sampled_from(SOURCES))
def test_more_questions_never_make_a_million_tokens_dearer(few, many, source):
    few, many = sorted((few, many))
    assert cost(WORK, SITE, source, questions=many).total <= cost(WORK, SITE, source, questions=few).total * (1 + 1e-9)
