"""Trains the demo model from nothing on one CPU thread and writes its weights and tokenizer.

Beside the answers, some heads are taught where to look: the words of an answer follow from what those heads find, and a
hint to the head teaches in minutes what the answer alone teaches in days.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional

from . import batches as rows
from .batches import Batch, Encoder, batches, collate
from .corpus import Corpus, Size
from .model import BEFORE, CITE, COPY, ENDING, FIRST, MATCH, MISS, NUMBER, TRACE, VOTE, Cut, Model, Shape, Watched
from .optimiser import Optimiser
from .tokenizer import alike, build
from .words import HELD_OUT

SEED = 20261124
THREADS = 1
CHECK_SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the rows are like before step `until` of a part."""

    until: int
    size: Size
    nothing: bool = True
    """Whether words that find nothing are taught to look at nothing."""


def settle(seed: int = SEED, threads: int = THREADS) -> None:
    """The same run twice gives the same weights (on the same processor and torch)."""
    torch.manual_seed(seed)
    random.seed(seed)
    torch.set_num_threads(threads)


def _looks(watched: Watched, head: tuple[int, int], batch: Batch, lines: torch.Tensor) -> torch.Tensor:
    """Log shares of attention [lines, length] of one head, for the tokens that `lines` [rows, length] picks."""
    layer, number = head
    q, k = watched[layer]
    scores = torch.cat([q[r, number, lines[r]].float() @ k[r, number].float().T for r in range(len(lines))])
    row, at = lines.nonzero(as_tuple=True)
    return functional.log_softmax((scores * q.shape[-1] ** -0.5).masked_fill(~batch.seen(row, at), -1e9), dim=-1)


def _some(lines: torch.Tensor, most: int = 96) -> torch.Tensor:
    """At most so many of the tokens that `lines` picks, by lot: all of them would cost as much as the model does."""
    picked = lines.nonzero()
    if len(picked) <= most:
        return lines
    picked = picked[torch.randperm(len(picked))[:most]]
    fewer = torch.zeros_like(lines)
    fewer[picked[:, 0], picked[:, 1]] = True
    return fewer


def _pointed(
    watched: Watched, heads: Sequence[tuple[int, int]], batch: Batch, where: torch.Tensor, lines: torch.Tensor
) -> torch.Tensor:
    """How badly heads look at the one token that `where` [rows, length] names."""
    lines = _some(lines & (where >= 0))
    if not lines.any():
        return torch.zeros(())
    return torch.stack(
        [-_looks(watched, head, batch, lines).gather(1, where[lines][:, None]).mean() for head in heads]
    ).mean()


def _among(
    watched: Watched,
    heads: Sequence[tuple[int, int]],
    batch: Batch,
    lines: torch.Tensor,
    good: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    nothing: bool,
) -> torch.Tensor:
    """How badly heads look at any of the tokens that `good` names for lines (row, place)."""
    lines = _some(lines)
    wanted = good(*lines.nonzero(as_tuple=True))
    wanted[~wanted.any(-1), 0] = nothing  # who finds nothing looks at the first token, so that it has no part
    some = wanted.any(-1)
    if not some.any():
        return torch.zeros(())
    shares = [_looks(watched, head, batch, lines)[some].masked_fill(~wanted[some], -1e9) for head in heads]
    return torch.stack([-torch.logsumexp(share, dim=-1).mean() for share in shares]).mean()


def _after(batch: Batch) -> torch.Tensor:
    """What guessing the token after each one counts, in tenths."""
    return functional.pad(batch[rows.TARGET][:, 1:], (0, 1))


