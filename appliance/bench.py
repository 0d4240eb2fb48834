"""What an open box can serve: crowds of made-up people ask its model, more and more of them, and are timed.

The questions are made of made-up words, each a new one, so that nothing of them was read before: people's own questions
share their instructions, and are answered sooner.
"""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from appliance.box import Box
from appliance.config import CostConfig
from appliance.costs import Work
from appliance.engine.protocol import Engine, GenerationRequest, Logprobs, Message
from appliance.errors import EngineError
from appliance.exchange import Usage
from appliance.metrics import joules, peak_memory

PATIENCE_S = 15.0
"""Seconds to the first word that nineteen people in twenty must not wait longer than, to count as served."""
READING = 3.0
"""Tokens a second that an answer must grow by at least: about as fast as people read."""
CROWDS = (1, 2, 4, 6, 8, 12, 16, 24, 32)
EACH = 2
"""Questions that each person asks."""
WORDS, TOKENS = 200, 96
"""Of a question with its passages, and of an answer at most."""
_SYLLABLES = [a + b for a in "bdfgklmnprstvw" for b in "aeiou"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """So many people at once, and what they saw. Times in seconds."""

    people: int
    questions: int
    seconds: float
    prompt_tokens: int
    generated_tokens: int
    tokens_s: float
    """Written, of all answers together."""
    first_p50: float
    first_p95: float
    """From the question to the answer's first token, waiting included."""
    gap_p95: float
    """Between two tokens of an answer."""
    growth: float
    """Tokens a second of one answer, once it has begun; the median."""
    joules: float | None
    """As the processor measures itself; None where it does not."""

    @property
    def served(self) -> bool:
        """Whether they had their answers as fast as people want them."""
        return self.first_p95 <= PATIENCE_S and self.growth >= READING


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of all crowds."""

    model: str
    crowds: tuple[Crowd, ...]
    peak_memory: int
    """Bytes, of all the box's processes."""

    @property
    def people(self) -> int:
        """The greatest crowd that was served; 0 when not even one person was."""
        return max((crowd.people for crowd in self.crowds if crowd.served), default=0)

    @property
    def best(self) -> Crowd:
        """The crowd that got most done."""
        return max(self.crowds, key=lambda crowd: crowd.tokens_s)

    def work(self, settings: CostConfig) -> Work:
        """What one question takes when the box is well used: the configured watts, else the processor's own figure."""
        best = self.best
        used = settings.watts * best.seconds if settings.watts else best.joules
        return Work(
            prompt_tokens=best.prompt_tokens / best.questions,
            answer_tokens=best.generated_tokens / best.questions,
            seconds=best.seconds / best.questions,
            joules=None if used is None else used / best.questions,
        )


def measure(box: Box, *, most: int, seed: int = 0, note: Callable[[Crowd], None] = lambda _: None) -> Report:
    """Ask with ever greater crowds, up to ``most`` people or the first crowd that is not served.

    Raises:
        EngineError: the box has no model, or it fails.
    """
    if box.local is None:
        raise EngineError(
            "This box has no model to measure: it answers from its documents alone.",
            todo="Set [answer] mode in config.toml, or install a bundle with a model.",
        )
    engine = box.local.main
    crowd(engine, 1, seed=seed)  # the first answer pays for pages that are not in memory yet
    crowds: list[Crowd] = []
    for people in [count for count in CROWDS if count < most] + [most]:
        crowds.append(crowd(engine, people, seed=seed + people))
        note(crowds[-1])
        if not crowds[-1].served:
            break
    return Report(model=engine.model, crowds=tuple(crowds), peak_memory=peak_memory())


def crowd(engine: Engine, people: int, *, seed: int) -> Crowd:
    """One crowd: everybody asks again as soon as they are answered.

    Raises:
        EngineError: a question was not answered.
    """
    before, began = joules(), time.perf_counter()
    with ThreadPoolExecutor(people) as pool:
        asking = pool.map(lambda number: list(_person(engine, seed, number)), range(people))
        seen = [one for asked in asking for one in asked]
    seconds, after = time.perf_counter() - began, joules()
    used = None if before is None or after is None or after < before else after - before
    firsts = sorted(times[0] - asked for asked, times, _ in seen if times)
    gaps = sorted(b - a for _, times, _ in seen for a, b in pairwise(times))
    growth = [(len(times) - 1) / (times[-1] - times[0]) for _, times, _ in seen if len(times) > 1]
    generated = sum(usage.generated_tokens for *_, usage in seen)
    if not firsts:
        raise EngineError(f"{engine.model} said nothing at all.", needed="A model that writes is needed.")
    return Crowd(
        people=people,
        questions=len(seen),
        seconds=seconds,
        prompt_tokens=sum(usage.prompt_tokens for *_, usage in seen),
        generated_tokens=generated,
        tokens_s=generated / seconds,
        first_p50=_at(firsts, 0.5),
        first_p95=_at(firsts, 0.95),
        gap_p95=_at(gaps, 0.95),
        growth=median(growth or [0.0]),
        joules=used,
    )


def _person(engine: Engine, seed: int, number: int) -> Iterator[tuple[float, list[float], Usage]]:
    """For each question: when it was asked, when its tokens came, and what it cost."""
    rng = random.Random(f"{seed} {number}")  # noqa: S311  (the same questions each time)
    for _ in range(EACH):
        text = " ".join("".join(rng.choices(_SYLLABLES, k=rng.randint(1, 3))) for _ in range(WORDS))
        request = GenerationRequest(
            messages=(Message(role="user", content=text),),
            max_tokens=TOKENS,
            temperature=0.8,
            logprobs=0,  # one is told for each token, whatever text it makes
            user=f"person {number}",
        )
        asked, times = time.perf_counter(), []
        for piece in engine.generate(request):
            if isinstance(piece, Logprobs):
                times.append(time.perf_counter())
            elif isinstance(piece, Usage):
                yield asked, times, piece


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
