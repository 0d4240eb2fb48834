"""From a PEFT adapter (safetensors) to a GGUF LoRA that llama.cpp loads: without torch, on any laptop.

What is decided here is the arithmetic: which of PEFT's settings a GGUF LoRA can say, how its one ``alpha`` stands for
PEFT's scalings, and that for ``llama`` the rows of q and k lie in another order (llama.cpp turns pairs of neighbours,
transformers the two halves of a head; the base's own weights were permuted alike when they were converted). Names of
tensors are the gguf package's; that every tensor fits the base is checked against the base's own header.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from bundles.format.errors import ScanRefused
from bundles.safetensors_file import read_safetensors
from bundles.scan import GgufLayout, read_layout

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

ARCHITECTURES: Mapping[str, gguf.MODEL_ARCH] = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
}
"""Those for which a test compares the converted adapter with merged weights. The DeepSeek distillations are qwen2,
qwen3 or llama."""

_PEFT_NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight")
_PERMUTED = re.compile(r"blk\.\d+\.attn_(q|k)\.weight")
Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeftLora:
    """A PEFT adapter, read and understood."""

    alpha: float
    rank: int
    rslora: bool
    alpha_pattern: Mapping[str, float]
    """Module name, or the end of one, to its own alpha."""
    modules: Mapping[str, tuple[Matrix, Matrix]]
    """Module name such as ``model.layers.0.self_attn.q_proj`` to A (rank, in) and B (out, rank)."""

    def scaling(self, module: str) -> float:
        """What PEFT multiplies B A with."""
        # As peft.utils.get_pattern_key: the whole name or its end after a dot; a pattern may be an expression.
        found = (a for key, a in self.alpha_pattern.items() if re.match(rf"(.*\.)?({key})$", module))
        alpha = next(found, self.alpha)
        rank = self.modules[module][0].shape[0]
        return alpha / (math.sqrt(rank) if self.rslora else rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What was written."""

    path: Path
    architecture: str
    modules: int
    rank: int
    """The largest."""


def convert_lora(peft: Path, base: Path, out: Path, *, name: str, licence: str) -> Converted:
    """Write the PEFT adapter in the folder ``peft`` as the GGUF LoRA ``out`` for the model ``base``.

    The same adapter gives the same bytes.

    Raises:
        ScanRefused: PEFT's folder or the base cannot be read, the adapter is of a kind that GGUF cannot say, or it
            does not fit the base; the setting or the tensor is named.
    """
    lora = read_peft(peft)
    layout = read_layout(base)
    tensors = gguf_tensors(lora, layout, where=str(peft))
    draft = out.with_name(out.name + ".part")
    writer = gguf.GGUFWriter(draft, layout.architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(name)
    writer.add_license(licence)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", _global_alpha(lora))
    for tensor, values in tensors.items():
        writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    draft.replace(out)
    return Converted(
        path=out,
        architecture=layout.architecture,
        modules=len(lora.modules),
        rank=max(a.shape[0] for a, _ in lora.modules.values()),
    )


def read_peft(folder: Path) -> PeftLora:
    """Read ``adapter_config.json`` and ``adapter_model.safetensors``.

    Raises:
        ScanRefused: one is missing or unreadable, or holds more than a plain LoRA.
    """
    for needed in (CONFIG, WEIGHTS):
        if not (folder / needed).is_file():
            pickled = (
                "adapter_model.bin is a pickle and is not read. " if (folder / "adapter_model.bin").exists() else ""
            )
            raise ScanRefused(
                f"{folder} has no {needed}. {pickled}".rstrip(),
                needed="PEFT's save_pretrained writes both files.",
                todo="Save the adapter there with safe_serialization=True.",
            )
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        _refuse_more_than_lora(config)
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        alphas = {str(key): float(value) for key, value in (config.get("alpha_pattern") or {}).items()}
        for key in alphas:
            re.compile(key)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, re.error) as error:
        raise ScanRefused(f"{folder / CONFIG} cannot be used: {error!r}.", todo="Save the adapter again.") from error
    if alpha <= 0 or rank <= 0:
        raise ScanRefused(f"{folder / CONFIG} says lora_alpha {alpha:g} and r {rank}.", needed="Both above 0.")
    return PeftLora(
        alpha=alpha,
        rank=rank,
        rslora=bool(config.get("use_rslora")),
        alpha_pattern=alphas,
        modules=_pairs(read_safetensors(folder / WEIGHTS), folder),
    )


_PLAIN: Mapping[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": (None, "none"),
    "use_dora": (None, False),
    "fan_in_fan_out": (None, False),
    "modules_to_save": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, [], {}),
    "layer_replication": (None, []),
    "lora_bias": (None, False),
    "alora_invocation_tokens": (None, []),
}
"""Settings of PEFT that change what the adapter is, and the values under which it is a plain LoRA."""


