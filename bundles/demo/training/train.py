"""Trains the demo model from nothing on two CPU threads and writes its weights and tokenizer.

Beside the answers, six heads are taught where to look: the words of an answer follow from what those heads find, and a
hint to the head teaches in minutes what the answer alone teaches in days.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.nn import functional

from . import batches as rows
from .batches import Batch, Encoder, batches, collate
from .corpus import Corpus, Size
from .model import BEFORE, COPY, FIRST, MATCH, NUMBER, VOTE, Cut, Model, Shape, Watched
from .optimiser import Optimiser
from .tokenizer import alike, build
from .words import HELD_OUT

SEED = 20261124
THREADS = 1
CHECK_SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of the curriculum, used until `until` (a share of the training)."""

    until: float
    size: Size


STAGES = (
    Stage(until=0.05, size=Size(passages=1, sentences=3, questions=8, hard=0.2)),
    Stage(until=0.18, size=Size(passages=2, sentences=3, questions=10, hard=0.6)),
    Stage(until=0.75, size=Size(passages=3, sentences=4, questions=12)),
    Stage(until=1.0, size=Size(passages=4, sentences=5, questions=14, fewest=2)),
)


def settle(seed: int = SEED, threads: int = THREADS) -> None:
    """The same run twice gives the same weights (on the same processor and torch)."""
    torch.manual_seed(seed)
    random.seed(seed)
    torch.set_num_threads(threads)


def _looks(watched: Watched, head: tuple[int, int], batch: Batch, lines: torch.Tensor) -> torch.Tensor:
    """Log shares of attention [lines, length] of one head, for the tokens that `lines` [rows, length] picks."""
    layer, number = head
    q, k = watched[layer]
    q, k = q[:, number].bfloat16(), k[:, number].bfloat16()
    row, at = lines.nonzero(as_tuple=True)
    scores = (q @ k.transpose(1, 2))[row, at].float() * q.shape[-1] ** -0.5
    return functional.log_softmax(scores.masked_fill(~batch.seen(row, at), -1e9), dim=-1)


def _pointed(watched: Watched, head: tuple[int, int], batch: Batch, column: int, lines: torch.Tensor) -> torch.Tensor:
    """How badly a head looks at the one token that `column` names."""
    lines = lines & (batch[column] >= 0)
    if not lines.any():
        return torch.zeros(())
    return -_looks(watched, head, batch, lines).gather(1, batch[column][lines][:, None]).mean()


def _after(batch: Batch) -> torch.Tensor:
    """What guessing the token after each one counts, in tenths."""
    return functional.pad(batch[rows.TARGET][:, 1:], (0, 1))


def hints(watched: Watched, batch: Batch, *, nothing: bool) -> dict[str, torch.Tensor]:
    """What each taught head still misses, in nats."""
    context, inside, said = batch[rows.BRANCH] == 0, batch[rows.SENTENCE] > 0, batch[rows.SAID] > 0
    # An answer chooses its first token and its number; the tokens between only follow, and are many.
    chooses = said & ((batch[rows.TARGET] == 0) | (_after(batch) == rows.NUMBER_COUNTS))
    found = {
        "first": _pointed(watched, FIRST, batch, rows.FIRST, context),
        "before": _pointed(watched, BEFORE, batch, rows.BEFORE, context),
        "number": _pointed(watched, NUMBER, batch, rows.NUMBER, context & inside),
    }
    for name, lines in (("choose", chooses), ("copy", said & ~chooses)):
        found[name] = torch.stack([_pointed(watched, head, batch, rows.SOURCE, lines) for head in COPY]).mean()
    # A word of a question looks at the same word in the passages; an answer looks at its question's telling words.
    stem, branch, told = batch[rows.STEM], batch[rows.BRANCH], batch[rows.TOLD] > 0
    matches, votes = (branch > 0) & (stem > 0), said
    if nothing:
        matches, votes = branch > 0, (batch[rows.TARGET] > 0) | (_after(batch) > 0)
    for name, heads, lines in (("match", MATCH, matches), ("vote", VOTE, votes)):
        row, at = lines.nonzero(as_tuple=True)
        if not len(row):
            continue
        if name == "match":
            good = (stem[row] == stem[row, at][:, None]) & inside[row] & (stem[row, at] > 0)[:, None]
        else:
            good = told[row] & (branch[row] == branch[row, at][:, None])
        none = ~good.any(-1)
        good[none, 0] = nothing  # who finds nothing looks at the first token, so that it has no part in the votes
        some = good.any(-1)
        if some.any():
            shares = [_looks(watched, head, batch, lines)[some].masked_fill(~good[some], -1e9) for head in heads]
            found[name] = torch.stack([-torch.logsumexp(share, dim=-1).mean() for share in shares]).mean()
    return found


