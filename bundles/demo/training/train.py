"""Trains the demo model from nothing on one CPU core and writes its weights and tokenizer."""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from .batches import Batch, Stage, batches
from .corpus import Corpus
from .model import Model, Shape
from .optimiser import Optimiser
from .tokenizer import VOCABULARY, build

SEED = 20260
# Random tokens teach copying in a minute; short contexts then teach what to copy, and long ones only have to keep it.
STAGES = (
    Stage(until=0.05),
    Stage(until=0.15, guides=0.6, scrambled=0.25, read=0.1, passages=1, most=3),
    Stage(until=0.4, guides=0.7, scrambled=0.12, read=0.05, passages=2, most=3),
    Stage(until=1.0, guides=0.75, scrambled=0.08, passages=3, most=4),
)


# One more: the same with questions in looser words.
WORDING = (Stage(until=1.0, guides=0.92, passages=3, most=3, number=2.0, loose=0.6),)
PARTS = ("start", "finish", "several", "number", "wording")
# The second part: the guides nearly alone, with three passages, while the rates fall to nothing.
FINISH = (Stage(until=1.0, guides=0.92, passages=3, most=3),)
# The last two parts: always several passages, the second time with hints, so that the passage's number is learnt too.
SEVERAL = (Stage(until=1.0, guides=0.92, passages=3, most=3, fewest=2, number=3.0),)


def settle(seed: int = SEED) -> None:
    """The same run twice gives the same weights (on the same processor and torch)."""
    torch.manual_seed(seed)
    random.seed(seed)
    torch.set_num_threads(1)


class Hints(nn.Module):
    """Two small guesses used in training only: which passage does this token stand in, or is this one copied from?

    Without them the passage's number is not learnt in any time a CPU has: the model must carry it along every
    passage before a single answer can show that it pays. The first reads the third layer, the second the fifth.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stands, self.copied = nn.Linear(width, 8), nn.Linear(width, 8)

    def forward(self, watched: list[torch.Tensor], batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """(loss, share of copied tokens placed right)."""
        inside = batch.passage > 0
        inside[:, 1:] &= batch.weights == 0
        copied = batch.passage > 0
        copied[:, 0] = False
        copied[:, 1:] &= batch.weights > 0
        loss, right = torch.zeros(()), torch.zeros(())
        for guess, state, where in ((self.stands, watched[2], inside), (self.copied, watched[4], copied)):
            state = functional.rms_norm(state[where].float(), state.shape[-1:])
            if len(state):
                logits = guess(state)
                loss = loss + functional.cross_entropy(logits, batch.passage[where])
                right = (logits.argmax(-1) == batch.passage[where]).float().mean()
        return loss, right


def loss_of(model: Model, batch: Batch, watched: list[torch.Tensor] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss, share of answer tokens guessed right)."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = model.states(batch.ids, batch.places, batch.seen, watched)[:, :-1]
        wanted = batch.weights > 0
        logits = model.logits(states[wanted])
    target, weights = batch.target[wanted], batch.weights[wanted]
    losses = functional.cross_entropy(logits.float(), target, reduction="none")
    right = (logits.argmax(-1) == target)[weights >= 1.0].float().mean()
    return (losses * weights).sum() / weights.sum(), right


def rate(done: float) -> float:
    """Warm-up, then a cosine down to nearly nothing."""
    return min(done / 0.02, 1.0) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def falling(done: float) -> float:
    """A short warm-up for fresh optimisers, then a straight line down to nothing."""
    return min(done / 0.03, 1.0) * 0.7 * (1 - done)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One part of the training: `stages` and `rates` are laid out over `steps`, of which the first `stop` are run."""

    stages: tuple[Stage, ...]
    rates: Callable[[float], float]
    steps: int
    stop: int
    seed: int
    tokens: int
    branches: int
    hints: bool = False


def train(model: Model, tokenizer: Tokenizer, plan: Plan, keep: Path) -> None:
    """Runs the plan. The corpus is endless: no row comes twice."""
    corpus, steps = Corpus(plan.seed), plan.steps
    optimiser = Optimiser(model, matrix_rate=0.02, other_rate=3e-3)
    hints = Hints(model.shape.width)
    beside = torch.optim.AdamW(hints.parameters(), lr=3e-3)
    started, stage, source = time.monotonic(), None, iter(())
    read, say_every = 0, 50
    sums = [0.0, 0.0, 0.0]
    for step in range(plan.stop):
        now = next(s for s in plan.stages if step / steps < s.until)
        if now is not stage:
            stage, source = now, batches(tokenizer, corpus, now, plan.tokens, plan.branches)
        batch = next(source)
        watched: list[torch.Tensor] = []
        loss, right = loss_of(model, batch, watched)
        if plan.hints:
            hint, placed = hints(watched, batch)
            loss = loss + 0.5 * hint
            sums[2] += placed.item()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step(plan.rates((step + 1) / steps))
        beside.step()
        beside.zero_grad()
        read += batch.ids.numel()
        sums = [sums[0] + loss.item(), sums[1] + right.item(), sums[2]]
        if (step + 1) % say_every == 0:
            took = time.monotonic() - started
            mean = [s / say_every for s in sums]
            print(
                f"{step + 1:5d} loss {mean[0]:.3f} right {mean[1]:.3f} placed {mean[2]:.3f} "
                f"{took:.0f} s {read / took:.0f} tokens/s",
                flush=True,
            )
            sums = [0.0, 0.0, 0.0]
        if (step + 1) % 50 == 0 or step + 1 == plan.stop:
            save(model, keep)


def save(model: Model, folder: Path) -> None:
    """The weights under a temporary name, then renamed."""
    half = folder / "weights.part"
    torch.save({"shape": model.shape, "weights": model.state_dict()}, half)
    half.replace(folder / "weights.pt")


def main() -> None:
    """The command line: see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS, help="from nothing, or on from what is there")
    parser.add_argument("--out", type=Path, required=True, help="folder for tokenizer.json and weights.pt")
    given = parser.parse_args()
    settle()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.part == "start":
        tokenizer = build(SEED)
        tokenizer.save(str(given.out / "tokenizer.json"))
        model = Model(Shape(vocabulary=VOCABULARY))
        plan = Plan(stages=STAGES, rates=rate, steps=1300, stop=400, seed=SEED + 1, tokens=3072, branches=10)
    else:
        tokenizer = Tokenizer.from_file(str(given.out / "tokenizer.json"))
        saved = torch.load(given.out / "weights.pt", weights_only=False)
        model = Model(saved["shape"])
        model.load_state_dict(saved["weights"])
        stages, count, seed = {
            "finish": (FINISH, 350, SEED + 3),
            "several": (SEVERAL, 450, SEED + 4),
            "number": (SEVERAL, 450, SEED + 4),
            "wording": (WORDING, 400, SEED + 5),
        }[given.part]
        hints = given.part in ("number", "wording")
        plan = Plan(
            stages=stages, rates=falling, steps=count, stop=count, seed=seed, tokens=3072, branches=14, hints=hints
        )
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {tokenizer.get_vocab_size()} tokens", flush=True)
    train(model, tokenizer, plan, given.out)


if __name__ == "__main__":
    main()
