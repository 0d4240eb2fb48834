"""appliance.engine.sampling against its definition, and on scores no model should give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from appliance.engine.sampling import Sampler, Sampling, candidates, greedy, log_chances, top

SCORES = arrays(np.float32, st.integers(1, 200), elements=st.floats(-50, 50, width=32))


@given(SCORES)
def test_greedy_takes_the_most_likely(scores: np.ndarray) -> None:
    assert scores[greedy(scores)] == scores.max()
    assert Sampler(Sampling(temperature=0)).choose(scores) == greedy(scores)


@given(SCORES, st.integers(0, 250), st.floats(0.01, 1), st.floats(0, 1), st.floats(0.05, 5))
def test_candidates_keep_each_rule(scores: np.ndarray, k: int, p: float, least: float, temperature: float) -> None:
    how = Sampling(temperature=temperature, top_k=k, top_p=p, min_p=least)
    tokens, weights = candidates(scores, how)
    assert len(tokens) == len(weights) == len(set(tokens.tolist())) >= 1
    assert scores[tokens[0]] == scores.max()
    assert weights[0] == 1 and (np.diff(weights) <= 0).all()
    if k:
        assert len(tokens) <= k
    kept = np.sort(scores)[::-1][: k or None].astype(np.float64)
    chances = np.exp(kept - kept[0]) / np.exp(kept - kept[0]).sum()
    assert (chances[: len(tokens)] >= least * chances[0] * (1 - 1e-9)).all()
    assert chances[: len(tokens) - 1].sum() < p + 1e-9  # without the last, p was not reached


def test_temperature_spreads_and_the_seed_repeats() -> None:
    scores = np.array([2.0, 1.0, 0.0, -1.0], np.float32)

    def share(temperature: float, seed: int) -> float:
        sampler = Sampler(Sampling(temperature=temperature, top_k=0, top_p=1, min_p=0, seed=seed))
        return sum(sampler.choose(scores) == 0 for _ in range(4000)) / 4000

    assert share(1.0, 1) == pytest.approx(0.644, abs=0.03)  # exp(2) / (exp(2) + e + 1 + 1/e)
    assert share(1.0, 7) == share(1.0, 7)
    assert share(0.2, 1) > 0.97
    assert share(10.0, 1) < 0.4


@pytest.mark.parametrize("scores", [[np.nan, 1, 2], [np.nan, 2, np.nan], [-np.inf, -np.inf, 0]])
def test_what_is_no_score_is_never_chosen(scores: list[float]) -> None:
    row = np.array(scores, np.float32)
    best = float(np.nanmax(row))
    for k in (0, 1, 2):
        for temperature in (0.0, 5.0):
            chosen = Sampler(Sampling(temperature=temperature, top_k=k, top_p=1, min_p=0, seed=1)).choose(row)
            assert np.isfinite(row[chosen])
    assert row[greedy(row)] == best


@pytest.mark.parametrize("scores", [[np.nan] * 3, [-np.inf] * 3, [np.inf, 1, 2]])
def test_hopeless_scores_still_give_a_token(scores: list[float]) -> None:
    row = np.array(scores, np.float32)
    for temperature in (0.0, 1.0):
        assert 0 <= Sampler(Sampling(temperature=temperature)).choose(row) < 3


@given(st.integers(1, 5000), st.integers(1, 100), st.integers(0, 2**32 - 1), st.booleans())
def test_the_k_highest_are_found_whatever_the_size(size: int, k: int, seed: int, unknown: bool) -> None:
    scores = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    if unknown:
        scores[:: size // 2 + 1] = np.nan
    found = top(scores, k)
    assert len(set(found.tolist())) == min(k, size)
    values = np.where(np.isnan(scores), -np.inf, scores)
    assert np.array_equal(np.sort(values[found]), np.sort(values)[max(0, size - k) :])


def test_without_top_k_the_nucleus_of_a_big_vocabulary_is_the_same_as_by_sorting_it_all() -> None:
    scores = np.random.default_rng(1).standard_normal(20_000).astype(np.float32) * 3
    how = Sampling(temperature=1, top_k=0, top_p=0.5, min_p=0)
    tokens, _ = candidates(scores, how)
    chances = np.exp(np.sort(scores.astype(np.float64))[::-1])
    expected = int(np.searchsorted(np.cumsum(chances) / chances.sum(), 0.5)) + 1
    assert tokens.tolist() == np.lexsort((np.arange(scores.size), -scores))[:expected].tolist()


def test_penalties_follow_their_definitions() -> None:
    scores = np.array([2.0, 1.9, -1.0, 0.0], np.float32)

    def after(said: list[int], **how: float) -> int:
        sampler = Sampler(Sampling(**how))
        for token in said:
            sampler.accept(token)
        return sampler.choose(scores)

    assert after([0]) == 0
    assert after([0], repeat_penalty=1.1) == 1  # 2.0 / 1.1 < 1.9
    assert Sampler(Sampling(repeat_penalty=1.1), prompt=[0]).choose(scores) == 1
    assert Sampler(Sampling(repeat_penalty=1.1), prompt=[0] + [3] * 64).choose(scores) == 0  # too long ago
    assert after([0], presence_penalty=0.2) == 1
    assert after([0, 0], frequency_penalty=0.06) == 1 and after([0], frequency_penalty=0.06) == 0
    assert after([2], repeat_penalty=0.1) == 0 and after([0, 1], presence_penalty=2.0) in (0, 3)
    assert scores.tolist() == pytest.approx([2.0, 1.9, -1.0, 0.0])  # not changed


def test_log_chances_are_the_softmax_of_what_is_known() -> None:
    scores = np.array([1.0, np.nan, 3.0, 2.0], np.float32)
    known = np.exp([1.0, 3.0, 2.0])
    assert log_chances(scores, [0, 2, 3]) == pytest.approx(np.log(known / known.sum()))
    assert log_chances(np.full(3, np.nan, np.float32), [0]).tolist() == [0.0]
