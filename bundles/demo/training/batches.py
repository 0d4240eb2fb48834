"""Rows as tensors: one context shared by several questions that cannot see each other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from .corpus import Corpus, Row, alone

# What the first tokens of an answer count.
CHOICE = (3.0, 2.0, 1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of the curriculum, used until `until` (a share of the training). No passages: random tokens, repeated.

    `number` is what the passage number counts that ends an answer. `read` is what a token counts that the model need
    not say: enough to learn the words of the texts early on.
    """

    until: float
    guides: float = 0.0
    scrambled: float = 0.0
    read: float = 0.0
    number: float = 1.0
    loose: float = 0.0
    fewest: int = 1
    passages: int = 0
    most: int = 0


@dataclass(slots=True)
class Encoded:
    """One row as numbers. `branch` is 0 for the shared context, then 1, 2, ... for each question.

    `passage` is the number of the passage that a token stands in, or that an answer's token is copied from, or 0.
    """

    ids: list[int]
    places: list[int]
    branch: list[int]
    weights: list[float]
    passage: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Tensors [rows, length]; `seen` is [rows, 1, length, length]. Row i of `weights` weighs the guess of `target`."""

    ids: torch.Tensor
    places: torch.Tensor
    seen: torch.Tensor
    target: torch.Tensor
    weights: torch.Tensor
    passage: torch.Tensor


def encode_row(tokenizer: Tokenizer, row: Row, branches: int, stage: Stage) -> Encoded:
    """The shared context and up to `branches` questions."""
    made = encode(tokenizer, row.pieces(), row.branches()[:branches], stage.read, stage.number)
    sources = [0] + [answer[1] if answer else 0 for _, answer in row.asked[:branches]]
    for at, branch in enumerate(made.branch):
        if branch and made.weights[at] >= 1.0:
            made.passage[at] = sources[branch]
    return made


def encode(
    tokenizer: Tokenizer, pieces: list[str], branches: list[tuple[str, str]], read: float, number: float = 1.0
) -> Encoded:
    """Token numbers of a context and its (rest of prompt, answer) branches; every branch starts where that ends."""
    texts = [*pieces, *(text for pair in branches for text in (pair[0], pair[1] + "<|im_end|>"))]
    coded = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    # Pieces end in line breaks, where the tokenizer cuts anyway: apart they give the same tokens as joined.
    head = [token for piece in coded[: len(pieces)] for token in piece]
    parts = coded[len(pieces) :]
    inside = [number for number, piece in enumerate(coded[: len(pieces)]) for _ in piece]
    made = Encoded(list(head), list(range(len(head))), [0] * len(head), [read] * len(head), inside)
    for branch in range(len(branches)):
        prompt, answer = parts[2 * branch], parts[2 * branch + 1]
        said = [*CHOICE, *[1.0] * len(answer)][: len(answer)]
        # An answer ends in its passage number, a bracket and the end token.
        said[-3] *= number
        # The first tokens choose the sentence; the others only copy it.
        made.ids += prompt + answer
        made.places += range(len(head), len(head) + len(prompt) + len(answer))
        made.branch += [branch + 1] * (len(prompt) + len(answer))
        made.weights += [read] * len(prompt) + said
        made.passage += [0] * (len(prompt) + len(answer))
    return made


def collate(rows: list[Encoded]) -> Batch:
    """Pads rows to one length and works out who sees whom."""
    length = max(len(r.ids) for r in rows)

    def padded(values: list[list[float]], fill: float, kind: torch.dtype) -> torch.Tensor:
        return torch.tensor([v + [fill] * (length - len(v)) for v in values], dtype=kind)

    ids = padded([r.ids for r in rows], 0, torch.long)
    places = padded([r.places for r in rows], 0, torch.long)
    branch = padded([r.branch for r in rows], -1, torch.long)
    weights = padded([r.weights for r in rows], 0.0, torch.float32)
    passage = padded([r.passage for r in rows], 0, torch.long)
    order = torch.arange(length)
    seen = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    seen = seen & (order[None, None, :] <= order[None, :, None])
    # What comes next is the next token of the same branch. The first token of each branch is guessed by nobody.
    same = branch[:, 1:] == branch[:, :-1]
    return Batch(
        ids=ids,
        places=places,
        seen=seen[:, None],
        target=ids[:, 1:],
        weights=weights[:, 1:] * same.float(),
        passage=passage,
    )


def repeats(rng: random.Random, vocabulary: int, tokens: int) -> Batch:
    """Random tokens, then the same again: the shortest way to learn to look up what came after the last time."""
    length = rng.randint(12, 48)
    rows = []
    for _ in range(tokens // (2 * length)):
        once = [rng.randrange(3, vocabulary) for _ in range(length)]
        cut = rng.randrange(0, length // 2)
        again = once[cut:] + once[:cut]
        both = once + again
        rows.append(
            Encoded(
                both, list(range(2 * length)), [0] * (2 * length), [0.0] * length + [1.0] * length, [0] * (2 * length)
            )
        )
    return collate(rows)


def batches(
    tokenizer: Tokenizer, corpus: Corpus, stage: Stage, tokens: int, branches: int, pool: int = 48
) -> Iterator[Batch]:
    """Batches of about `tokens` tokens; rows of like length go together, so that little is padding."""
    rng: random.Random = corpus.rng
    while not stage.passages:
        yield repeats(rng, tokenizer.get_vocab_size(), tokens)
    corpus.loose = stage.loose
    while True:
        encoded = []
        for _ in range(pool):
            row = corpus.row(
                guides=stage.guides,
                scrambled=stage.scrambled,
                passages=stage.passages,
                most=stage.most,
                fewest=stage.fewest,
            )
            encoded.append(encode_row(tokenizer, row, branches, stage))
        encoded += [encode(tokenizer, [""], [alone(rng, corpus)], stage.read) for _ in range(pool // 24)]
        encoded.sort(key=lambda e: len(e.ids))
        groups: list[list[Encoded]] = [[]]
        for row_ in encoded:
            if groups[-1] and (len(groups[-1]) + 1) * len(row_.ids) > tokens:
                groups.append([])
            groups[-1].append(row_)
        rng.shuffle(groups)
        yield from (collate(group) for group in groups)
