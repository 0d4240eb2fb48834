"""Muon for matrices, AdamW for the rest: on a CPU, steps are dear and Muon needs fewer of them.

Source: Keller Jordan and others, "Muon: an optimizer for hidden layers in neural networks" (2024).
"""

from __future__ import annotations

import torch
from torch import nn


def orthogonal(updates: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """The nearest matrices with like singular values, by Newton-Schulz iteration; [count, rows, columns]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = updates.shape[1] > updates.shape[2]
    x = (updates.transpose(1, 2) if tall else updates).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.transpose(1, 2)
        x = a * x + (b * square + c * square @ square) @ x
    return (x.transpose(1, 2) if tall else x).float()


class Optimiser:
    """Both optimisers behind one step."""

    def __init__(self, model: nn.Module, *, matrix_rate: float, other_rate: float) -> None:
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        self.matrices = [p for n, p in named if p.dim() == 2 and not n.startswith(("token_embd", "output"))]
        rest = [p for n, p in named if p.dim() != 2 or n.startswith(("token_embd", "output"))]
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.matrix_rate, self.other_rate = matrix_rate, other_rate
        self.other = torch.optim.AdamW(rest, lr=other_rate, betas=(0.9, 0.98), weight_decay=0.0)

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One update at `share` of the full rates; clears the gradients."""
        shapes: dict[torch.Size, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for weight, momentum in zip(self.matrices, self.momentum, strict=True):
            if weight.grad is not None:
                momentum.mul_(0.95).add_(weight.grad)
                shapes.setdefault(weight.shape, []).append((weight, weight.grad.add(momentum, alpha=0.95)))
                weight.grad = None
        for shape, pairs in shapes.items():
            scale = max(1.0, shape[0] / shape[1]) ** 0.5
            for (weight, _), update in zip(pairs, orthogonal(torch.stack([u for _, u in pairs])), strict=True):
                weight.mul_(1 - self.matrix_rate * share * 0.02)
                weight.add_(update, alpha=-self.matrix_rate * share * scale)
        for group in self.other.param_groups:
            group["lr"] = self.other_rate * share
        self.other.step()
        self.other.zero_grad()
