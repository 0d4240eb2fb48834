"""What a million tokens of a box cost, by where its power comes from. No I/O: the settings in, money out."""

from dataclasses import dataclass

from appliance.config import CostConfig

DAYS = 30.44
"""Of a month."""
SOURCES = ("grid", "solar", "generator")
_JOULES_A_KWH = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one question takes."""

    prompt_tokens: float
    answer_tokens: float
    seconds: float
    """Of the whole box: while several are answered at once, each one's share."""
    joules: float | None
    """None where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of a million tokens, read and written together, in the settings' currency; None is what nobody knows."""

    energy: float | None
    hardware: float
    storage: float
    operations: float

    @property
    def total(self) -> float | None:
        """All of it; None as long as one part is unknown."""
        return None if self.energy is None else self.energy + self.hardware + self.storage + self.operations


def cost(work: Work, settings: CostConfig, source: str, *, questions: float) -> Cost:
    """Of a box that answers so many questions a day, or as many as it can when that is fewer.

    Args:
        source: one of ``SOURCES``.
    """
    on_s = settings.hours * 3600
    asked = min(questions, capacity(work, settings))
    millions = asked * DAYS * (work.prompt_tokens + work.answer_tokens) / 1e6
    idle_j = settings.watts_idle * max(0.0, on_s - asked * work.seconds)
    price = getattr(settings, source)
    energy = None
    if work.joules is not None and price:
        energy = (asked * work.joules + idle_j) * DAYS / _JOULES_A_KWH * price / millions
    months = settings.years * 12
    return Cost(
        energy=energy,
        hardware=settings.hardware / months / millions,
        storage=settings.storage / months / millions,
        operations=settings.operations * settings.wage / millions,
    )


def capacity(work: Work, settings: CostConfig) -> float:
    """Questions a day, if one follows the other as long as the box is on."""
    return settings.hours * 3600 / work.seconds


def paid(work: Work, settings: CostConfig) -> float | None:
    """The same million tokens at the paid API; None where its prices are not set."""
    if not settings.api_input and not settings.api_output:
        return None
    bought = work.prompt_tokens * settings.api_input + work.answer_tokens * settings.api_output
    return bought / (work.prompt_tokens + work.answer_tokens)
