"""The frame around soaks says what failed, and in what circumstances."""

from datetime import UTC, datetime

from tests.soak.frame import Outcome, report

DATE = datetime(2026, 11, 24, tzinfo=UTC)


def test_a_page_says_when_where_and_how_to_see_it_again():
    page = report("x", Outcome(heads=("a", "b"), rows=(("1", "2"),)), rounds=5, seed=3, date=DATE)
    assert page.startswith("# x\n2026-11-24, ")
    assert "scripts/soak x --rounds 5 --seed 3" in page
    assert "all held" in page and page.endswith("| a | b |\n| --- | --- |\n| 1 | 2 |\n")


def test_failures_are_counted_and_listed():
    outcome = Outcome(heads=("a",), rows=(("1",),), failures=("seed 4 hung",))
    page = report("x", outcome, rounds=5, seed=3, date=DATE)
    assert "**1 failed**" in page and page.endswith("- seed 4 hung\n")
