"""The door to llama.cpp: a model, its tokens, its adapters. Imported by the worker process alone.

Uses the low-level API of llama-cpp-python 0.3.36: the high-level one takes one adapter for life and turns mmap off
for it. ``context`` decodes with what is loaded here, ``grammar`` constrains; what to decode is left to others.
"""

import ctypes
import re
from collections import deque
from functools import cached_property
from pathlib import Path

import llama_cpp as c

from appliance.engine.offload import OFF, Card, Shape, fit
from appliance.errors import AdapterError, EngineError, RequestRefused

VERSION = str(c.__version__)
"""Of llama-cpp-python, and with it of llama.cpp."""
_LOG_ERROR = 4
_A_CARD = 1
"""ggml's number for a device with memory of its own."""
_LOG_CONTINUED = 5
_MEMORY = re.compile(r"bad_alloc|failed to allocate|out of memory|cannot allocate", re.IGNORECASE)
_FUNCTION_NAMES = re.compile(r"^(?:\w+: )+")


class Complaints:
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


def _start() -> Complaints:
    listener = Complaints()
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
    return listener


complaints = _start()
"""What llama.cpp complained about last, for the words of our errors."""


class Model:
    """A GGUF file, mapped into memory."""

    def __init__(self, path: Path, *, gpu: str = OFF, memory: int = 0, tokens: int = 0) -> None:
        """Load it.

        Args:
            gpu: layers for a graphics card; see ``offload.fit``.
            memory: bytes that keys and values may take at most.
            tokens: that are kept at once, of which they are reckoned.

        Raises:
            EngineError: llama.cpp cannot load it; its reason is in the words.
        """
        wanted = c.llama_model_default_params()
        supported = gpu != OFF and bool(c.llama_supports_gpu_offload())
        cards = _cards() if supported else []
        shape = _shape(path, memory=memory, tokens=tokens) if cards else Shape(layers=0, weights=0, cells=0)
        self.offload = fit(gpu, supported=supported, cards=cards, shape=shape)
        """What a graphics card takes of it."""
        wanted.n_gpu_layers = self.offload.layers
        self.handle = c.llama_model_load_from_file(bytes(path), wanted)
        if not self.handle:
            raise EngineError(
                f"{path.name} cannot be loaded: {complaints.taken()}.",
                needed="A whole GGUF file of a kind that llama.cpp knows is needed.",
                todo="Install the stick again, or another model.",
            )
        complaints.taken()
        self.vocabulary = c.llama_model_get_vocab(self.handle)
        self.vocabulary_size: int = c.llama_vocab_n_tokens(self.vocabulary)
        self.context_trained: int = c.llama_model_n_ctx_train(self.handle)
        self.recurrent: bool = c.llama_model_is_recurrent(self.handle) or c.llama_model_is_hybrid(self.handle)
        """Whether it keeps one running state a sequence, of which no part can be taken back."""
        self.windowed: bool = c.llama_model_n_swa(self.handle) > 0
        """Whether it forgets what is far behind, so that a sequence cannot be cut back either."""
        if not self.vocabulary_size or not c.llama_model_has_decoder(self.handle):
            raise EngineError(f"{path.name} is no model that writes text.", todo="Install another model.")

    @cached_property
    def longest_token(self) -> int:
        """Bytes of the longest token, or a few more: tokenizers write some bytes as two or three."""
        return max(len(c.llama_vocab_get_text(self.vocabulary, t) or b"") for t in range(self.vocabulary_size)) or 1

    @property
    def description(self) -> str:
        """What llama.cpp calls it, such as ``qwen3 0.6B Q4_K - Medium``."""
        buffer = ctypes.create_string_buffer(256)
        c.llama_model_desc(self.handle, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def chat_template(self) -> str | None:
        raw = c.llama_model_chat_template(self.handle, None)
        return raw.decode("utf-8", "replace") if raw else None

    @property
    def bos(self) -> str:
        """Text of the token that begins a text; empty when the model has none."""
        return self._text(c.llama_vocab_bos(self.vocabulary))

    @property
    def eos(self) -> str:
        """Text of the token that ends a turn; empty when the model has none."""
        return self._text(c.llama_vocab_eos(self.vocabulary))

    def control_texts(self) -> list[str]:
        """Texts that the tokenizer would read as control tokens, such as the end of a turn.

        User-defined tokens are not among them: some models make runs of spaces or line ends such tokens.
        """
        special = c.LLAMA_TOKEN_ATTR_CONTROL | c.LLAMA_TOKEN_ATTR_UNKNOWN
        tokens = range(self.vocabulary_size)
        return [self._text(t) for t in tokens if c.llama_vocab_get_attr(self.vocabulary, t) & special]

    def tokenize(self, text: str, *, special: bool = True, begin: bool = True) -> list[int]:
        """Tokens of a prompt; begins with bos where one is due.

        Args:
            special: read the texts of control tokens as such, as a rendered template needs it.
            begin: whether the text begins the prompt.
        """
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        buffer = (c.llama_token * room)()
        count = c.llama_tokenize(self.vocabulary, data, len(data), buffer, room, False, special)
        if count < 0:
            raise RequestRefused("The model's tokenizer cannot read the prompt.", todo="Ask in other words.")
        tokens = list(buffer[:count])
        bos = c.llama_vocab_bos(self.vocabulary)
        # Many templates write bos themselves; two of them make answers worse.
        if begin and c.llama_vocab_get_add_bos(self.vocabulary) and tokens[:1] != [bos]:
            tokens.insert(0, bos)
        return tokens

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; may be part of a character. Control tokens have none."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = c.llama_token_to_piece(self.vocabulary, token, buffer, size, 0, False)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation."""
        return bool(c.llama_vocab_is_eog(self.vocabulary, token))

    @property
    def bytes(self) -> int:
        """Of all its tensors."""
        return int(c.llama_model_size(self.handle))

    @property
    def cell_bytes(self) -> int:
        """Bytes that a token takes in a context, with keys and values as 16-bit floats: an upper bound."""
        layers, heads = c.llama_model_n_layer(self.handle), c.llama_model_n_head_kv(self.handle)
        width = c.llama_model_n_embd(self.handle) // max(1, c.llama_model_n_head(self.handle))
        return int(layers * heads * width * 2 * 2) or 1

    def load_adapter(self, path: Path) -> "c.llama_adapter_lora_p":
        """A LoRA for this model (rank 16 on 0.5B: 18 MB, 31-63 ms).

        Raises:
            AdapterError: it is no adapter, or belongs to another model.
            EngineError: there is no memory for it.
        """
        loaded = c.llama_adapter_lora_init(self.handle, bytes(path))
        if not loaded:
            reason = complaints.taken()
            if _MEMORY.search(reason):
                raise EngineError(
                    f"There is no memory for the adapter {path.name}: {reason}.",
                    todo="Ask without it; or set less memory_mb or cache_mb under [engine] in config.toml.",
                )
            raise AdapterError(
                f"The adapter {path.name} does not fit this model: {reason}.",
                needed="An adapter that was trained on this very model is needed.",
                todo="Ask without it, or install the bundle it came with.",
            )
        complaints.taken()
        return loaded

    def free_adapter(self, adapter: "c.llama_adapter_lora_p") -> None:
        """Give an adapter's memory back. No context may use it any more."""
        c.llama_adapter_lora_free(adapter)

    def _text(self, token: int) -> str:
        raw = c.llama_vocab_get_text(self.vocabulary, token) if 0 <= token < self.vocabulary_size else None
        return raw.decode("utf-8", "replace") if raw else ""


def _cards() -> list[Card]:
    """Graphics cards that llama.cpp knows, with their free memory."""
    ggml = ctypes.CDLL("libggml.so.0")
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
    ggml.ggml_backend_dev_description.restype = ctypes.c_char_p
    found = []
    for number in range(ggml.ggml_backend_dev_count()):
        device = ctypes.c_void_p(ggml.ggml_backend_dev_get(ctypes.c_size_t(number)))
        if ggml.ggml_backend_dev_type(device) != _A_CARD:
            continue
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        name = ggml.ggml_backend_dev_description(device).decode("utf-8", "replace")
        found.append(Card(name=name, free=free.value))
    return found


def _shape(path: Path, *, memory: int, tokens: int) -> Shape:
    """What a model will need, by what its file says; no layers when it does not say."""
    wanted = c.llama_model_default_params()
    wanted.vocab_only = True
    handle = c.llama_model_load_from_file(bytes(path), wanted)
    if not handle:
        complaints.taken()  # loading it will fail too, and say why
        return Shape(layers=0, weights=0, cells=0)
    try:
        kind = _said(handle, "general.architecture")
        layers, width, heads = (
            int(_said(handle, f"{kind}.{name}") or 0)
            for name in ("block_count", "embedding_length", "attention.head_count")
        )
        shared = int(_said(handle, f"{kind}.attention.head_count_kv") or heads)
    except ValueError:  # a list of figures, a layer each
        layers = width = heads = shared = 0
    finally:
        c.llama_model_free(handle)
    pieces = path.parent.glob(f"{path.name.partition('-00001-of-')[0]}*.gguf") if "-00001-of-" in path.name else [path]
    cells = layers * shared * (width // max(1, heads)) * 2 * 2 * tokens
    return Shape(layers=layers, weights=sum(piece.stat().st_size for piece in pieces), cells=min(cells, memory))


def _said(handle: "c.llama_model_p", key: str) -> str:
    buffer = ctypes.create_string_buffer(256)
    count = c.llama_model_meta_val_str(handle, key.encode(), buffer, len(buffer))
    return buffer.value.decode("utf-8", "replace") if count >= 0 else ""
