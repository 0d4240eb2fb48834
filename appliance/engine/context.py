"""A model's working memory: many sequences in one context, decoded together, saved and restored. A door to llama.cpp.

All sequences share one pool of cells ("unified"), so that one decode takes tokens of all of them. What goes into a
decode, and what is kept, is decided elsewhere.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import llama_cpp as c
import numpy as np
from numpy.typing import NDArray

from appliance.engine.llama import Model, complaints
from appliance.errors import AdapterError, EngineError

FULL = 1
"""``llama_decode``'s word for: no cell is free."""
KV_TYPE = "f16"
"""How keys and values are kept; a saved state fits this type only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Tokens of one sequence to decode."""

    sequence: int
    tokens: Sequence[int]
    position: int
    """Of the first of them."""
    scores: bool
    """Whether the scores after the last of them are wanted."""


class Context:
    """The working memory of one model."""

    def __init__(self, model: Model, *, cells: int, sequences: int, threads: int, batch: int) -> None:
        """Make room.

        Args:
            cells: tokens it can hold, of all sequences together.
            sequences: numbered from 0.
            threads: processor cores to use.
            batch: tokens that one ``decode`` may take.

        Raises:
            EngineError: there is not enough memory, or the model writes no text.
        """
        wanted = c.llama_context_default_params()
        wanted.n_ctx = cells
        wanted.n_batch = wanted.n_ubatch = batch
        wanted.n_seq_max = sequences
        wanted.kv_unified = True
        wanted.n_threads = wanted.n_threads_batch = threads
        wanted.no_perf = True
        self._model = model
        self._context = c.llama_init_from_model(model.handle, wanted)
        if not self._context:
            raise EngineError(
                f"A context of {cells} tokens cannot be made: {complaints.taken()}.",
                needed="More memory is needed.",
                todo="Set a smaller context, fewer slots or less memory_mb under [engine] in config.toml.",
            )
        self._memory = c.llama_get_memory(self._context)
        if not self._memory:
            raise EngineError("This model has no memory for text, so it cannot write.", todo="Install another model.")
        self._size = batch
        self._batch = c.llama_batch_init(batch, 0, 1)
        view = np.ctypeslib.as_array
        self._token = view(self._batch.token, (batch,))
        self._position = view(self._batch.pos, (batch,))
        self._wanted = view(self._batch.logits, (batch,))
        view(self._batch.n_seq_id, (batch,))[:] = 1
        # One array of ours in place of llama.cpp's single allocations, so that a slice can be written at once.
        self._sequence = np.zeros(batch, np.int32)
        pointers = view(ctypes.cast(self._batch.seq_id, ctypes.POINTER(ctypes.c_uint64)), (batch,))
        pointers[:] = self._sequence.ctypes.data + 4 * np.arange(batch, dtype=np.uint64)
        self._rows: dict[int, int] = {}
        self._adapter: object = None

    def use(self, adapter: "c.llama_adapter_lora_p | None") -> None:
        """Decode through this adapter from now on (a swap takes microseconds).

        Raises:
            AdapterError: llama.cpp refuses it.
        """
        if adapter is self._adapter:
            return
        if adapter is None:
            c.llama_set_adapters_lora(self._context, None, 0, None)
        else:
            one = (c.llama_adapter_lora_p_ctypes * 1)(adapter)
            if c.llama_set_adapters_lora(self._context, one, 1, (ctypes.c_float * 1)(1.0)):
                raise AdapterError(f"The adapter cannot be used: {complaints.taken()}.", todo="Ask without it.")
        self._adapter = adapter

    def decode(self, rows: Sequence[Row], *, padding: int = 0, spare: int = 0, scored: int = 0) -> None:
        """Read the tokens of all rows at once.

        Args:
            scored: compute the scores of at least so many tokens, if there are as many: the last layer has its cheap
                sizes too.
            padding: throw-away tokens to add, in sequence ``spare``, which is empty before and after.

        Raises:
            EngineError: llama.cpp failed; every sequence of the rows must begin again.
        """
        at = 0
        self._rows.clear()
        for row in rows:
            end = at + len(row.tokens)
            self._token[at:end] = row.tokens
            self._position[at:end] = np.arange(row.position, row.position + len(row.tokens))
            self._sequence[at:end] = row.sequence
            self._wanted[at:end] = 0
            if row.scores:
                self._wanted[end - 1] = 1
                self._rows[row.sequence] = end - 1
            at = end
        if padding:
            end = at + padding
            self._token[at:end] = 0
            self._position[at:end] = np.arange(padding)
            self._sequence[at:end] = spare
            self._wanted[at:end] = 1  # as much work as the others, or it would cost less than it is measured to
            at = end
        missing = scored - int(np.count_nonzero(self._wanted[:at]))
        if missing > 0:
            self._wanted[np.flatnonzero(self._wanted[:at] == 0)[:missing]] = 1
        self._batch.n_tokens = at
        status = c.llama_decode(self._context, self._batch)
        if padding:
            self.drop(spare)
        if status:
            reason = "no room is left" if status == FULL else complaints.taken()
            raise EngineError(f"llama.cpp failed ({status}): {reason}.", todo="Ask again.")

    def wait(self) -> None:
        """Until the last decode is done."""
        c.llama_synchronize(self._context)

    def scores(self, sequence: int) -> NDArray[np.float32]:
        """Logits after the sequence's last token, shape (vocabulary,). A view: valid until the next ``decode``."""
        logits = c.llama_get_logits_ith(self._context, self._rows[sequence])
        return np.ctypeslib.as_array(logits, (self._model.vocabulary_size,))

    def drop(self, sequence: int) -> None:
        """Forget a sequence."""
        c.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def cut(self, sequence: int, length: int) -> bool:
        """Forget all from position ``length`` on; False where this memory cannot."""
        return bool(c.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def clear(self) -> None:
        """Forget all sequences, and begin at the first cell: what is alone is then computed alike every time."""
        c.llama_memory_clear(self._memory, False)

    def save(self, sequence: int) -> bytes:
        """The state of a sequence (12.3 kB a token for 0.5B; 4-10 ms for 1,000 tokens). Empty when it has none."""
        size = c.llama_state_seq_get_size(self._context, sequence)
        state = (ctypes.c_uint8 * size)()
        return bytes(memoryview(state)[: c.llama_state_seq_get_data(self._context, state, size, sequence)])

    def restore(self, sequence: int, state: bytes) -> bool:
        """Put a saved state into an empty sequence. False, and still empty, when it does not fit."""
        data = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        if c.llama_state_seq_set_data(self._context, data, len(state), sequence):
            return True
        complaints.taken()
        self.drop(sequence)
        return False
