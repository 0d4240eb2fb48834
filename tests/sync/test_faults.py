"""Three hundred of the cases of ``scripts/soak sync``, by the same seeds: what fails here is found again there."""

import pytest

from tests.soak.sync import soak

PART = 50


@pytest.mark.parametrize("first", range(0, 300, PART))
def test_nothing_is_lost_nothing_is_twice_and_no_fork_goes_unnoticed(first):
    outcome = soak(PART, first)
    assert outcome.failures == ()
    counted = {row[0]: row[1:] for row in outcome.rows}
    assert counted["cases"] == ("25", "25")
    assert {"cut", "a bit flipped", "SIGKILL", "fork noticed"} <= counted.keys(), "the faults did strike"