def hints(watched: Watched, batch: Batch, *, nothing: bool) -> dict[str, torch.Tensor]:
    """What each taught head still misses, in nats."""
    branch, stem, told, source = (batch[c] for c in (rows.BRANCH, rows.STEM, rows.TOLD, rows.SOURCE))
    context, inside, said = branch == 0, batch[rows.SENTENCE] > 0, batch[rows.SAID] > 0
    # An answer chooses its first token and its number; the tokens between only follow, and are many.
    begins = (branch > 0) & (batch[rows.TARGET] == 0) & (_after(batch) > 0)
    numbers = said & (_after(batch) == rows.NUMBER_COUNTS)
    asked = (branch > 0) & (batch[rows.TARGET] == 0)
    own = functional.pad(source[:, :-1], (1, 0), value=-1)

    def same_word(row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        return (stem[row] == stem[row, at][:, None]) & inside[row] & (stem[row, at] > 0)[:, None]

    def of_branch(mark: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        def good(row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            earlier = torch.arange(branch.shape[1])[None] <= at[:, None]
            return (mark[row] > 0) & (branch[row] == branch[row, at][:, None]) & earlier

        return good

    lost = asked & ((batch[rows.MISSED] > 0) | (stem == 0))
    if not nothing:
        lost &= False
    return {
        "first": _pointed(watched, [FIRST], batch, batch[rows.FIRST], context),
        "before": _pointed(watched, [BEFORE], batch, batch[rows.BEFORE], context),
        "number": _pointed(watched, [NUMBER], batch, batch[rows.NUMBER], context & inside),
        "choose": _pointed(watched, COPY, batch, source, begins),
        "cite": _pointed(watched, [CITE], batch, source, numbers),
        "trace": _pointed(watched, [TRACE], batch, functional.pad(own[:, :-1], (1, 0), value=-1), said & (told > 0)),
        "copy": _pointed(watched, COPY, batch, source, said & ~numbers),
        # A word of a question looks at the same word in the passages, one of an answer at where it was copied from.
        "match": _among(watched, MATCH, batch, asked & (told > 0), same_word, nothing=False),
        "ending": _among(
            watched, [ENDING], batch, asked & (told > 0) & (batch[rows.ENDS] == 2), same_word, nothing=False
        ),
        "nothing": _pointed(watched, [*MATCH, ENDING], batch, torch.zeros_like(branch), lost),
        "again": _pointed(watched, MATCH, batch, own, said & (told > 0)),
        # An answer looks at its question's telling words and, as soon as it tells its sentence, at itself.
        "vote": _among(watched, VOTE, batch, begins | said, of_branch(told), nothing=nothing),
        "miss": _among(watched, [MISS], batch, begins, of_branch(batch[rows.MISSED]), nothing=nothing),
    }


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


def level(step: int, steps: int) -> float:
    """Warm-up, then level."""
    return min(step / 50, 1.0) * 0.8


def falling(step: int, steps: int) -> float:
    """A short warm-up for a fresh optimiser, then a line down to nothing: what large steps shake comes to rest."""
    return min(step / 50, 1.0) * (0.5 * (1 - step / steps) + 0.002)


def settling(step: int, steps: int) -> float:
    """The same line from a lower start."""
    return 0.4 * falling(step, steps)


def polishing(step: int, steps: int) -> float:
    """And from a lower one still."""
    return 0.3 * falling(step, steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Steps through the stages, at rates that are laid out over `steps`, of which the first `stop` are made."""

    stages: tuple[Stage, ...]
    rates: Callable[[int, int], float]
    steps: int
    stop: int
    seed: int
    hint: float
    """What the lessons of the heads count beside the answers."""
    swap: float = 0.0
    """Share of rows whose words are made of other pieces, see `Encoder`."""
    everyday: bool = False
    """Whether everyday words are among these pieces."""
    careful: bool = False
    """Whether all that chooses counts as a choice, see `Encoder`."""


PARTS = {
    "start": Part(
        stages=(
            Stage(until=40, size=Size(passages=1, sentences=3, questions=8, hard=0.2), nothing=False),
            Stage(until=160, size=Size(passages=2, sentences=3, questions=10, hard=0.6), nothing=False),
            Stage(until=400, size=Size(passages=3, sentences=4, questions=12)),
        ),
        rates=level,
        steps=400,
        stop=400,
        seed=SEED + 1,
        hint=0.4,
    ),
    "finish": Part(
        stages=(Stage(until=1500, size=Size(passages=3, sentences=4, questions=12)),),
        rates=falling,
        steps=5000,
        stop=1500,
        seed=SEED + 3,
        hint=0.3,
    ),
    "settle": Part(
        stages=(
            Stage(until=2000, size=Size(passages=3, sentences=4, questions=12)),
            Stage(until=3300, size=Size(passages=4, sentences=5, questions=14)),
        ),
        rates=settling,
        steps=3300,
        stop=1100,
        seed=SEED + 4,
        hint=0.2,
    ),
    "sharpen": Part(
        stages=(
            Stage(until=1400, size=Size(passages=3, sentences=4, questions=12)),
            Stage(until=2700, size=Size(passages=4, sentences=5, questions=14)),
        ),
        rates=settling,
        steps=2700,
        stop=2700,
        seed=SEED + 6,
        hint=0.2,
        swap=0.4,
        careful=True,
    ),
    "polish": Part(
        stages=(
            Stage(until=500, size=Size(passages=4, sentences=5, questions=14)),
            Stage(until=1500, size=Size(passages=3, sentences=4, questions=12)),
        ),
        rates=polishing,
        steps=1500,
        stop=1500,
        seed=SEED + 7,
        hint=0.1,
        swap=0.3,
        everyday=True,
        careful=True,
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


def train(model: Model, tokenizer: Tokenizer, part: Part, keep: Path) -> None:
    """The part's updates. The corpus is endless: no row comes twice."""
    corpus = Corpus(part.seed)
    plain = Encoder(tokenizer)
    encoder = Encoder(tokenizer, swap=part.swap, everyday=part.everyday, careful=part.careful, seed=part.seed)
    optimiser = Optimiser(model, matrix_rate=0.02, other_rate=3e-3)
    started, stage, source = time.monotonic(), None, iter(())
    read, progress = 0, Progress()
    for step in range(part.stop):
        now = next(s for s in part.stages if step < s.until)
        if now is not stage:
            stage, source = now, batches(encoder, corpus, now.size, TOKENS)
            print(f"-- {now}", flush=True)
        batch = next(source)
        watched: Watched = {}
        loss, right = loss_of(model, batch, watched)
        taught = hints(watched, batch, nothing=now.nothing)
        progress.add(loss=loss.item(), right=right.item(), **{n: float(v.detach()) for n, v in taught.items()})
        (loss + part.hint * sum(taught.values())).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step(part.rates(step + 1, part.steps))
        read += batch[rows.IDS].numel()
        if (step + 1) % 25 == 0:
            took = time.monotonic() - started
            print(f"{step + 1:5d} {progress.line()} {took:.0f} s {read / took:.0f} tokens/s", flush=True)
        if (step + 1) % 100 == 0 or step + 1 == part.stop:
            save(model, keep)
            found = check(model, plain)
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
    train(model, tokenizer, PARTS[given.part], given.out)


if __name__ == "__main__":
    main()
