"""Two opinions on passages, the words' and the vectors', as one order. Pure.

Each opinion is turned into shares that sum to one (a softmax), and the shares are added, the vectors' by how far they
are to be trusted in their index (``trust``). So whichever opinion is sure of one passage decides, and one that likes
all alike changes little: on some sets words find best, on others vectors, and a fixed weighting or ranks alone
(reciprocal rank fusion) lose to the better one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.exchange import Passage

TEMPERATURE = 0.3
"""Difference in fit, or nearness, that makes a share larger by a factor of e."""

VECTORS, SHARPNESS = 0.8, 3
"""Weight of the vectors' shares where both find as well, and the power of the trust. Chosen, as ``TEMPERATURE``, on
half of AfriQA's questions; ``tests/benchmarks/knowledge.py`` shows the other."""

CLOSE = 0.35
"""Nearness that is evidence enough that the documents are about the question, though no words fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A passage that was found, and how."""

    order: int = 0
    """Of its index."""
    number: int
    fit: float
    """By its words, from 0; above 1 where it is called as the question."""
    near: float | None
    """By its vector, from 0 (nothing in common) to 1; None when it is not among the nearest."""
    trust: float = 1.0
    """How much better than words vectors find in its index."""
    evident: bool
    """Whether it fits or is near enough not to be there by chance."""
    passage: Passage


def fused(hits: Sequence[Hit]) -> list[Hit]:
    """The hits, best first."""
    nearest = [hit.near for hit in hits if hit.near is not None]
    # What is not among the nearest is at most as near as the last of them.
    last = min(nearest, default=0.0)
    fits = [math.exp(hit.fit / TEMPERATURE) for hit in hits]
    nears = [math.exp((last if hit.near is None else hit.near) / TEMPERATURE) for hit in hits]
    all_fits, all_nears = sum(fits), sum(nears)
    shares = [
        fit / all_fits + VECTORS * hit.trust**SHARPNESS * near / all_nears
        for hit, fit, near in zip(hits, fits, nears, strict=True)
    ]
    order = sorted(range(len(hits)), key=lambda i: (-shares[i], -hits[i].fit, hits[i].order, hits[i].number))
    return [hits[i] for i in order]
