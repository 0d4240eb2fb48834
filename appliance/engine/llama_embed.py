"""The door to llama.cpp for models that embed: texts in, vectors out. Imported by the embedding worker alone.

How a model pools its tokens is written in its GGUF; what some models want to be told before a text is in
``_PREFIXES``.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import llama_cpp as c
import numpy as np
from numpy.typing import NDArray

from appliance.engine.llama import complaints
from appliance.errors import EngineError

LONGEST = 512
"""Tokens of a text that are read; most embedding models were trained on no more, and passages are shorter."""

# By a part of the model's name: what goes before a question and before a passage, as their makers' cards say.
_PREFIXES = (
    ("e5", "query: ", "passage: "),
    ("nomic", "search_query: ", "search_document: "),
    ("qwen3", "Instruct: Given a question, retrieve passages that answer it\nQuery: ", ""),
    ("gemma", "task: search result | query: ", "title: none | text: "),
)


class EmbeddingModel:
    """A GGUF model that embeds."""

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        """Load it.

        Raises:
            EngineError: llama.cpp cannot load it, or it makes no vectors of texts.
        """
        self._model = c.llama_model_load_from_file(bytes(path), c.llama_model_default_params())
        if not self._model:
            raise EngineError(
                f"{path.name} cannot be loaded: {complaints.taken()}.",
                needed="A whole GGUF file of a kind that llama.cpp knows is needed.",
                todo="Install the stick again, or another model.",
            )
        self.dimension: int = c.llama_model_n_embd(self._model)
        self._vocabulary = c.llama_model_get_vocab(self._model)
        self.longest = min(LONGEST, c.llama_model_n_ctx_train(self._model) or LONGEST)
        wanted = c.llama_context_default_params()
        wanted.embeddings = True
        wanted.n_ctx = wanted.n_batch = wanted.n_ubatch = self.longest
        wanted.n_threads = wanted.n_threads_batch = threads or len(os.sched_getaffinity(0))
        wanted.no_perf = True
        self._context = c.llama_init_from_model(self._model, wanted)
        if not self._context or c.llama_pooling_type(self._context) in (0, 4):  # none, and one for re-ranking
            raise EngineError(
                f"{path.name} makes no vectors of texts.",
                needed='A model whose GGUF says how its tokens are pooled is needed (task = "embed").',
                todo="Name an embedding model.",
            )
        self._memory = c.llama_get_memory(self._context)
        self._batch = c.llama_batch_init(self.longest, 0, 1)
        name = (
            self._said("general.name") + " " + self._said("general.basename") + " " + self._said("general.architecture")
        )
        found = [(question, passage) for part, question, passage in _PREFIXES if part in name.lower()]
        self._question, self._passage = found[0] if found else ("", "")

    def embed(self, texts: Sequence[str], *, questions: bool) -> tuple[NDArray[np.float32], list[int]]:
        """Vectors of length 1, shape (texts, dimension), and how many tokens each text has, with what the model
        wants to be told before it. What is beyond ``longest`` tokens of a text is not read.

        Raises:
            EngineError: llama.cpp failed.
        """
        prefix = self._question if questions else self._passage
        found = [self._tokens(prefix + text) for text in texts]
        return np.stack([self._one(tokens) for tokens in found]), [len(tokens) for tokens in found]

    def _one(self, tokens: list[int]) -> NDArray[np.float32]:
        # The last token ends a text where the model has such a one.
        tokens = tokens if len(tokens) <= self.longest else [*tokens[: self.longest - 1], tokens[-1]]
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, True
            batch.seq_id[i][0] = 0
        if self._memory:
            c.llama_memory_clear(self._memory, True)
        if c.llama_decode(self._context, batch):
            raise EngineError(f"llama.cpp failed: {complaints.taken()}.", todo="Ask again.")
        raw = np.ctypeslib.as_array(c.llama_get_embeddings_seq(self._context, 0), (self.dimension,)).astype(np.float32)
        return raw / max(float(np.linalg.norm(raw)), 1e-12)

    def _tokens(self, text: str) -> list[int]:
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        buffer = (c.llama_token * room)()
        # False: control tokens that stand in a text are no control tokens
        count = c.llama_tokenize(self._vocabulary, data, len(data), buffer, room, True, False)
        return list(buffer[: max(0, count)]) or [0]

    def _said(self, key: str) -> str:
        buffer = bytearray(256)
        array = (c.ctypes.c_char * 256).from_buffer(buffer)
        count = c.llama_model_meta_val_str(self._model, key.encode(), array, 256)
        return bytes(buffer[: max(0, min(count, 255))]).decode("utf-8", "replace")
