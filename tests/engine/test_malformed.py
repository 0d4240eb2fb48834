"""A sample of what ``scripts/soak malformed`` does at length: damaged files never take the service down."""

import pytest

from tests.soak.malformed import soak

pytestmark = pytest.mark.needs_shared


def test_damaged_files_are_refused_or_answered_and_the_service_lives() -> None:
    outcome = soak(rounds=24, seed=3)
    assert outcome.failures == ()
    tried = {row[0]: sum(map(int, row[1:])) for row in outcome.rows[:2]}
    assert tried == {"model": 12, "adapter": 12}
