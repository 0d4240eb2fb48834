"""The demo model: a small dense transformer in the shape that GGUF calls `qwen2`.

Rotary positions (halves, not pairs), RMSNorm, SwiGLU, biases on queries, keys and values only. The biases are why it is
not `qwen3`: a head that looks one token back needs a query that depends on no token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The model's dimensions; all are multiples of 32, as Q8_0 blocks need."""

    vocabulary: int
    width: int = 256
    layers: int = 5
    heads: int = 4
    head: int = 64
    inner: int = 256
    context: int = 2048
    rope_base: float = 1e6
    epsilon: float = 1e-6


# Where the heads of the finding circuit sit: (layer, head). `lay_out` gives them a start, `hints` teaches them.
FIRST, BEFORE, NUMBER = (1, 0), (1, 1), (1, 2)
MATCH = ((2, 0), (2, 1))
ENDING = (2, 2)
VOTE = ((3, 0), (3, 1))
MISS = (3, 2)
TRACE, CITE = (2, 3), (3, 3)
COPY = ((4, 0), (4, 1), (4, 2), (4, 3))

Watched = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""Queries and keys [batch, heads, length, head] of layers that somebody looks at."""


class Norm(nn.Module):
    """RMSNorm with a weight."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(width)), epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


class Layer(nn.Module):
    """Attention and a gated feed-forward part, each behind a norm and added to its input."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.shape, total = s, s.heads * s.head
        self.attn_norm, self.ffn_norm = Norm(s.width, s.epsilon), Norm(s.width, s.epsilon)
        self.attn_q, self.attn_k, self.attn_v = (nn.Linear(s.width, total, bias=True) for _ in range(3))
        self.attn_output = nn.Linear(total, s.width, bias=False)
        self.ffn_gate, self.ffn_up = (nn.Linear(s.width, s.inner, bias=False) for _ in range(2))
        self.ffn_down = nn.Linear(s.inner, s.width, bias=False)

    def forward(
        self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor], cut: Cut
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """The layer's output, and its queries and keys."""
        batch, length, _ = x.shape
        h = self.attn_norm(x)
        parts = (self.attn_q, self.attn_k, self.attn_v)
        q, k, v = (f(h).view(batch, length, self.shape.heads, self.shape.head) for f in parts)
        q, k, v = rotate(q, turn).transpose(1, 2), rotate(k, turn).transpose(1, 2), v.transpose(1, 2)
        x = x + self.attn_output(cut.attend(q, k, v).transpose(1, 2).reshape(batch, length, -1))
        h = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h)), (q, k)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How a row is cut: `context` tokens that all may see, then questions of `span` tokens, each seen by itself."""

    context: int
    span: int = 0
    padding: torch.Tensor | None = None
    """[rows, context]: True where the context has ended."""

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Softmax attention, [rows, heads, length, head] each.

        Written out: on a CPU it is twice as fast as the library's with a mask, and no question looks at another.
        """
        rows, heads, length, width = q.shape
        c, scale = self.context, width**-0.5
        keys, values = k[:, :, :c], v[:, :, :c]
        scores = (q[:, :, :c] * scale) @ keys.transpose(-1, -2)
        later = torch.ones(c, c, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(later, -1e9).softmax(-1).to(v.dtype) @ values
        if c == length:
            return mixed
        count = (length - c) // self.span
        asks = q[:, :, c:] * scale
        far = asks @ keys.transpose(-1, -2)
        if self.padding is not None:
            far = far.masked_fill(self.padding[:, None, None, :], -1e9)
        shape = (rows, heads, count, self.span, width)
        own_keys, own_values = k[:, :, c:].view(shape), v[:, :, c:].view(shape)
        near = asks.view(shape) @ own_keys.transpose(-1, -2)
        near = near.masked_fill(torch.ones(self.span, self.span, dtype=torch.bool).triu(1), -1e9)
        share = torch.cat((far, near.flatten(2, 3)), dim=-1).softmax(-1).to(v.dtype)
        own = share[..., c:].unflatten(2, (count, self.span)) @ own_values
        return torch.cat((mixed, share[..., :c] @ values + own.flatten(2, 3)), dim=2)


class Model(nn.Module):
    """Token ids to logits."""

    def __init__(self, s: Shape, alike: list[tuple[int, int]] | None = None) -> None:
        super().__init__()
        self.shape = s
        self.token_embd = nn.Embedding(s.vocabulary, s.width)
        self.blk = nn.ModuleList([Layer(s) for _ in range(s.layers)])
        self.output_norm = Norm(s.width, s.epsilon)
        self.output = nn.Linear(s.width, s.vocabulary, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 1:
                if name.endswith("bias"):
                    nn.init.zeros_(weight)
            elif "attn_output" in name or "ffn_down" in name:
                # Layers start by adding nothing: the first thing that pays is to pass tokens through, that is, to copy.
                nn.init.zeros_(weight)
            else:
                # Tokens are large beside what layers add, or copying could not tell them apart in the end.
                nn.init.normal_(weight, 0.0, 1.0 if "token_embd" in name else s.width**-0.5)
        lay_out(self, alike or [])

    def states(self, ids: torch.Tensor, places: torch.Tensor, cut: Cut, watched: Watched | None = None) -> torch.Tensor:
        """Last hidden states [batch, length, width]. `places` are positions; `cut` says who may look at whom.

        `watched` is given every layer's queries and keys.
        """
        turn = turns(places, self.shape)
        x = self.token_embd(ids)
        for number, layer in enumerate(self.blk):
            x, parts = layer(x, turn, cut)
            if watched is not None:
                watched[number] = parts
        return self.output_norm(x)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.output(states))

    @torch.no_grad()
    def generate(self, ids: list[int], end: int, most: int = 64) -> list[int]:
        """Greedy continuation, without the end token. Slow (no cache): for checks only."""
        made: list[int] = []
        while len(made) < most:
            row = torch.tensor([ids + made])
            places = torch.arange(row.shape[1])[None]
            states = self.states(row, places, Cut(context=row.shape[1]))
            token = int(self.logits(states[0, -1]).argmax())
            if token == end:
                break
            made.append(token)
        return made


@torch.no_grad()
def lay_out(model: Model, alike: list[tuple[int, int]]) -> None:
    """Gives the finding circuit a start: without it a CPU needs hours to find one by descent.

    A token lives in half of the width. In the first layer, heads look one, two and three tokens back and write what
    they see beside it. The second adds how a sentence begins, what stands before it and its passage's number, as that
    sentence's name: all of it is known when the sentence begins. In the third, a question's word finds the same word in
    the passages and takes the name of its sentence; in the fourth, the answer gathers these names as votes; in the
    fifth, it looks for the place whose previous tokens are its own and whose sentence has the votes, and passes on the
    token found there. Beside these, a word of the answer takes its passage's number from where the word before it
    stands, and the bracket after the answer looks that number up. Training is free to change all of it. Source for the
    copying: Olsson and others, "In-context Learning and Induction Heads" (2022).
    """
    s = model.shape
    room = torch.linalg.qr(torch.randn(s.width, s.width))[0]
    token, back, name, vote = room[:128], (room[128:160], room[160:172], room[172:184]), room[192:232], room[232:]
    traced = room[184:192]
    embedding = model.token_embd.weight
    for one, plain in alike:
        embedding[one] = 0.65 * embedding[plain] + 0.75 * embedding[one]
    embedding.copy_(embedding @ token.T @ token * (s.width / len(token)) ** 0.5)
    # What is said is told apart from what is read by a turn of the whole space.
    turned = torch.linalg.qr(torch.randn(s.width, s.width))[0]
    model.output.weight.copy_(0.1 * embedding @ turned)

    def mix(rows: int, columns: int) -> torch.Tensor:
        return torch.linalg.qr(torch.randn(max(rows, columns), max(rows, columns)))[0][:rows, :columns]

    def passes(place: tuple[int, int], read: torch.Tensor, write: torch.Tensor) -> None:
        """The head hands on what it reads [n, width] into `write` [n, width]."""
        layer, first = model.blk[place[0]], place[1] * s.head
        layer.attn_v.weight[first : first + len(read)] = read
        layer.attn_output.weight[:, first : first + len(read)] = write.T

    rates = s.rope_base ** (-torch.arange(0, s.head, 2, dtype=torch.float32) / s.head)
    near = rates > 0.05
    seen = mix(s.head, len(back[0]))  # the same of every token, so that what stood where can be compared
    for number, write in enumerate(back):
        rows = slice(number * s.head, (number + 1) * s.head)
        for part, phase in ((model.blk[0].attn_q, 0.0), (model.blk[0].attn_k, number + 1.0)):
            part.weight[rows] = 0.0
            # A constant vector, turned so that the product is greatest `number + 1` tokens apart.
            part.bias[rows] = 7.0 * torch.cat((near * (rates * phase).cos(), near * (rates * phase).sin()))
        passes((0, number), token[: s.head], seen[:, : len(write)] @ write * 1.4)
    pair = torch.cat((back[0], back[1]))
    for place, read, write in (
        (FIRST, token[64:], name[:10]),
        (BEFORE, pair, name[10:32]),
        (NUMBER, token[64:], name[32:]),
    ):
        passes(place, read, mix(len(read), len(write)) @ write * 2.0)

    # Slow rotations only: what is matched must still match hundreds of tokens away.
    slow = (rates < 0.002).nonzero().flatten()
    slow = torch.cat((slow, slow + s.head // 2))
    called, numbered = mix(len(vote), 32) @ name[:32] * (32 / len(vote)) ** 0.5, name[32:]

    def looks(place: tuple[int, int], *pairs: tuple[torch.Tensor, torch.Tensor]) -> None:
        """The head compares rows of what the looking token holds with rows of what the found one holds."""
        layer, first = model.blk[place[0]], place[1] * s.head
        rows = slice(first, first + s.head)
        layer.attn_q.weight[rows] = 0.0
        layer.attn_k.weight[rows] = 0.0
        looked, found = (torch.cat([p[side] for p in pairs]) for side in (0, 1))
        order = slow[torch.randperm(len(slow))[: len(looked)]]
        layer.attn_q.weight[first + order] = 1.5 * looked[: len(order)]
        layer.attn_k.weight[first + order] = 1.5 * found[: len(order)]

    for place in MATCH:
        some = mix(26, len(token)) @ token
        old = mix(8, len(back[0])) @ back[0]
        looks(place, (some, some), (old, old))
        passes(place, called, vote)
    # What a token was one back must be made from the token as the first layer made it.
    first = (token[: s.head].T @ seen @ back[0] * 1.4).T

    def past(which: torch.Tensor, frm: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
        """How to read from the rows `frm` of what a token holds what another holds in the rows `to`."""
        return which @ to.T @ frm

    # A word with an ending: what stood before the ending is what the found one is.
    one_back, two_back = mix(26, len(back[0])) @ back[0], mix(8, len(back[1])) @ back[1]
    looks(ENDING, (one_back, one_back @ first), (two_back, past(two_back, back[0][: len(back[1])], back[1])))
    passes(ENDING, called, vote)
    # An answer's word takes the passage's number from where the word before it stands; the bracket looks it up.
    one_back, two_back = mix(26, len(back[0])) @ back[0], mix(8, len(back[1])) @ back[1]
    looks(TRACE, (one_back, one_back @ first), (two_back, past(two_back, back[0][: len(back[1])], back[1])))
    passes(TRACE, numbered, traced * 2.0)
    one_back = mix(20, len(back[0])) @ back[0]
    looks(CITE, (traced, numbered), (one_back @ first, one_back))
    passes(CITE, token[: s.head], token[: s.head] @ turned)
    for place in VOTE:
        passes(place, vote, vote)
    for number, place in enumerate(COPY):
        one_back, two_back = mix(10, len(back[0])) @ back[0], mix(4, len(back[1])) @ back[1]
        three_back = mix(6, len(back[2])) @ back[2]
        # The looking token is what the found one holds as its past, and its past is that one's older past.
        pairs = [(one_back @ first, one_back), (past(two_back, back[0][: len(back[1])], back[1]), two_back)]
        if number % 2:
            pairs += [(past(three_back, back[1], back[2]), three_back), (vote[:14], called[:14])]
        else:
            pairs += [(vote[:20], called[:20])]
        looks(place, *pairs)
        half = token[: s.head] if number < 2 else token[s.head :]
        passes(place, half, half @ turned)


def turns(places: torch.Tensor, s: Shape) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines for rotary positions, [batch, length, 1, head]."""
    rates = s.rope_base ** (-torch.arange(0, s.head, 2, dtype=torch.float32) / s.head)
    angles = places[..., None].float() * rates
    angles = torch.cat((angles, angles), dim=-1)[:, :, None]
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotary positions in the layout llama.cpp calls NEOX: first half with second half."""
    cosines, sines = turn
    half = x.shape[-1] // 2
    return (x * cosines + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sines).to(x.dtype)
