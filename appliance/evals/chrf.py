"""The only door to sacrebleu: how near a translation comes to a person's, by its characters."""

from sacrebleu.metrics.chrf import CHRF

_CHRF = CHRF()


def chrf(translation: str, reference: str) -> float:
    """chrF of one text (Popović 2015; sacrebleu's default: characters to 6, no words, beta 2), from 0 to 1."""
    return float(_CHRF.sentence_score(translation, [reference]).score) / 100
