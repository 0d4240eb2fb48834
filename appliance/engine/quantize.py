"""Smaller weights by llama.cpp's own quantizer, and what they cost: perplexity on a text. A door to llama.cpp.

Runs in a process of its own, on the workstation; a box that serves quantizes nothing.
"""

import ctypes
from dataclasses import dataclass
from pathlib import Path

import llama_cpp as c
import numpy as np

from appliance.engine.llama import Model, complaints
from appliance.errors import EngineError

KINDS = {
    "Q8_0": c.LLAMA_FTYPE_MOSTLY_Q8_0,
    "Q6_K": c.LLAMA_FTYPE_MOSTLY_Q6_K,
    "Q5_K_M": c.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    "Q4_K_M": c.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "Q4_0": c.LLAMA_FTYPE_MOSTLY_Q4_0,
}
"""From the largest to the smallest."""
CHUNK = 512
"""Tokens read at once; the second half of each chunk is scored, so that every token has some text before it."""


def quantize(source: Path, target: Path, kind: str, *, threads: int) -> None:
    """Write ``source``, weights in F32, F16 or BF16, as ``target`` of a kind in ``KINDS``; whole or not at all.

    Raises:
        EngineError: llama.cpp refuses; weights that were quantized before are refused as well.
    """
    draft = target.with_name(target.name + ".part")
    wanted = c.llama_model_quantize_default_params()
    wanted.nthread = threads
    wanted.ftype = KINDS[kind]
    try:
        if c.llama_model_quantize(bytes(source), bytes(draft), ctypes.byref(wanted)):
            raise EngineError(
                f"{source.name} cannot be made {kind}: {complaints.taken()}.",
                needed="Weights in F16, BF16 or F32 are needed; what was quantized once is not quantized again.",
                todo="Get the model in F16 from its source.",
            )
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Perplexity:
    """How well a model foresees a text: 1 is perfect, the size of the vocabulary is chance."""

    value: float
    tokens: int
    """How many were scored."""


def perplexity(model: Path, text: str, *, threads: int) -> Perplexity:
    """The model's perplexity on a text, as llama.cpp's own tool reckons it: over the second half of each chunk.

    Raises:
        EngineError: the model does not load, or the text is too short.
    """
    loaded = Model(model)
    size = min(CHUNK, loaded.context_trained)
    tokens = loaded.tokenize(text, special=False)
    # A text shorter than a chunk is one chunk.
    size = min(size, len(tokens))
    if size < 8:
        raise EngineError(f"The text has {len(tokens)} tokens.", needed="A page or more.", todo="Name a longer text.")
    wanted = c.llama_context_default_params()
    wanted.n_ctx = wanted.n_batch = wanted.n_ubatch = size
    wanted.n_threads = wanted.n_threads_batch = threads
    wanted.no_perf = True
    context = c.llama_init_from_model(loaded.handle, wanted)
    if not context:
        raise EngineError(f"A context of {size} tokens cannot be made: {complaints.taken()}.")
    batch = c.llama_batch_init(size, 0, 1)
    try:
        total, scored = 0.0, 0
        for start in range(0, len(tokens) - size + 1, size):
            logits = _logits(context, batch, tokens[start : start + size], loaded.vocabulary_size)
            first = size // 2
            rows = logits[first:-1].astype(np.float64)
            rows -= rows.max(axis=1, keepdims=True)
            chosen = rows[np.arange(len(rows)), tokens[start + first + 1 : start + size]]
            total += float((np.log(np.exp(rows).sum(axis=1)) - chosen).sum())
            scored += len(rows)
    finally:
        c.llama_batch_free(batch)
        c.llama_free(context)
    return Perplexity(value=float(np.exp(total / scored)), tokens=scored)


def _logits(context: "c.llama_context_p", batch: "c.llama_batch", tokens: list[int], width: int) -> "np.ndarray":
    c.llama_memory_clear(c.llama_get_memory(context), False)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i] = token
        batch.pos[i] = i
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = 0
        batch.logits[i] = 1
    status = c.llama_decode(context, batch)
    if status:
        raise EngineError(f"llama.cpp failed ({status}): {complaints.taken()}.")
    return np.ctypeslib.as_array(c.llama_get_logits(context), (len(tokens), width)).copy()