def cut(batch: Batch) -> Cut:
    return Cut(context=batch.context, span=batch.span, padding=batch[rows.BRANCH][:, : batch.context] != 0)


def loss_of(model: Model, batch: Batch, watched: Watched | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss, share of answer tokens guessed right)."""
    branch = batch[rows.BRANCH]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = model.states(batch[rows.IDS], batch[rows.PLACE], cut(batch), watched)[:, :-1]
        # The guess after a token is the next token of the same branch.
        weights = (batch[rows.TARGET][:, 1:] * (branch[:, 1:] == branch[:, :-1])).float() / 10
        wanted = weights > 0
        logits = model.logits(states[wanted])
    target, weights = batch[rows.IDS][:, 1:][wanted], weights[wanted]
    losses = functional.cross_entropy(logits.float(), target, reduction="none")
    right = (logits.argmax(-1) == target).float().mean()
    return (losses * weights).sum() / weights.sum(), right


@torch.no_grad()
def check(
    model: Model, encoder: Encoder, split: str = HELD_OUT, *, count: int = 40, size: Size | None = None
) -> dict[str, float]:
    """Shares right on made-up rows with words of a split, every token of an answer guessed after the right ones.

    A wholly right answer here is a wholly right answer when the model writes on its own: greedy writing follows the
    same tokens.
    """
    corpus = Corpus(CHECK_SEED, split)
    coded = sorted(
        (encoder.row(corpus.row(size or Size(passages=3, sentences=4, questions=6))) for _ in range(count)), key=len
    )
    tally = {"sentence": [0, 0], "number": [0, 0], "abstained": [0, 0]}
    for start in range(0, count, 6):
        batch = collate(coded[start : start + 6])
        branch = batch[rows.BRANCH]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = model.states(batch[rows.IDS], batch[rows.PLACE], cut(batch))
            wanted = (batch[rows.TARGET][:, 1:] > 0) & (branch[:, 1:] == branch[:, :-1])
            guess = torch.zeros_like(batch[rows.IDS][:, 1:])
            guess[wanted] = model.logits(states[:, :-1][wanted]).argmax(-1)
        hit = guess == batch[rows.IDS][:, 1:]
        weight = batch[rows.TARGET][:, 1:]
        for r in range(len(branch)):
            for b in range(1, int(branch[r].max()) + 1):
                mine = wanted[r] & (branch[r, 1:] == b)
                if not mine.any():
                    continue
                answered = bool((batch[rows.SAID][r, 1:][mine] > 0).any())
                if answered:
                    digit = mine & (weight[r] == rows.NUMBER_COUNTS)
                    tally["sentence"][0] += bool(hit[r][mine & ~digit].all())
                    tally["sentence"][1] += 1
                    tally["number"][0] += bool(hit[r][digit].all())
                    tally["number"][1] += 1
                else:
                    tally["abstained"][0] += bool(hit[r][mine].all())
                    tally["abstained"][1] += 1
    return {name: a / max(1, b) for name, (a, b) in tally.items()}


def rate(done: float) -> float:
    """Warm-up, level, then a line down to nothing over the last half."""
    return min(done / 0.02, 1.0) * min(1.0, 2 * (1 - done) + 0.01)


def falling(done: float) -> float:
    """A short warm-up for a fresh optimiser, level, then a line down to nothing."""
    return min(done / 0.03, 1.0) * min(1.0, 1.6 * (1 - done) + 0.01)


def settling(done: float) -> float:
    """A third of the full rates down to nothing: what large steps shake about comes to rest."""
    return min(done / 0.03, 1.0) * (0.35 * (1 - done) + 0.003)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`stages` and `rates` are laid out over `steps`, of which the first `stop` are run."""

    stages: tuple[Stage, ...]
    rates: Callable[[float], float]
    steps: int
    stop: int
    seed: int
    hint: float
    """What the lessons of the heads count beside the answers."""
    nothing: bool
    """Whether words that find nothing are taught to look at nothing."""


