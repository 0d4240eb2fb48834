"""Models and adapters of random weights, as fast and as big as real ones of their shape: for tests and benchmarks.

Nothing they say means anything. The tokenizer is copied out of another GGUF file.
"""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTEXT = 32768


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a model. ``recurrent``: Qwen3.5's kind, of whose layers every fourth attends and the others recur."""

    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    recurrent: bool = False

    @property
    def head(self) -> int:
        return self.width // self.heads


SHAPES = {
    "0.5b": Shape(layers=24, width=896, inner=4864, heads=14, kv_heads=2),
    "1.5b": Shape(layers=28, width=1536, inner=8960, heads=12, kv_heads=2),
    "tiny": Shape(layers=2, width=256, inner=512, heads=4, kv_heads=2),
    "hybrid": Shape(layers=24, width=1024, inner=3584, heads=8, kv_heads=2, recurrent=True),
    "hybrid-tiny": Shape(layers=4, width=256, inner=512, heads=4, kv_heads=2, recurrent=True),
}


def make_model(path: Path, size: str, *, tokenizer: Path, seed: int = 1) -> None:
    """Write a model in 16-bit floats.

    Args:
        tokenizer: a GGUF file whose vocabulary it gets.
    """
    shape = SHAPES[size]
    out = gguf.GGUFWriter(path, "qwen35" if shape.recurrent else "qwen2")
    out.add_name(f"synthetic {size}")
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_context_length(CONTEXT)
    out.add_embedding_length(shape.width)
    out.add_block_count(shape.layers)
    out.add_feed_forward_length(shape.inner)
    out.add_head_count(shape.heads)
    out.add_head_count_kv(shape.kv_heads)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_freq_base(1e6)
    if shape.recurrent:
        _add_recurrence(out, shape)
    words = _copy_tokenizer(out, gguf.GGUFReader(tokenizer))
    for name, data in _tensors(shape, words, np.random.default_rng(seed)):
        out.add_tensor(name, data)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def make_adapter(path: Path, size: str, *, rank: int = 16, seed: int = 1) -> None:
    """Write a LoRA for all linear layers of a model that is not recurrent."""
    shape, random = SHAPES[size], np.random.default_rng(seed)
    out = gguf.GGUFWriter(path, "qwen2")
    out.add_type(gguf.GGUFType.ADAPTER)
    out.add_string("adapter.type", "lora")
    out.add_float32("adapter.lora.alpha", float(rank))
    for layer in range(shape.layers):
        for name, (wide, high) in _linear(shape).items():
            out.add_tensor(f"blk.{layer}.{name}.weight.lora_a", _random(random, rank, wide))
            out.add_tensor(f"blk.{layer}.{name}.weight.lora_b", _random(random, high, rank))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def quantize(source: Path, target: Path, kind: str = "Q4_K_M") -> None:
    """Quantize with llama.cpp itself, on all cores. To be called in a process of its own: it prints."""
    import llama_cpp as c

    import appliance.engine.llama  # noqa: F401  (loads the processor's library)

    wanted = c.llama_model_quantize_default_params()
    wanted.ftype = {"Q4_K_M": c.LLAMA_FTYPE_MOSTLY_Q4_K_M, "Q4_0": c.LLAMA_FTYPE_MOSTLY_Q4_0}[kind]
    if c.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(wanted)):
        raise RuntimeError(f"{source} cannot be quantized")


def _add_recurrence(out: gguf.GGUFWriter, shape: Shape) -> None:
    out.add_rope_dimension_sections([shape.head // 8, shape.head // 8, 0, 0])
    out.add_rope_dimension_count(shape.head // 4)
    out.add_key_length(shape.head)
    out.add_value_length(shape.head)
    out.add_full_attention_interval(4)
    out.add_ssm_conv_kernel(4)
    out.add_ssm_state_size(shape.head)
    out.add_ssm_group_count(shape.heads)
    out.add_ssm_time_step_rank(shape.heads)
    out.add_ssm_inner_size(shape.width)


def _copy_tokenizer(out: gguf.GGUFWriter, source: gguf.GGUFReader) -> int:
    words = 0
    for key, field in source.fields.items():
        if key.startswith("tokenizer."):
            value = field.contents()
            words = len(value) if key == "tokenizer.ggml.tokens" else words
            inner = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            out.add_key_value(key, value, field.types[0], sub_type=inner)
    if "tokenizer.chat_template" not in source.fields:
        out.add_chat_template(CHAT)
    return words


def _linear(shape: Shape) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of the linear layers of an attending layer."""
    kv = shape.kv_heads * shape.head
    return {
        "attn_q": (shape.width, shape.width * (2 if shape.recurrent else 1)),
        "attn_k": (shape.width, kv),
        "attn_v": (shape.width, kv),
        "attn_output": (shape.width, shape.width),
        "ffn_gate": (shape.width, shape.inner),
        "ffn_up": (shape.width, shape.inner),
        "ffn_down": (shape.inner, shape.width),
    }


def _tensors(shape: Shape, words: int, random: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    ones = np.ones(shape.width, np.float32)
    yield "token_embd.weight", _random(random, words, shape.width)
    yield "output_norm.weight", ones * 5  # so that some tokens are clearly likelier than others, as in real ones
    for layer in range(shape.layers):
        at = f"blk.{layer}."
        recurs = shape.recurrent and (layer + 1) % 4
        yield f"{at}attn_norm.weight", ones
        yield f"{at}{'post_attention_norm' if shape.recurrent else 'ffn_norm'}.weight", ones
        for name, (wide, high) in _linear(shape).items():
            if recurs and name.startswith("attn"):
                continue
            yield f"{at}{name}.weight", _random(random, high, wide)
            if not shape.recurrent and name in ("attn_q", "attn_k", "attn_v"):
                yield f"{at}{name}.bias", np.zeros(high, np.float32)
        if recurs:
            yield from _recurrence(at, shape, random)
        elif shape.recurrent:
            yield f"{at}attn_q_norm.weight", np.ones(shape.head, np.float32)
            yield f"{at}attn_k_norm.weight", np.ones(shape.head, np.float32)


def _recurrence(at: str, shape: Shape, random: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """A gated delta net (Yang et al. 2024), as Qwen3.5 has it, with as many key heads as value heads."""
    yield f"{at}attn_qkv.weight", _random(random, 3 * shape.width, shape.width)
    yield f"{at}attn_gate.weight", _random(random, shape.width, shape.width)
    yield f"{at}ssm_conv1d.weight", random.standard_normal((3 * shape.width, 4), dtype=np.float32) * 0.3
    yield f"{at}ssm_dt.bias", np.zeros(shape.heads, np.float32)
    yield f"{at}ssm_a", -np.ones(shape.heads, np.float32)
    yield f"{at}ssm_beta.weight", _random(random, shape.heads, shape.width)
    yield f"{at}ssm_alpha.weight", _random(random, shape.heads, shape.width)
    yield f"{at}ssm_norm.weight", np.ones(shape.head, np.float32)
    yield f"{at}ssm_out.weight", _random(random, shape.width, shape.width)


def _random(random: np.random.Generator, *size: int) -> np.ndarray:
    return (random.standard_normal(size, dtype=np.float32) * 0.02).astype(np.float16)
