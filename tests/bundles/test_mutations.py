"""A thousand spoilt inputs in every run; ten thousand are scripts/soak mutations."""

from tests.soak.mutations import soak


def test_a_thousand_spoilt_inputs_are_refused_and_nothing_worse() -> None:
    outcome = soak(1000, seed=1)
    assert outcome.failures == ()
    together = outcome.rows[-1]
    assert int(together[1]) == 1000
    # Nearly all are refused: a mutator that spoils nothing would prove nothing.
    assert int(together[2]) > 800
