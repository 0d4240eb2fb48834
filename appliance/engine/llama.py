"""The only door to llama.cpp: a model, a context, adapters, tokens. Imported by the worker process alone.

Uses the low-level API of llama-cpp-python 0.3.36: the high-level one takes one adapter for life and turns mmap off
for it. What to decode, and in which order, is left to others.
"""

import ctypes
import re
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import llama_cpp as c
import numpy as np
from numpy.typing import NDArray

from appliance.errors import AdapterError, EngineError

_LOG_ERROR = 4
_LOG_CONTINUED = 5
_FUNCTION_NAMES = re.compile(r"^(?:\w+: )+")
_SEQUENCE = 0


class _Complaints:
    """llama.cpp's log: silent but for errors, whose last lines become the reason of a refusal."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=8)
        self._level = 0
        # ctypes callbacks are not kept alive by C
        self._callback = c.llama_log_callback(self._note)
        c.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _note(self, level: int, text: bytes, _data: object) -> None:
        self._level = self._level if level == _LOG_CONTINUED else level
        line = text.decode("utf-8", "replace").strip()
        if self._level == _LOG_ERROR and line:
            self._lines.append(line)

    def taken(self) -> str:
        """The first complaint since the last call, which is the most exact one."""
        first = self._lines[0] if self._lines else "llama.cpp gives no reason"
        self._lines.clear()
        return _FUNCTION_NAMES.sub("", first).rstrip(".")


def _start() -> _Complaints:
    complaints = _Complaints()
    # A portable wheel carries one library a kind of processor, and llama-cpp-python does not load them (its issue
    # 2069). By this SONAME: lib/libggml.so is a second copy with a registry of its own. A native wheel has none to
    # load, and the call does nothing.
    try:
        ggml = ctypes.CDLL("libggml.so.0")
    except OSError:
        ggml = None
    if ggml is not None:
        ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
        ggml.ggml_backend_load_all_from_path(str(Path(c.__file__).parent / "lib").encode())
    c.llama_backend_init()
    return complaints


_complaints = _start()


class Model:
    """A GGUF file, mapped into memory."""

    def __init__(self, path: Path) -> None:
        """Load it.

        Raises:
            EngineError: llama.cpp cannot load it; its reason is in the words.
        """
        self._model = c.llama_model_load_from_file(bytes(path), c.llama_model_default_params())
        if not self._model:
            raise EngineError(
                f"{path.name} cannot be loaded: {_complaints.taken()}.",
                needed="A whole GGUF file of a kind that llama.cpp knows is needed.",
                todo="Install the stick again, or another model.",
            )
        _complaints.taken()
        self._vocabulary = c.llama_model_get_vocab(self._model)
        self.vocabulary_size: int = c.llama_vocab_n_tokens(self._vocabulary)
        self.context_trained: int = c.llama_model_n_ctx_train(self._model)
        self._adapters: dict[Path, c.llama_adapter_lora_p] = {}
        if not self.vocabulary_size or not c.llama_model_has_decoder(self._model):
            raise EngineError(f"{path.name} is no model that writes text.", todo="Install another model.")

    @property
    def description(self) -> str:
        """What llama.cpp calls it, such as ``qwen3 0.6B Q4_K - Medium``."""
        buffer = ctypes.create_string_buffer(256)
        c.llama_model_desc(self._model, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def chat_template(self) -> str | None:
        raw = c.llama_model_chat_template(self._model, None)
        return raw.decode("utf-8", "replace") if raw else None

    @property
    def bos(self) -> str:
        """Text of the token that begins a text; empty when the model has none."""
        return self._text(c.llama_vocab_bos(self._vocabulary))

    @property
    def eos(self) -> str:
        """Text of the token that ends a turn; empty when the model has none."""
        return self._text(c.llama_vocab_eos(self._vocabulary))

    def control_texts(self) -> list[str]:
        """Texts that the tokenizer would read as control tokens, such as the end of a turn.

        User-defined tokens are not among them: some models make runs of spaces or line ends such tokens.
        """
        special = c.LLAMA_TOKEN_ATTR_CONTROL | c.LLAMA_TOKEN_ATTR_UNKNOWN
        tokens = range(self.vocabulary_size)
        return [self._text(t) for t in tokens if c.llama_vocab_get_attr(self._vocabulary, t) & special]

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Tokens of a prompt; begins with bos where one is due.

        Args:
            special: read the texts of control tokens as such, as a rendered template needs it.
        """
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        buffer = (c.llama_token * room)()
        count = c.llama_tokenize(self._vocabulary, data, len(data), buffer, room, False, special)
        if count < 0:
            raise EngineError("The model's tokenizer cannot read the prompt.", todo="Ask in other words.")
        tokens = list(buffer[:count])
        bos = c.llama_vocab_bos(self._vocabulary)
        # Many templates write bos themselves; two of them make answers worse.
        if c.llama_vocab_get_add_bos(self._vocabulary) and tokens[:1] != [bos]:
            tokens.insert(0, bos)
        return tokens

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; may be part of a character. Control tokens have none."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = c.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, False)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation."""
        return bool(c.llama_vocab_is_eog(self._vocabulary, token))

    def adapter(self, path: Path) -> "c.llama_adapter_lora_p":
        """A LoRA for this model, loaded on first use and kept (rank 16 on 0.5B: 18 MB, 31-63 ms).

        Raises:
            AdapterError: it is no adapter, or belongs to another model.
        """
        if path not in self._adapters:
            loaded = c.llama_adapter_lora_init(self._model, bytes(path))
            if not loaded:
                raise AdapterError(
                    f"The adapter {path.name} does not fit this model: {_complaints.taken()}.",
                    needed="An adapter that was trained on this very model is needed.",
                    todo="Ask without it, or install the bundle it came with.",
                )
            _complaints.taken()
            self._adapters[path] = loaded
        return self._adapters[path]

    def _text(self, token: int) -> str:
        raw = c.llama_vocab_get_text(self._vocabulary, token) if 0 <= token < self.vocabulary_size else None
        return raw.decode("utf-8", "replace") if raw else ""


