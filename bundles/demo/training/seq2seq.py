"""The language pack's model: an encoder-decoder transformer in the layout that CTranslate2 runs, and its conversion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from ctranslate2.specs import TransformerSpec
from torch import nn
from torch.nn import functional

BLANK, UNKNOWN, BEGIN, FINISH = range(4)
# CTranslate2's names for them, in this order.
RESERVED = ("<blank>", "<unk>", "<s>", "</s>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Dimensions. `longest` bounds the tokens of a sentence."""

    vocabulary: int
    width: int = 128
    heads: int = 4
    layers: int = 2
    inner: int = 256
    longest: int = 192
    dropout: float = 0.1


class Attention(nn.Module):
    """Queries from one sequence, keys and values from another (or the same)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.heads
        self.query, self.key, self.value, self.out = (nn.Linear(size.width, size.width) for _ in range(4))

    def forward(self, x: torch.Tensor, memory: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        def split(t: torch.Tensor) -> torch.Tensor:
            return t.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        mixed = functional.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(memory)), split(self.value(memory)), attn_mask=seen
        )
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """One encoder layer, or with `cross` one decoder layer; norms come first."""

    def __init__(self, size: Size, *, cross: bool) -> None:
        super().__init__()
        self.own_norm, self.own = nn.LayerNorm(size.width), Attention(size)
        self.cross_norm = nn.LayerNorm(size.width) if cross else None
        self.cross = Attention(size) if cross else None
        self.inner_norm = nn.LayerNorm(size.width)
        self.up, self.down = nn.Linear(size.width, size.inner), nn.Linear(size.inner, size.width)
        self.drop = nn.Dropout(size.dropout)

    def forward(
        self, x: torch.Tensor, seen: torch.Tensor, memory: torch.Tensor | None = None, there: torch.Tensor | None = None
    ) -> torch.Tensor:
        h = self.own_norm(x)
        x = x + self.drop(self.own(h, h, seen))
        if self.cross is not None and self.cross_norm is not None and memory is not None and there is not None:
            x = x + self.drop(self.cross(self.cross_norm(x), memory, there))
        return x + self.drop(self.down(functional.relu(self.up(self.inner_norm(x)))))


class Translator(nn.Module):
    """Source and target tokens to logits over the next target token. One vocabulary and one embedding for both."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.embed = nn.Embedding(size.vocabulary, size.width)
        nn.init.normal_(self.embed.weight, 0.0, size.width**-0.5)
        self.encoder = nn.ModuleList([Block(size, cross=False) for _ in range(size.layers)])
        self.decoder = nn.ModuleList([Block(size, cross=True) for _ in range(size.layers)])
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
        self.bias = nn.Parameter(torch.zeros(size.vocabulary))
        self.register_buffer("places", sinusoids(size))

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        scale = math.sqrt(self.size.width)
        there = (source != BLANK)[:, None, None]
        memory = self.embed(source) * scale + self.places[: source.shape[1]]
        for block in self.encoder:
            memory = block(memory, there)
        memory, length = self.encoder_norm(memory), target.shape[1]
        before = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
        x = self.embed(target) * scale + self.places[:length]
        for block in self.decoder:
            x = block(x, before, memory, there)
        return functional.linear(self.decoder_norm(x), self.embed.weight, self.bias)


def sinusoids(size: Size) -> torch.Tensor:
    """Fixed positions: sines in the first half, cosines in the second."""
    half = size.width // 2
    rates = torch.exp(torch.arange(half) * (-math.log(10000) / (half - 1)))
    angles = torch.arange(size.longest)[:, None] * rates[None]
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def convert(model: Translator, tokens: list[str], folder: Path) -> None:
    """Writes the model as an int8 CTranslate2 folder."""
    size = model.size
    spec = TransformerSpec.from_config((size.layers, size.layers), size.heads, pre_norm=True)
    embeddings = spec.encoder.embeddings
    (embeddings[0] if isinstance(embeddings, list) else embeddings).weight = _numpy(model.embed.weight)
    spec.decoder.embeddings.weight = _numpy(model.embed.weight)
    spec.decoder.projection.weight, spec.decoder.projection.bias = _numpy(model.embed.weight), _numpy(model.bias)
    for side, norm in ((spec.encoder, model.encoder_norm), (spec.decoder, model.decoder_norm)):
        side.position_encodings.encodings = _numpy(model.places)
        _norm(side.layer_norm, norm)
    for side, blocks in ((spec.encoder, model.encoder), (spec.decoder, model.decoder)):
        for layer, block in zip(side.layer, blocks, strict=True):
            own = block.own
            _norm(layer.self_attention.layer_norm, block.own_norm)
            _linear(layer.self_attention.linear[0], own.query, own.key, own.value)
            _linear(layer.self_attention.linear[1], own.out)
            if block.cross is not None:
                _norm(layer.attention.layer_norm, block.cross_norm)
                _linear(layer.attention.linear[0], block.cross.query)
                _linear(layer.attention.linear[1], block.cross.key, block.cross.value)
                _linear(layer.attention.linear[2], block.cross.out)
            _norm(layer.ffn.layer_norm, block.inner_norm)
            _linear(layer.ffn.linear_0, block.up)
            _linear(layer.ffn.linear_1, block.down)
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.validate()
    spec.optimize(quantization="int8")
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def _numpy(weight: torch.Tensor) -> object:
    return weight.detach().float().numpy()


def _norm(spec: object, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _numpy(norm.weight), _numpy(norm.bias)  # type: ignore[attr-defined]


def _linear(spec: object, *parts: nn.Linear) -> None:
    spec.weight = _numpy(torch.cat([p.weight for p in parts]))  # type: ignore[attr-defined]
    spec.bias = _numpy(torch.cat([p.bias for p in parts]))  # type: ignore[attr-defined]
