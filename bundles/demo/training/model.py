"""The demo model: a small dense transformer in the shape that GGUF calls `qwen2`.

Rotary positions (halves, not pairs), RMSNorm, SwiGLU, biases on queries, keys and values only, embeddings tied to the
output. The biases are why it is not `qwen3`: a head that looks one token back needs a query that depends on no token.
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
    width: int = 128
    layers: int = 6
    heads: int = 4
    head: int = 32
    inner: int = 256
    context: int = 2048
    rope_base: float = 1e6
    epsilon: float = 1e-6


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

    def forward(self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor], seen: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        h = self.attn_norm(x)
        parts = (self.attn_q, self.attn_k, self.attn_v)
        q, k, v = (f(h).view(batch, length, self.shape.heads, self.shape.head) for f in parts)
        q, k = rotate(q, turn), rotate(k, turn)
        mixed = functional.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=seen
        )
        x = x + self.attn_output(mixed.transpose(1, 2).reshape(batch, length, -1))
        h = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Model(nn.Module):
    """Token ids to logits."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.shape = s
        self.token_embd = nn.Embedding(s.vocabulary, s.width)
        self.blk = nn.ModuleList([Layer(s) for _ in range(s.layers)])
        self.output_norm = Norm(s.width, s.epsilon)
        for name, weight in self.named_parameters():
            if weight.dim() == 1:
                if name.endswith("bias"):
                    nn.init.zeros_(weight)
            elif "attn_output" in name or "ffn_down" in name:
                # Layers start by adding nothing: the first thing that pays is to pass tokens through, that is, to copy.
                nn.init.zeros_(weight)
            else:
                # With tied embeddings this size makes a token's own logit stand out from the start.
                nn.init.normal_(weight, 0.0, 0.1 if "token_embd" in name else s.width**-0.5)
        start_copying(self)

    def states(
        self, ids: torch.Tensor, places: torch.Tensor, seen: torch.Tensor, watch: list[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Last hidden states [batch, length, width]. `places` are positions; `seen` says who may look at whom.

        `watch` is given every layer's output.
        """
        turn = turns(places, self.shape)
        x = self.token_embd(ids)
        for layer in self.blk:
            x = layer(x, turn, seen)
            if watch is not None:
                watch.append(x)
        return self.output_norm(x)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return functional.linear(states, self.token_embd.weight)

    @torch.no_grad()
    def generate(self, ids: list[int], end: int, most: int = 64) -> list[int]:
        """Greedy continuation, without the end token. Slow (no cache): for checks only."""
        made: list[int] = []
        while len(made) < most:
            row = torch.tensor([ids + made])
            seen = torch.ones(row.shape[1], row.shape[1], dtype=torch.bool).tril()[None, None]
            places = torch.arange(row.shape[1])[None]
            token = int(self.logits(self.states(row, places, seen)[0, -1]).argmax())
            if token == end:
                break
            made.append(token)
        return made


@torch.no_grad()
def start_copying(model: Model) -> None:
    """Lays out a copying circuit in the first two layers; without it a CPU needs hours to find one by descent.

    In the first layer, head 0 looks one token back and head 1 two, and they pass on what they see. In the second
    layer, heads 0 and 1 look for the place whose previous token is the present one, and pass on the token found there.
    Training is free to change all of it. Source: Olsson and others, "In-context Learning and Induction Heads" (2022).
    """
    s = model.shape
    first, second = model.blk[0], model.blk[1]
    rates = s.rope_base ** (-torch.arange(0, s.head, 2, dtype=torch.float32) / s.head)
    near, far = rates > 0.05, rates < 0.006
    for head, back in ((0, 1), (1, 2)):
        rows = slice(head * s.head, (head + 1) * s.head)
        for part, phase in ((first.attn_q, 0.0), (first.attn_k, float(back))):
            part.weight[rows] = 0.0
            # A constant vector, turned so that the product is greatest `back` tokens apart.
            part.bias[rows] = 7.0 * torch.cat((near * (rates * phase).cos(), near * (rates * phase).sin()))
    base = torch.linalg.qr(torch.randn(s.width, s.width))[0]
    apart = torch.linalg.qr(torch.randn(s.width, s.width))[0]
    # Slow rotations only: what is matched must still match hundreds of tokens away.
    slow = torch.cat((far, far)).nonzero().flatten()
    for head in (0, 1):
        rows = slice(head * s.head, (head + 1) * s.head)
        first.attn_v.weight[rows] = base[rows]
        first.attn_output.weight[:, rows] = 0.1 * apart[rows].T
        second.attn_q.weight[rows] = 0.0
        second.attn_k.weight[rows] = 0.0
        second.attn_q.weight[rows][slow] = 1.5 * base[: len(slow)]
        second.attn_k.weight[rows][slow] = 1.5 * apart[: len(slow)]
        second.attn_v.weight[rows] = base[rows]
        second.attn_output.weight[:, rows] = 0.2 * base[rows].T


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
