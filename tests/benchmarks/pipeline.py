"""Where one question's time goes, and what the box adds to the bare engine.

Each round asks the same question three ways, in an order of its own, so that a busy machine slows all alike: the engine
alone with the finished prompt, the whole box in the documents' language, the whole box in Swahili. Ratios are made
within a round.
"""

import random
import statistics
import tempfile
import time
from pathlib import Path

from appliance.box import Box, open_box
from appliance.config import Home
from appliance.engine.protocol import GenerationRequest
from appliance.exchange import Exchange, Question
from appliance.pipeline import Finished
from appliance.prompt import build
from tests.benchmarks.frame import Row
from tests.support.site import installed_demo

ENGLISH = "For how long must the water boil?"
SWAHILI = "Maji yachemke kwa muda gani?"


def measure(quick: bool) -> list[Row]:
    """Medians over the rounds; times in milliseconds."""
    rounds = 5 if quick else 30
    with tempfile.TemporaryDirectory() as folder, open_box(Home(root=installed_demo(Path(folder)).home)) as box:
        asked: list[Exchange] = []

        def ask(text: str, lang: str) -> float:
            exchange, seconds = _ask(box, text, lang)
            asked.append(exchange)
            return seconds

        # The first questions load the model's pages and the packs, and give the prompt for the bare engine.
        ask(SWAHILI, "sw"), ask(ENGLISH, "en")
        english_exchange = asked[-1]
        asked.clear()
        ways = {
            "bare": lambda: _bare(box, english_exchange),
            "english": lambda: ask(ENGLISH, "en"),
            "swahili": lambda: ask(SWAHILI, "sw"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        order = random.Random(rounds)
        for _ in range(rounds):
            for name in order.sample(sorted(ways), len(ways)):
                seconds[name].append(ways[name]())
        bare, english, swahili = seconds["bare"], seconds["english"], seconds["swahili"]
    rows = [
        Row(metric="bare engine, the same prompt", value=1000 * statistics.median(bare), unit="ms"),
        Row(metric="whole question, English", value=1000 * statistics.median(english), unit="ms"),
        Row(metric="whole question, Swahili", value=1000 * statistics.median(swahili), unit="ms"),
        Row(
            metric="English / bare engine",
            value=statistics.median(e / b for e, b in zip(english, bare, strict=True)),
            unit="ratio",
            target=1.15,
            lower=True,
        ),
        Row(
            metric="Swahili / bare engine",
            value=statistics.median(s / b for s, b in zip(swahili, bare, strict=True)),
            unit="ratio",
            target=1.5,
            lower=True,
        ),
    ]
    for lang in ("en", "sw"):
        those = [e for e in asked if e.lang == lang]
        for position, step in enumerate(those[0].steps):
            median = statistics.median(e.steps[position].seconds for e in those)
            rows.append(Row(metric=f"step {step.name}, {lang}", value=1000 * median, unit="ms"))
    return rows


def _ask(box: Box, text: str, lang: str) -> tuple[Exchange, float]:
    began = time.perf_counter()
    for event in box.pipeline.ask(Question(text=text, lang=lang)):
        if isinstance(event, Finished):
            return event.exchange, time.perf_counter() - began
    raise AssertionError("the pipeline ended without an answer")


def _bare(box: Box, exchange: Exchange) -> float:
    request = GenerationRequest(
        messages=build(exchange.question_working, exchange.passages), max_tokens=box.config.engine.max_tokens
    )
    began = time.perf_counter()
    for _ in box.pipeline.engine.generate(request):
        pass
    return time.perf_counter() - began
