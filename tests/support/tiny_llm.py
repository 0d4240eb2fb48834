"""A random little Llama, Qwen2 or Qwen3 in transformers' layout: its mathematics in NumPy, its GGUF, a PEFT adapter.

The forward pass turns the two halves of each head, as transformers does, and knows nothing of GGUF's order; the GGUF
is written with an order of rows of this file's own. So llama.cpp agreeing with it says something.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np

WIDTH, HEADS, KV_HEADS, HEAD, INNER, LAYERS, VOCABULARY = 32, 4, 2, 8, 48, 2, 40
EPSILON, ROPE = 1e-5, 10_000.0
MODULES = {
    "self_attn.q_proj": ("attn_q", HEADS * HEAD, WIDTH),
    "self_attn.k_proj": ("attn_k", KV_HEADS * HEAD, WIDTH),
    "self_attn.v_proj": ("attn_v", KV_HEADS * HEAD, WIDTH),
    "self_attn.o_proj": ("attn_output", WIDTH, HEADS * HEAD),
    "mlp.gate_proj": ("ffn_gate", INNER, WIDTH),
    "mlp.up_proj": ("ffn_up", INNER, WIDTH),
    "mlp.down_proj": ("ffn_down", WIDTH, INNER),
}


def modules() -> dict[str, tuple[str, int, int]]:
    """transformers' name to GGUF's, rows and columns."""
    return {
        f"model.layers.{n}.{name}": (f"blk.{n}.{short}.weight", rows, columns)
        for n in range(LAYERS)
        for name, (short, rows, columns) in MODULES.items()
    }


@dataclass
class TinyModel:
    """Weights by transformers' names."""

    architecture: str
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def random(cls, architecture: str, seed: int = 0) -> "TinyModel":
        numbers = np.random.default_rng(seed)
        made = cls(architecture)
        for name, (_, rows, columns) in modules().items():
            made.weights[f"{name}.weight"] = numbers.normal(0, 0.3, (rows, columns)).astype(np.float32)
            if architecture == "qwen2" and name.endswith(("q_proj", "k_proj", "v_proj")):
                made.weights[f"{name}.bias"] = numbers.normal(0, 0.3, rows).astype(np.float32)
        for n in range(LAYERS):
            norms = {"input_layernorm": WIDTH, "post_attention_layernorm": WIDTH}
            if architecture == "qwen3":
                norms |= {"self_attn.q_norm": HEAD, "self_attn.k_norm": HEAD}
            for norm, size in norms.items():
                made.weights[f"model.layers.{n}.{norm}.weight"] = numbers.uniform(0.5, 1.5, size).astype(np.float32)
        made.weights["model.norm.weight"] = numbers.uniform(0.5, 1.5, WIDTH).astype(np.float32)
        made.weights["model.embed_tokens.weight"] = numbers.normal(0, 1, (VOCABULARY, WIDTH)).astype(np.float32)
        made.weights["lm_head.weight"] = numbers.normal(0, 0.3, (VOCABULARY, WIDTH)).astype(np.float32)
        return made

    def merged(self, changes: Mapping[str, np.ndarray]) -> "TinyModel":
        """With W + change for each named module."""
        weights = dict(self.weights)
        for name, change in changes.items():
            weights[f"{name}.weight"] = (weights[f"{name}.weight"] + change).astype(np.float32)
        return TinyModel(self.architecture, weights)

    def logits(self, tokens: list[int]) -> np.ndarray:
        """Scores after the last token."""
        w, count = self.weights, len(tokens)
        x = w["model.embed_tokens.weight"][tokens]
        mask = np.triu(np.full((count, count), -np.inf), 1)
        for n in range(LAYERS):
            at = f"model.layers.{n}"
            h = _norm(x, w[f"{at}.input_layernorm.weight"])
            q, k, v = (self._linear(h, f"{at}.self_attn.{p}_proj") for p in "qkv")
            q, k, v = (m.reshape(count, -1, HEAD).swapaxes(0, 1) for m in (q, k, v))
            if self.architecture == "qwen3":
                q, k = _norm(q, w[f"{at}.self_attn.q_norm.weight"]), _norm(k, w[f"{at}.self_attn.k_norm.weight"])
            q, k = _rotate(q), _rotate(k)
            k, v = (np.repeat(m, HEADS // KV_HEADS, axis=0) for m in (k, v))
            scores = q @ k.swapaxes(1, 2) / np.sqrt(HEAD) + mask
            share = np.exp(scores - scores.max(-1, keepdims=True))
            mixed = (share / share.sum(-1, keepdims=True)) @ v
            x = x + self._linear(mixed.swapaxes(0, 1).reshape(count, -1), f"{at}.self_attn.o_proj")
            h = _norm(x, w[f"{at}.post_attention_layernorm.weight"])
            gate, up = self._linear(h, f"{at}.mlp.gate_proj"), self._linear(h, f"{at}.mlp.up_proj")
            x = x + self._linear(gate / (1 + np.exp(-gate)) * up, f"{at}.mlp.down_proj")
        return _norm(x[-1], w["model.norm.weight"]) @ w["lm_head.weight"].T

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0)

    def write_gguf(self, path: Path) -> Path:
        """As llama.cpp's converter would write it, in F32."""
        out = gguf.GGUFWriter(path, self.architecture)
        out.add_type(gguf.GGUFType.MODEL)
        out.add_context_length(128)
        out.add_embedding_length(WIDTH)
        out.add_block_count(LAYERS)
        out.add_feed_forward_length(INNER)
        out.add_head_count(HEADS)
        out.add_head_count_kv(KV_HEADS)
        out.add_key_length(HEAD)
        out.add_value_length(HEAD)
        out.add_rope_freq_base(ROPE)
        out.add_layer_norm_rms_eps(EPSILON)
        out.add_vocab_size(VOCABULARY)
        if self.architecture == "llama":
            out.add_rope_dimension_count(HEAD)
        tokens = ["<end>", *(chr(0x61 + n) for n in range(26)), *(f"<{n}>" for n in range(VOCABULARY - 27))]
        out.add_tokenizer_model("gpt2")
        out.add_tokenizer_pre("qwen2")
        out.add_token_list(tokens)
        out.add_token_types([gguf.TokenType.CONTROL, *[gguf.TokenType.NORMAL] * (VOCABULARY - 1)])
        out.add_token_merges(["a b"])
        out.add_eos_token_id(0)
        names = {"model.norm": "output_norm", "model.embed_tokens": "token_embd", "lm_head": "output"}
        names |= {hf: short.removesuffix(".weight") for hf, (short, _, _) in modules().items()}
        for n in range(LAYERS):
            for norm, short in (
                ("input_layernorm", "attn_norm"),
                ("post_attention_layernorm", "ffn_norm"),
                ("self_attn.q_norm", "attn_q_norm"),
                ("self_attn.k_norm", "attn_k_norm"),
            ):
                names[f"model.layers.{n}.{norm}"] = f"blk.{n}.{short}"
        for name, values in self.weights.items():
            module, _, what = name.rpartition(".")
            if self.architecture == "llama" and module.endswith(("q_proj", "k_proj")):
                values = values[_neighbours(values.shape[0])]
            out.add_tensor(f"{names[module]}.{what}", np.ascontiguousarray(values))
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()
        return path


def _neighbours(rows: int) -> list[int]:
    """Which of transformers' rows each row of GGUF is: 0, half, 1, half + 1, ... within every head."""
    half = HEAD // 2
    return [head * HEAD + pair + side * half for head in range(rows // HEAD) for pair in range(half) for side in (0, 1)]


def _norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + EPSILON) * weight


def _rotate(x: np.ndarray) -> np.ndarray:
    """(heads, tokens, HEAD), the halves of a head turned against each other."""
    speeds = ROPE ** (-np.arange(0, HEAD, 2) / HEAD)
    angles = np.tile(np.arange(x.shape[1])[:, None] * speeds, 2)
    first, second = np.split(x, 2, axis=-1)
    return x * np.cos(angles) + np.concatenate([-second, first], axis=-1) * np.sin(angles)


Lora = dict[str, tuple[np.ndarray, np.ndarray]]


def random_lora(shapes: Mapping[str, tuple[int, int]], *, rank: int = 3, size: float = 0.3, seed: int = 1) -> Lora:
    """A (rank, in) and B (out, rank) for each module of (out, in)."""
    numbers = np.random.default_rng(seed)
    return {
        name: (
            numbers.normal(0, size, (rank, columns)).astype(np.float32),
            numbers.normal(0, size, (rows, rank)).astype(np.float32),
        )
        for name, (rows, columns) in shapes.items()
    }


def write_peft(folder: Path, lora: Lora, *, alpha: float = 6.0, kind: str = "F32", **settings: object) -> Path:
    """The two files of PEFT's ``save_pretrained``, written out of the format's description."""
    folder.mkdir(parents=True, exist_ok=True)
    rank = next(iter(lora.values()))[0].shape[0]
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "bias": "none", "use_rslora": False, **settings}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tensors = {
        f"base_model.model.{name}.lora_{side}.weight": values
        for name, pair in lora.items()
        for side, values in zip("AB", pair, strict=True)
    }
    (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors, kind))
    return folder


def safetensors(tensors: Mapping[str, np.ndarray], kind: str = "F32") -> bytes:
    """Tensors as one file; BF16 keeps the upper half of each float32."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, values in tensors.items():
        if kind == "BF16":
            data = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
        else:
            data = values.astype({"F32": np.float32, "F16": np.float16}[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + body
