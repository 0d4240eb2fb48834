"""Tests of appliance.evals.compare and .intervals: what a figure is worth, what changed, and what fell below."""

import pytest

from appliance.errors import EvalError
from appliance.evals import compare
from appliance.evals.intervals import mean, share, sign_test


def a_report(right, *, recall=0.9, version="1.0.0", set_name="questions", adapter=None):
    figure = {"value": recall, "low": recall - 0.1, "high": 1.0, "n": 10}
    return {
        "set": set_name,
        "release": {"name": "demo", "version": version},
        "model": "answers 0.1.0",
        "adapter": adapter,
        "languages": {"en": {"recall@1": figure}},
        "questions": [{"id": id_, "lang": "en", "right": is_right} for id_, is_right in right.items()],
    }


def test_wilsons_interval_is_as_published_and_stays_within_bounds():
    figure = share([True] * 15 + [False] * 5)
    assert (figure.value, figure.n) == (0.75, 20)
    assert (figure.low, figure.high) == pytest.approx((0.5313, 0.8881), abs=1e-4)
    assert share([True]).high == 1
    assert share([]) is None


def test_the_bootstrap_holds_the_mean_and_repeats_itself():
    values = [0.0, 0.25, 0.5, 0.75, 1.0] * 8
    figure = mean(values)
    assert figure == mean(values)
    assert 0.3 < figure.low < figure.value == 0.5 < figure.high < 0.7
    assert mean([]) is None


def test_a_change_that_chance_explains_has_a_high_likelihood():
    assert sign_test(0, 0) == 1
    assert sign_test(3, 2) == 1
    assert sign_test(0, 10) == pytest.approx(2 / 1024)


def test_what_changed_between_releases_is_told_by_figure_and_by_question():
    earlier = a_report({"boil": True, "zinc": False, "old": True}, recall=0.8)
    now = a_report({"boil": False, "zinc": True, "new": True}, version="2.0.0")
    changes = compare.compared(now, earlier)
    assert changes["release"]["version"] == "1.0.0"
    assert changes["languages"]["en"]["recall@1"] == {"before": 0.8, "now": 0.9, "change": 0.1}
    assert (changes["became_right"], changes["became_wrong"]) == (["zinc"], ["boil"])
    assert (changes["new"], changes["gone"]) == (["new"], ["old"])


@pytest.mark.parametrize("earlier", [[], {}, {"questions": 3}, {"questions": [{"id": "a"}]}])
def test_what_is_no_report_is_not_compared_with(earlier):
    with pytest.raises(EvalError, match="no report"):
        compare.compared(a_report({"boil": True}), earlier)


def test_another_sets_report_is_not_compared_with():
    with pytest.raises(EvalError, match="on the set other"):
        compare.compared(a_report({}), a_report({}, set_name="other"))


def test_a_box_that_falls_below_its_thresholds_is_told_where():
    least = compare.checked(compare.thresholds(a_report({"boil": True}), 10))
    assert least["limit"] == 10
    assert compare.fallen(a_report({}, recall=0.85), least) == []
    (line,) = compare.fallen(a_report({}, recall=0.7), least)
    assert line == "en recall@1: 0.700, at least 0.800 is needed"
    (line,) = compare.fallen({**a_report({}), "languages": {}}, least)
    assert "not measured" in line
    with pytest.raises(EvalError, match="adapter None"):
        compare.fallen(a_report({}, adapter="steps"), least)


@pytest.mark.parametrize(
    "least", [None, {}, {"format": 2}, {"format": 1, "least": {"en": 3}, "set": "a", "limit": None}]
)
def test_a_file_of_thresholds_that_is_none_is_refused(least):
    with pytest.raises(EvalError, match="none of ours"):
        compare.checked(least)