class Context:
    """The working memory of a model, for one sequence at a time."""

    def __init__(self, model: Model, *, size: int, threads: int, batch: int) -> None:
        """Make room.

        Args:
            size: tokens it can hold.
            threads: processor cores to use.
            batch: tokens that one ``decode`` may take.

        Raises:
            EngineError: there is not enough memory.
        """
        wanted = c.llama_context_default_params()
        wanted.n_ctx = size
        wanted.n_batch = wanted.n_ubatch = min(batch, size)
        wanted.n_seq_max = 1
        wanted.n_threads = wanted.n_threads_batch = threads
        wanted.no_perf = True
        self._model = model
        self._context = c.llama_init_from_model(model._model, wanted)
        if not self._context:
            raise EngineError(
                f"A context of {size} tokens cannot be made: {_complaints.taken()}.",
                needed="More memory is needed.",
                todo="Set a smaller context under [engine] in config.toml.",
            )
        self._memory = c.llama_get_memory(self._context)
        if not self._memory:
            raise EngineError("This model has no memory for text, so it cannot write.", todo="Install another model.")
        self._batch = c.llama_batch_init(wanted.n_batch, 0, 1)
        self._adapter: Path | None = None

    def begin(self, adapter: Path | None) -> None:
        """Forget everything, and answer through this adapter from now on.

        Raises:
            AdapterError: it is no adapter, or belongs to another model.
        """
        # A whole sequence can always be dropped; part of one cannot, in recurrent models.
        c.llama_memory_seq_rm(self._memory, _SEQUENCE, -1, -1)
        if adapter == self._adapter:
            return
        if adapter is None:
            c.llama_set_adapters_lora(self._context, None, 0, None)
        else:
            loaded = (c.llama_adapter_lora_p_ctypes * 1)(self._model.adapter(adapter))
            if c.llama_set_adapters_lora(self._context, loaded, 1, (ctypes.c_float * 1)(1.0)):
                raise AdapterError(f"The adapter {adapter.name} cannot be used: {_complaints.taken()}.")
        self._adapter = adapter

    def decode(self, tokens: Sequence[int], position: int) -> None:
        """Read tokens that stand at ``position`` and after. Scores are kept for the last one.

        Raises:
            EngineError: llama.cpp failed; the sequence must begin again.
        """
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = position + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = _SEQUENCE
            batch.logits[i] = i == len(tokens) - 1
        status = c.llama_decode(self._context, batch)
        if status:
            raise EngineError(f"llama.cpp failed ({status}): {_complaints.taken()}.", todo="Ask again.")

    def scores(self) -> NDArray[np.float32]:
        """Logits after the last decoded token, shape (vocabulary,). A view: valid until the next ``decode``."""
        return np.ctypeslib.as_array(c.llama_get_logits_ith(self._context, -1), (self._model.vocabulary_size,))