def _refuse_more_than_lora(config: Mapping[str, Any]) -> None:
    for key, plain in _PLAIN.items():
        if config.get(key) not in plain:
            raise ScanRefused(
                f"The adapter was trained with {key} = {config.get(key)!r}.",
                needed=f"A GGUF LoRA can say only {key} = {plain[-1]!r}.",
                todo="Train it again without that setting.",
            )


def _pairs(tensors: Mapping[str, Matrix], folder: Path) -> dict[str, tuple[Matrix, Matrix]]:
    halves: dict[str, dict[str, Matrix]] = {}
    for name, values in tensors.items():
        found = _PEFT_NAME.fullmatch(name)
        if found is None or values.ndim != 2:
            raise ScanRefused(
                f"{folder / WEIGHTS} holds {name} of the shape {values.shape}.",
                needed="Only lora_A and lora_B of linear maps can be converted.",
                todo="Train on linear maps only (target_modules), without embeddings.",
            )
        halves.setdefault(found[1], {})[found[2]] = values
    pairs = {}
    for module, half in sorted(halves.items()):
        if half.keys() != {"A", "B"} or half["A"].shape[0] != half["B"].shape[1]:
            shapes = {side: values.shape for side, values in half.items()}
            raise ScanRefused(f"{module} of the adapter has {shapes}.", needed="A (rank, in) and B (out, rank).")
        pairs[module] = (half["A"], half["B"])
    if not pairs:
        raise ScanRefused(f"{folder / WEIGHTS} holds no LoRA.", todo="Save the adapter after training.")
    return pairs


def gguf_tensors(lora: PeftLora, layout: GgufLayout, *, where: str) -> dict[str, NDArray[np.float16]]:
    """The tensors of the GGUF LoRA by name, A (rank, in) and B (out, rank), in float16.

    Raises:
        ScanRefused: the base is of an architecture that is not converted, or a tensor does not fit it.
    """
    if layout.architecture not in ARCHITECTURES:
        raise ScanRefused(
            f"The base is of the architecture {layout.architecture}.",
            needed=f"Converted and tested are: {', '.join(ARCHITECTURES)}.",
            todo="Convert it with llama.cpp's convert_lora_to_gguf.py and name the .gguf as file in recipe.toml.",
        )
    blocks = layout.counts.get(f"{layout.architecture}.block_count", 0)
    names = gguf.get_tensor_name_map(ARCHITECTURES[layout.architecture], blocks)
    tensors: dict[str, NDArray[np.float16]] = {}
    for module, (a, b) in lora.modules.items():
        target = names.get_name(f"{module}.weight", try_suffixes=(".weight",))
        shape = layout.shapes.get(target or "")
        if target is None or shape is None:
            raise ScanRefused(
                f"The adapter changes {module}, which the base does not have.",
                needed=f"The model that {where} was trained on is needed.",
                todo="Name that model as the base.",
            )
        if shape != (b.shape[0], a.shape[1]):
            raise ScanRefused(
                f"{module} of the adapter maps {a.shape[1]} to {b.shape[0]}, the base's {shape[1]} to {shape[0]}.",
                needed="An adapter fits only the very model it was trained on.",
                todo="Name that model as the base.",
            )
        # One alpha is stored for all maps and llama.cpp divides it by each map's rank: what differs goes into B.
        b = b * np.float32(lora.scaling(module) * a.shape[0] / _global_alpha(lora))
        if layout.architecture == "llama" and _PERMUTED.fullmatch(target):
            b = permute(b, _heads(layout, target))
        tensors[f"{target}.lora_a"] = _half(a, module)
        tensors[f"{target}.lora_b"] = _half(b, module)
    return tensors


def permute(rows: Matrix, heads: int) -> Matrix:
    """Rows (out, ...) from transformers' order, where rotation turns halves of a head, to GGUF's, where neighbours."""
    out = rows.shape[0]
    return rows.reshape(heads, 2, out // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _heads(layout: GgufLayout, target: str) -> int:
    heads = layout.counts.get(f"{layout.architecture}.attention.head_count", 0)
    if "attn_k" in target:
        heads = layout.counts.get(f"{layout.architecture}.attention.head_count_kv", heads)
    rows = layout.shapes[target][0]
    if heads < 1 or rows % (2 * heads):
        raise ScanRefused(f"The base says {heads} heads for {target} with {rows} rows.", todo="Convert the base again.")
    return heads


def _global_alpha(lora: PeftLora) -> float:
    return lora.alpha * (math.sqrt(lora.rank) if lora.rslora else 1.0)


def _half(values: Matrix, module: str) -> NDArray[np.float16]:
    if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
        raise ScanRefused(f"The adapter's {module} has numbers above 65,504.", todo="Train with a smaller rate.")
    return values.astype(np.float16)
