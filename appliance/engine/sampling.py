"""Choosing the next token from its scores: pure numpy, seeded, so that an answer can be repeated.

Measured on a vocabulary of 152,000: greedy 13 µs, top-k 41 µs a token; llama.cpp's own chain takes 416.
Top-k always runs before the others: sorting the whole vocabulary for top-p alone takes 51 ms a token.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen."""

    temperature: float = 0.0
    """0 takes the most likely token, and nothing below matters."""
    top_k: int = 40
    """Only the k most likely; 0 is all."""
    top_p: float = 0.95
    """Only the most likely that together reach this probability (Holtzman et al. 2020, "nucleus")."""
    min_p: float = 0.05
    """Only those at least this fraction as likely as the most likely (Nguyen et al. 2024)."""
    seed: int | None = None


class Sampler:
    """Chooses tokens one after another; holds the random state of one generation."""

    def __init__(self, sampling: Sampling) -> None:
        self._how = sampling
        self._random = np.random.default_rng(sampling.seed)

    def choose(self, scores: NDArray[np.float32]) -> int:
        """The next token.

        Args:
            scores: logits, shape (vocabulary,). Not kept and not changed.

        Returns:
            Index of the chosen token. NaN scores are never chosen.
        """
        if self._how.temperature <= 0:
            return greedy(scores)
        tokens, weights = candidates(scores, self._how)
        reached = np.cumsum(weights)
        return int(tokens[np.searchsorted(reached, self._random.random() * reached[-1], side="right")])


def greedy(scores: NDArray[np.float32]) -> int:
    """The most likely token; of equals the first."""
    best = int(scores.argmax())
    return int(np.nanargmax(scores)) if math.isnan(scores[best]) and not np.isnan(scores).all() else best


def candidates(scores: NDArray[np.float32], how: Sampling) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The tokens that may come next, most likely first, and their weights (not normalised). Never empty.

    Top-p and min-p look at the probabilities before the temperature, as llama.cpp does by default.
    """
    tokens = _top(scores, how.top_k)
    logits = scores[tokens].astype(np.float64)
    logits[np.isnan(logits)] = -np.inf
    order = np.argsort(-logits, kind="stable")
    tokens, logits = tokens[order], logits[order]
    if not math.isfinite(logits[0]):  # all NaN or -inf: nothing to weigh
        return tokens[:1], np.ones(1)
    probabilities = np.exp(logits - logits[0])
    probabilities /= probabilities.sum()
    within_p = int(np.searchsorted(np.cumsum(probabilities), how.top_p)) + 1
    likely = int(np.count_nonzero(probabilities >= how.min_p * probabilities[0]))
    kept = max(1, min(within_p, likely, tokens.size))
    return tokens[:kept], np.exp((logits[:kept] - logits[0]) / how.temperature)


def _top(scores: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    if not 0 < k < scores.size:
        return np.arange(scores.size)
    known = np.where(np.isnan(scores), -np.inf, scores)
    return np.argpartition(known, scores.size - k)[scores.size - k :]
