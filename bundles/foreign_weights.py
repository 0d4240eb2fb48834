"""Weights made for other engines: AWQ, GPTQ, FP8 and plain safetensors are recognised, so that the refusal can say why.

llama.cpp runs GGUF and nothing else. A site with a graphics card runs the others with vLLM, TGI or TensorRT-LLM on a
server of its own, which the box asks first (``[upstream]`` in its config.toml). Recognised by name before anything is
fetched, and by the first bytes of the header, which is searched and never parsed.
"""

import re
from pathlib import Path

from bundles.errors import RecipeError
from bundles.format.errors import ScanRefused

LOOKED_AT = 1 << 20
"""Bytes of a header: it names every tensor with its type, so the first thousands of them tell."""
_NAMED = (("AWQ", r"awq"), ("GPTQ", r"gptq(-?int\d)?"), ("FP8", r"fp8"))
_TODO = (
    "Name the model's GGUF here, such as its Q4_K_M. Or serve it with vLLM or TGI on a machine with a graphics card, "
    "and name that in [upstream] of the box's config.toml."
)


def refuse_by_name(where: str, file: str, repository: str) -> None:
    """Refuse a model that its names say is for another engine.

    Args:
        where: the component, for the message.
        repository: on the Hugging Face Hub; empty for a file beside the recipe.

    Raises:
        RecipeError: naming the kind.
    """
    if file.endswith(".gguf"):
        return
    words = f"{repository.rpartition('/')[2]}-{file}".lower()
    kind = next((kind for kind, name in _NAMED if re.search(rf"(^|[-_./]){name}([-_./]|$)", words)), "")
    if kind or file.endswith(".safetensors"):
        raise RecipeError(
            f"{where} names {kind or 'safetensors'} weights ({file}).", needed="llama.cpp runs GGUF only.", todo=_TODO
        )


def refuse_by_header(path: Path) -> None:
    """Refuse a safetensors file, whatever it is called.

    Raises:
        ScanRefused: naming the kind.
    """
    with path.open("rb") as file:
        head = file.read(LOOKED_AT)
    if not re.match(rb'.{7}\x00\s*\{\s*"', head, re.DOTALL):
        return
    raise ScanRefused(f"{path.name} holds {_kind(head)} weights.", needed="llama.cpp runs GGUF only.", todo=_TODO)


def _kind(head: bytes) -> str:
    """By the names and types that each method gives its tensors."""
    if b'.qweight"' in head:
        return "GPTQ" if b'.g_idx"' in head else "AWQ"
    return "FP8" if re.search(rb'"F8_E[45]M[23]', head) else "safetensors"
