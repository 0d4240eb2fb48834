"""How many of a model's layers go to a graphics card: as many as fit. Decides without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

RESERVE = 512 << 20
"""Bytes of a card's free memory that stay free: what is reckoned, and the screen's."""
AUTO, OFF = "auto", "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A graphics card that llama.cpp can reckon on."""

    name: str
    free: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Of a model, before it is loaded; sizes in bytes."""

    layers: int
    weights: int
    cells: int
    """What all requests' keys and values take together, if all lies on the card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offload:
    """What goes to the card, and why no more, in words for the log."""

    layers: int
    words: str


def fit(wanted: str, *, supported: bool, cards: Sequence[Card], shape: Shape) -> Offload:
    """Layers to offload; the last one is the output's, so a model has one more than its own.

    Args:
        wanted: ``auto``, ``off``, or a number of layers, which is taken as it is and never reckoned.
        supported: whether this build of llama.cpp can offload at all.
    """
    if wanted == OFF:
        return Offload(layers=0, words="gpu is off")
    if not supported or not cards:
        what = "no graphics card is found" if supported else "this build of llama.cpp knows no graphics card"
        return Offload(layers=0, words=f"{what}; all {shape.layers} layers stay with the processor")
    most = shape.layers + 1
    names = ", ".join(card.name for card in cards)
    if wanted != AUTO:
        layers = min(int(wanted), most)
        return Offload(layers=layers, words=f"{layers} of {most} layers go to {names}, as set")
    if not shape.layers:
        return Offload(layers=0, words="the model does not say how many layers it has; all stay with the processor")
    free = sum(max(0, card.free - RESERVE) for card in cards)
    a_layer = shape.weights / most + shape.cells / shape.layers
    layers = min(most, int(free / a_layer))
    return Offload(layers=layers, words=f"{layers} of {most} layers go to {names}: {free >> 20} MB are free there")
