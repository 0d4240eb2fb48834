"""Muon for matrices, AdamW for the rest: on a CPU, steps are dear and Muon needs fewer of them.

Source: Keller Jordan and others, "Muon: an optimizer for hidden layers in neural networks" (2024).
"""

from __future__ import annotations

import torch
from torch import nn


def orthogonal(update: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """The nearest matrix with like singular values, by Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = update.T if update.shape[0] > update.shape[1] else update
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if update.shape[0] > update.shape[1] else x


class Optimiser:
    """Both optimisers behind one step."""

    def __init__(self, model: nn.Module, *, matrix_rate: float, other_rate: float) -> None:
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        self.matrices = [p for n, p in named if p.dim() == 2 and "token_embd" not in n]
        rest = [p for n, p in named if p.dim() != 2 or "token_embd" in n]
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.matrix_rate, self.other_rate = matrix_rate, other_rate
        self.other = torch.optim.AdamW(rest, lr=other_rate, betas=(0.9, 0.98), weight_decay=0.0)

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One update at `share` of the full rates; clears the gradients."""
        for weight, momentum in zip(self.matrices, self.momentum, strict=True):
            if weight.grad is None:
                continue
            momentum.mul_(0.95).add_(weight.grad)
            update = orthogonal(weight.grad.add(momentum, alpha=0.95))
            scale = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
            weight.mul_(1 - self.matrix_rate * share * 0.02)
            weight.add_(update, alpha=-self.matrix_rate * share * scale)
            weight.grad = None
        for group in self.other.param_groups:
            group["lr"] = self.other_rate * share
        self.other.step()
        self.other.zero_grad()
