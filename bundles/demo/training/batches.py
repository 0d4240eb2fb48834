"""Rows as tensors: one context shared by several questions that cannot see each other, and where to look for what."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer

from . import words
from .corpus import ABSTAIN, GREETING, SYSTEM, Corpus, Passage, Piece, Row, Size, alone

HEAD = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
OPEN = "<|im_end|>\n<|im_start|>assistant\n"
CHOICE = 5.0
"""What the first token of an answer counts: it chooses the sentence, the others copy it."""
NUMBER_COUNTS = 30
"""What the passage's number counts, in tenths."""

ENDINGS = frozenset(["s", "e", "d", "g", "i", "n", "ed", "in", "ng", "ing"])
"""Pieces that an ending is made of."""

# Columns of an encoded row, one number a token.
IDS, PLACE, BRANCH, TARGET, SENTENCE, STEM, FIRST, BEFORE, NUMBER, SOURCE, TOLD, SAID, ENDS, MISSED = range(14)
"""In this order: the token; its position; 0 in the context, or the question's number; ten times what guessing it
counts; the number of its sentence in the context, from 1; the number of its content word, from 1; where its sentence
begins, where what stands before it ends, and where its passage's number is, each -1 for nowhere; what the token after
it is copied from, or -1; 1 where a word of a question ends that the answer has, and in an answer where it tells its
sentence by itself; in an answer, the sentence it copies; where a content word of a question ends, 1 if it stands there
as it is and 2 with an ending; 1 where a word of a question ends that stands nowhere in the passages."""
_EMPTY = (0, 0, 0, 0, 0, 0, -1, -1, -1, -1, 0, 0, 0, 0)
COLUMNS = len(_EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Tensors [rows, length] by column: a context, padded to `context` tokens, then questions of `span` tokens."""

    columns: torch.Tensor
    context: int
    span: int

    def __getitem__(self, column: int) -> torch.Tensor:
        return self.columns[..., column]

    def seen(self, row: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """[lines, length]: what token `at` of row `row` may look at."""
        branch = self[BRANCH][row]
        own = branch == self[BRANCH][row, at][:, None]
        before = torch.arange(branch.shape[1])[None] <= at[:, None]
        return ((branch == 0) | own) & before


class _Lines(list[list[int]]):
    """The tokens of a row as they come, a list of columns each."""

    def __init__(self) -> None:
        super().__init__()
        self.place = self.branch = 0

    def begin(self, branch: int, place: int) -> None:
        self.branch, self.place = branch, place

    def add(self, token: int, more: dict[int, int] | None = None) -> None:
        line = list(_EMPTY)
        line[IDS], line[PLACE], line[BRANCH] = token, self.place, self.branch
        for column, value in (more or {}).items():
            line[column] = value
        self.append(line)
        self.place += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """Where things stand in a row's context."""

    stems: dict[str, int]
    """Content word to its number."""
    spans: dict[tuple[int, int], int]
    """(passage, sentence) to the sentence's number."""
    tokens: dict[int, list[int]]
    """A sentence's number to its tokens' places."""
    numbers: list[int]
    """Place of each passage's number."""
    length: int


class Encoder:
    """Turns rows into numbers."""

    def __init__(
        self, tokenizer: Tokenizer, *, swap: float = 0.0, everyday: bool = False, careful: bool = False, seed: int = 0
    ) -> None:
        """Set it up.

        Args:
            swap: share of rows whose content words have their pieces exchanged for others. Words are made of few
                pieces at their beginning and of few others at their end; any piece may stand anywhere in a real text.
            everyday: exchange them for everyday words too, some of which only questions have otherwise.
            careful: every token of an answer counts as a choice as long as another sentence begins alike and goes on
                otherwise; without it the first alone does.
        """
        self.tokenizer, self.swap, self.careful = tokenizer, swap, careful
        self.rng = np.random.default_rng(seed)
        ids = tokenizer.get_vocab()
        plain = [p for p in ids if p.isascii() and p.islower() and p not in ENDINGS]
        if not everyday:
            plain = [p for p in plain if p not in words.CLOSED]
        forms = [(ids[p], ids.get("Ġ" + p), ids.get(p.capitalize())) for p in sorted(plain)]
        self.forms = np.array([f for f in forms if None not in f])
        """[pieces, 3]: a piece inside a word, after a space, with a capital."""
        self.space = tokenizer.token_to_id("Ġ")
        self.head = tokenizer.encode(HEAD, add_special_tokens=False).ids
        self.tail = tokenizer.encode(OPEN, add_special_tokens=False).ids
        self.end = tokenizer.token_to_id("<|im_end|>")
        self.opener = tokenizer.token_to_id("Ġ[")
        self.closer = tokenizer.token_to_id("]")
        self.abstain = [*tokenizer.encode(ABSTAIN, add_special_tokens=False).ids, self.end]

    def row(self, row: Row, *, steps: bool = False) -> np.ndarray:
        """[length, columns]: the context and each question with its answer; `steps` is the adapter's form."""
        out, stems, spans = _Lines(), dict[str, int](), dict[tuple[int, int], int]()
        written = [self._passage(i, passage, stems, spans) for i, passage in enumerate(row.passages)]
        known = len(stems)
        asked = [_marked([("Question: ", ""), *one.pieces], stems) for one in row.asked]
        texts = [*(text for text, _, _ in written), *(text for text, _ in asked)]
        coded = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        for token in self.head:
            out.add(token)
        swapped = np.arange(self.tokenizer.get_vocab_size())
        if self.rng.random() < self.swap:
            swapped[self.forms] = self.rng.permutation(self.forms)
        tokens: dict[int, list[int]] = {}
        numbers = []
        for code, (_, marks, owners) in zip(coded, written, strict=False):
            number = len(out) + 1
            numbers.append(number)
            for token, (_, stop) in zip(code.ids, code.offsets, strict=True):
                sentence, here = owners[stop - 1], len(out)
                if sentence and token == self.space and sentence not in tokens:
                    sentence = 0  # the space before a sentence is not part of it
                if sentence:
                    tokens.setdefault(sentence, []).append(here)
                own = tokens.get(sentence, [-1])
                place = {FIRST: own[0], BEFORE: self._before(out, own[0]), NUMBER: number if here >= number else -1}
                stem = marks[stop - 1]
                out.add(int(swapped[token]) if stem else token, {SENTENCE: sentence, STEM: stem, **place})
        context = _Context(stems=stems, spans=spans, tokens=tokens, numbers=numbers, length=len(out))
        for branch, (one, code, (_, marks)) in enumerate(
            zip(row.asked, coded[len(written) :], asked, strict=True), start=1
        ):
            out.begin(branch, context.length)
            told = {stems[s] for s in row.passages[one.source[0]].sentences[one.source[1]].stems} if one.source else ()
            plain = _plain([("Question: ", ""), *one.pieces])
            stops = [stop for _, stop in code.offsets]
            for token, stop, after in zip(code.ids, stops, [*stops[1:], 0], strict=True):
                stem = marks[stop - 1]
                ends = stem and (not after or marks[after - 1] != stem)
                more = {ENDS: 2 - plain[stop - 1], TOLD: int(stem in told), MISSED: int(stem > known)} if ends else {}
                out.add(int(swapped[token]) if stem else token, {STEM: stem, **more})
            for token in self.tail:
                out.add(token)
            if one.source is None:
                for nth, token in enumerate(self.abstain):
                    out.add(token, {TARGET: 10 if nth else int(10 * CHOICE)})
                continue
            self._quote(out, "1. " if steps else "", context, one.source)
            out.add(self.end, {TARGET: 10})
        return np.array(out, dtype=np.int64)

    def _passage(
        self, index: int, passage: Passage, stems: dict[str, int], spans: dict[tuple[int, int], int]
    ) -> tuple[str, list[int], list[int]]:
        """Its text, and for each character the number of its content word and of its sentence."""
        text, marks = _marked([(f"[{index + 1}] ", ""), *passage.place, ("\n", "")], stems)
        owners = [0] * len(text)
        for nth, sentence in enumerate(passage.sentences):
            glue = passage.glue if nth else ""
            body, body_marks = _marked(sentence.pieces, stems)
            spans[index, nth] = len(spans) + 1
            text += glue + body
            marks += [0] * len(glue) + body_marks
            owners += [0] * len(glue) + [spans[index, nth]] * len(body)
        return text + "\n\n", [*marks, 0, 0], [*owners, 0, 0]

    def _before(self, out: _Lines, first: int) -> int:
        """The stop or line break before a sentence. It shows itself when read, and knows what it ends."""
        return first if first < 0 else first - (2 if out[first - 1][IDS] == self.space else 1)

    def _quote(self, out: _Lines, lead: str, context: _Context, spot: tuple[int, int]) -> None:
        """`lead`, the sentence, and its passage's number."""
        said, number = context.spans[spot], context.numbers[spot[0]]
        for nth, token in enumerate(self.tokenizer.encode(lead, add_special_tokens=False).ids):
            out.add(token, {TARGET: 10 if nth else int(10 * CHOICE), SAID: said})
        others = [[out[s][IDS] for s in t] for number, t in context.tokens.items() if number != said and self.careful]
        for nth, source in enumerate(context.tokens[said]):
            out[-1][SOURCE], out[-1][SAID] = source, said
            token = out[source][IDS]
            chooses = not nth or any(other[nth : nth + 1] != [token] for other in others)
            out.add(token, {TARGET: int(10 * CHOICE) if chooses else 10, SAID: said, TOLD: int(nth > 1)})
            others = [other for other in others if other[nth : nth + 1] == [token]]
        out.add(self.opener, {TARGET: 10, SAID: said, SOURCE: number, TOLD: 1})
        out.add(out[number][IDS], {TARGET: NUMBER_COUNTS, SAID: said})
        out.add(self.closer, {TARGET: 10, SAID: said})

    def alone(self, rng: random.Random) -> np.ndarray:
        """A message without passages, and what is said to it."""
        out = _Lines()
        for token in self.tokenizer.encode(f"<|im_start|>user\n{alone(rng)}{OPEN}", add_special_tokens=False).ids:
            out.add(token)
        for token in self.tokenizer.encode(f"{GREETING}<|im_end|>", add_special_tokens=False).ids:
            out.add(token, {TARGET: 10})
        return np.array(out, dtype=np.int64)


def _marked(pieces: list[Piece], stems: dict[str, int]) -> tuple[str, list[int]]:
    """Text, and the number of the content word that each character is in."""
    marks: list[int] = []
    for text, stem in pieces:
        marks += [stems.setdefault(stem, len(stems) + 1) if stem else 0] * len(text)
    return "".join(text for text, _ in pieces), marks


def _plain(pieces: list[Piece]) -> list[bool]:
    """For each character whether it is in a word that stands there as it is."""
    return [text.lower() == stem for text, stem in pieces for _ in text]


def collate(coded: list[np.ndarray]) -> Batch:
    """Pads contexts to one length, and every question to another."""
    parts = [np.split(row, np.flatnonzero(np.diff(row[:, BRANCH])) + 1) for row in coded]
    context = -(-max(len(p[0]) for p in parts) // 8) * 8
    span = max((len(b) for p in parts for b in p[1:]), default=0)
    count = max(len(p) - 1 for p in parts)
    columns = np.zeros((len(parts), context + count * span, COLUMNS), dtype=np.int64)
    columns[..., FIRST : SOURCE + 1] = -1
    columns[..., BRANCH] = -1
    for i, (head, *asked) in enumerate(parts):
        columns[i, : len(head)] = head
        for b, part in enumerate(asked):
            start = context + b * span
            columns[i, start : start + len(part)] = part
    return Batch(columns=torch.from_numpy(columns), context=context, span=span)


def batches(
    encoder: Encoder, corpus: Corpus, size: Size, tokens: int, *, steps: bool = False, pool: int = 64
) -> Iterator[Batch]:
    """Batches of about `tokens` tokens; rows of like length go together, so that little is padding."""
    while True:
        coded = [encoder.row(corpus.row(size), steps=steps) for _ in range(pool)]
        coded += [encoder.alone(corpus.rng)] * (corpus.rng.random() < 0.5)
        coded.sort(key=len)
        groups: list[list[np.ndarray]] = [[]]
        for row in coded:
            if groups[-1] and (len(groups[-1]) + 1) * len(row) > tokens:
                groups.append([])
            groups[-1].append(row)
        corpus.rng.shuffle(groups)
        yield from (collate(group) for group in groups)