PARTS = {
    "start": Part(stages=STAGES, rates=rate, steps=900, stop=300, seed=SEED + 1, hint=0.3, nothing=False),
    "finish": Part(
        stages=(
            Stage(until=0.75, size=Size(passages=3, sentences=4, questions=12)),
            Stage(until=1.0, size=Size(passages=4, sentences=5, questions=14, fewest=2)),
        ),
        rates=falling,
        steps=700,
        stop=200,
        seed=SEED + 3,
        hint=0.5,
        nothing=True,
    ),
    "settle": Part(
        stages=(
            Stage(until=0.75, size=Size(passages=3, sentences=4, questions=12)),
            Stage(until=1.0, size=Size(passages=4, sentences=5, questions=14, fewest=2)),
        ),
        rates=settling,
        steps=260,
        stop=260,
        seed=SEED + 4,
        hint=0.5,
        nothing=True,
    ),
    "longer": Part(
        stages=(
            Stage(until=0.6, size=Size(passages=3, sentences=4, questions=12)),
            Stage(until=1.0, size=Size(passages=4, sentences=5, questions=14, fewest=2)),
        ),
        rates=lambda done: min(done / 0.03, 1.0) * (0.5 * (1 - done) + 0.003),
        steps=1200,
        stop=1200,
        seed=SEED + 5,
        hint=0.5,
        nothing=True,
    ),
}
TOKENS = 2048
"""Tokens a step."""


@dataclass(slots=True)
class Progress:
    """Sums since the last line was printed."""

    count: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, **values: float) -> None:
        self.count += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def line(self) -> str:
        text = " ".join(f"{name} {value / self.count:.3f}" for name, value in self.sums.items())
        self.count, self.sums = 0, {}
        return text


def train(model: Model, encoder: Encoder, part: Part, keep: Path) -> None:
    """The part's updates. The corpus is endless: no row comes twice."""
    corpus = Corpus(part.seed)
    optimiser = Optimiser(model, matrix_rate=0.02, other_rate=3e-3)
    started, stage, source = time.monotonic(), None, iter(())
    read, progress = 0, Progress()
    for step in range(part.stop):
        now = next(s for s in part.stages if step / part.steps < s.until)
        if now is not stage:
            stage, source = now, batches(encoder, corpus, now.size, TOKENS)
            print(f"-- {now}", flush=True)
        batch = next(source)
        watched: Watched = {}
        loss, right = loss_of(model, batch, watched)
        taught = hints(watched, batch, nothing=part.nothing)
        progress.add(loss=loss.item(), right=right.item(), **{n: float(v.detach()) for n, v in taught.items()})
        (loss + part.hint * sum(taught.values())).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step(part.rates((step + 1) / part.steps))
        read += batch[rows.IDS].numel()
        if (step + 1) % 25 == 0:
            took = time.monotonic() - started
            print(f"{step + 1:5d} {progress.line()} {took:.0f} s {read / took:.0f} tokens/s", flush=True)
        if (step + 1) % 100 == 0 or step + 1 == part.stop:
            save(model, keep)
            found = check(model, encoder)
            print("      unseen words: " + " ".join(f"{n} {v:.3f}" for n, v in found.items()), flush=True)


def save(model: Model, folder: Path) -> None:
    """The weights under a temporary name, then renamed."""
    half = folder / "weights.part"
    torch.save({"shape": model.shape, "weights": model.state_dict()}, half)
    half.replace(folder / "weights.pt")


def main() -> None:
    """The command line: see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=sorted(PARTS), help="from nothing, or on from what is there")
    parser.add_argument("--out", type=Path, required=True, help="folder for tokenizer.json and weights.pt")
    given = parser.parse_args()
    settle()
    given.out.mkdir(parents=True, exist_ok=True)
    tokenizer = build(SEED)
    tokenizer.save(str(given.out / "tokenizer.json"))
    model = Model(Shape(vocabulary=tokenizer.get_vocab_size()), alike(tokenizer))
    if given.part != "start":
        model.load_state_dict(torch.load(given.out / "weights.pt", weights_only=False)["weights"])
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {tokenizer.get_vocab_size()} tokens", flush=True)
    train(model, Encoder(tokenizer), PARTS[given.part], given.out)


if __name__ == "__main__":
    main()
