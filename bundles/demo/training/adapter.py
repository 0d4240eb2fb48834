"""Trains the adapter that turns an answer into a numbered step, and writes it as a GGUF LoRA.

The model itself stays as it is. An answer becomes a numbered step, `1. The sentence that answers. [n]`. A second step,
the sentence that follows, was tried: 400 updates did not teach it, and it cost one right answer in six.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from .batches import Encoder, batches
from .corpus import Corpus, Size
from .export import load
from .model import Model
from .train import SEED, falling, loss_of, settle

RANK, ALPHA = 16, 32.0
RATE = 2e-3
ROWS, TOKENS = Size(passages=3, sentences=4, questions=10), 2048
PARTS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


class Adapted(nn.Module):
    """A frozen linear map and a trained low-rank one beside it."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner = inner.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.randn(RANK, inner.in_features) * inner.in_features**-0.5)
        self.lora_b = nn.Parameter(torch.zeros(inner.out_features, RANK))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = functional.linear(functional.linear(x, self.lora_a), self.lora_b)
        return self.inner(x) + low * (ALPHA / RANK)


def adapt(model: Model) -> dict[str, Adapted]:
    """Puts an adapter on every map of every layer; returns them by GGUF name."""
    model.requires_grad_(False)
    made = {}
    for number, layer in enumerate(model.blk):
        for part in PARTS:
            made[f"blk.{number}.{part}.weight"] = adapted = Adapted(getattr(layer, part))
            setattr(layer, part, adapted)
    return made


def train(model: Model, tokenizer: Tokenizer, steps: int) -> dict[str, Adapted]:
    """`steps` updates of the adapter alone, on the model's own kind of rows with the answers as steps."""
    adapted = adapt(model)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=RATE, weight_decay=0.0)
    source = batches(
        Encoder(tokenizer, swap=0.2, everyday=True, careful=True, seed=SEED), Corpus(SEED + 2), ROWS, TOKENS, steps=True
    )
    started = time.monotonic()
    for step in range(steps):
        loss, right = loss_of(model, next(source))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = RATE * falling(step + 1, steps)
        optimiser.step()
        optimiser.zero_grad()
        if (step + 1) % 20 == 0:
            took = time.monotonic() - started
            print(f"{step + 1:5d} loss {loss.item():.3f} right {right.item():.3f} {took:.0f} s", flush=True)
    return adapted


def write(adapted: dict[str, Adapted], target: Path) -> None:
    """A GGUF adapter of type lora, under a temporary name first."""
    half = target.with_suffix(".part")
    out = gguf.GGUFWriter(half, "qwen2")
    out.add_type(gguf.GGUFType.ADAPTER)
    out.add_name("Fieldpost demo: steps")
    out.add_license("apache-2.0")
    out.add_string("adapter.type", "lora")
    out.add_float32("adapter.lora.alpha", ALPHA)
    for name, one in adapted.items():
        for kind, weight in (("lora_a", one.lora_a), ("lora_b", one.lora_b)):
            out.add_tensor(f"{name}.{kind}", weight.detach().numpy().astype(np.float16))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    half.replace(target)


def main() -> None:
    """The command line: see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="folder that train wrote")
    parser.add_argument("--out", type=Path, required=True, help="the .gguf to write")
    parser.add_argument("--steps", type=int, default=350)
    given = parser.parse_args()
    settle(SEED + 2)
    model, tokenizer = load(given.weights)
    adapted = train(model, tokenizer, given.steps)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write(adapted, given.out)
    print(f"{given.out.name}: {given.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
