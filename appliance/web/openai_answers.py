"""From a model's pieces to OpenAI's answers: chunks of a stream, or one whole object. Values in, values out.

Source: OpenAI's API reference for chat completions and completions.
"""

import json
import re
import secrets
import time
from collections.abc import Sequence
from typing import Any

from appliance.engine.protocol import Chance, GenerationRequest, Logprobs, Piece, Thinking
from appliance.exchange import Usage

_TOOL_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


class _Common:
    """What becomes of pieces: chunks of a stream, or one whole answer. Chat and plain completions differ in shape."""

    prefix: str
    kind: str
    chunk: str

    def __init__(self, request: GenerationRequest, model: str) -> None:
        self.request = request
        self.model = model
        self._id = f"{self.prefix}-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._logprobs: list[Logprobs] = []
        self._text = ""
        self._thinking = ""

    def keep(self, piece: Piece) -> None:
        """Take one piece in."""
        match piece:
            case Thinking(text=text):
                self._thinking += text
            case Logprobs():
                self._logprobs.append(piece)
            case str():
                self._text += piece

    def frame(self, choices: list[dict[str, Any]], *, kind: str, **more: Any) -> dict[str, Any]:
        """The object around choices."""
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self.model,
            "system_fingerprint": None,
            "choices": choices,
            **more,
        }

    def _told(self) -> list[Logprobs]:
        """The log probabilities that were not given out yet."""
        told, self._logprobs = self._logprobs, []
        return told


class ChatAnswer(_Common):
    prefix, kind, chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"
    _TAG = "<tool_call>"

    def __init__(self, request: GenerationRequest, model: str) -> None:
        super().__init__(request, model)
        self._sent = 0

    def begin(self) -> list[dict[str, Any]]:
        """Chunks before the first piece."""
        return [self._delta({"role": "assistant", "content": ""})]

    def add(self, piece: Piece) -> list[dict[str, Any]]:
        """Chunks for one piece."""
        self.keep(piece)
        if isinstance(piece, Thinking):
            return [self._delta({"reasoning_content": piece.text})]
        if not isinstance(piece, str):
            return []
        ready = self._text[self._sent : self._ready()]
        self._sent += len(ready)
        return [self._delta({"content": ready}, told=self._told())] if ready or self._logprobs else []

    def end(self, usage: Usage) -> list[dict[str, Any]]:
        """Chunks after the last piece."""
        text, calls = self._calls()
        chunks = []
        if calls:
            chunks.append(self._delta({"tool_calls": [{"index": i, **call} for i, call in enumerate(calls)]}))
        elif len(text) > self._sent or self._logprobs:
            chunks.append(self._delta({"content": text[self._sent :]}, told=self._told()))
        return [*chunks, self._delta({}, finish=_finish_reason(usage, called=bool(calls)))]

    def whole(self, usage: Usage) -> dict[str, Any]:
        """The answer that does not stream."""
        text, calls = self._calls()
        message: dict[str, Any] = {"role": "assistant", "content": text or None if calls else text, "refusal": None}
        if self._thinking:
            message["reasoning_content"] = self._thinking
        if calls:
            message["tool_calls"] = calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": _chat_logprobs(self._told()) if self.request.logprobs is not None else None,
            "finish_reason": _finish_reason(usage, called=bool(calls)),
        }
        return self.frame([choice], kind=self.kind, usage=cost_of(usage))

    def _calls(self) -> tuple[str, list[dict[str, Any]]]:
        return _tool_calls(self._text, secrets.token_hex(8)) if self.request.tools else (self._text, [])

    def _ready(self) -> int:
        """How much may be sent: nothing from where a call begins, or might."""
        if not self.request.tools:
            return len(self._text)
        if (found := self._text.find(self._TAG)) >= 0:
            return found
        lengths = range(min(len(self._TAG) - 1, len(self._text)), 0, -1)
        held = next((length for length in lengths if self._text.endswith(self._TAG[:length])), 0)
        return len(self._text) - held

    def _delta(
        self, delta: dict[str, Any], *, finish: str | None = None, told: Sequence[Logprobs] = ()
    ) -> dict[str, Any]:
        logprobs = _chat_logprobs(told) if told else None
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return self.frame([choice], kind=self.chunk)


class PlainAnswer(_Common):
    prefix, kind, chunk = "cmpl", "text_completion", "text_completion"

    def begin(self) -> list[dict[str, Any]]:
        """Chunks before the first piece."""
        return []

    def keep(self, piece: Piece) -> None:
        """Take one piece in. A raw prompt has no parts: what the model thinks is what it wrote."""
        super().keep(piece.text if isinstance(piece, Thinking) else piece)

    def add(self, piece: Piece) -> list[dict[str, Any]]:
        """Chunks for one piece."""
        before = len(self._text)
        self.keep(piece)
        grown = self._text[before:]
        return [self.frame([self._choice(grown, self._told())], kind=self.kind)] if grown else []

    def end(self, usage: Usage) -> list[dict[str, Any]]:
        """Chunks after the last piece."""
        return [self.frame([self._choice("", self._told(), _finish_reason(usage))], kind=self.kind)]

    def whole(self, usage: Usage) -> dict[str, Any]:
        """The answer that does not stream."""
        choice = self._choice(self._text, self._told(), _finish_reason(usage))
        return self.frame([choice], kind=self.kind, usage=cost_of(usage))

    def _choice(self, text: str, told: Sequence[Logprobs], finish: str | None = None) -> dict[str, Any]:
        logprobs = _plain_logprobs(told) if told else None
        return {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _tool_calls(text: str, new_id: str) -> tuple[str, list[dict[str, Any]]]:
    """The answer without its ``<tool_call>`` parts, and those as OpenAI shows them. Qwen's form."""
    calls: list[dict[str, Any]] = []
    for match in _TOOL_CALL.finditer(text):
        try:
            raw = json.loads(match[1])
            name, arguments = str(raw["name"]), raw.get("arguments", {})
        except (ValueError, KeyError, TypeError, RecursionError):
            return text, []  # not a call after all: the caller sees what the model wrote
        told = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        calls.append(
            {
                "id": f"call_{new_id}{len(calls)}",
                "type": "function",
                "function": {"name": name, "arguments": told},
            }
        )
    return (_TOOL_CALL.sub("", text).strip() if calls else text), calls


def cost_of(spent: Usage) -> dict[str, Any]:
    """What a generation cost."""
    return {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.generated_tokens,
        "total_tokens": spent.prompt_tokens + spent.generated_tokens,
        "prompt_tokens_details": {"cached_tokens": spent.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": spent.thinking_tokens},
    }


def _finish_reason(spent: Usage, *, called: bool = False) -> str:
    """OpenAI knows fewer endings than we do."""
    if called:
        return "tool_calls"
    return "stop" if spent.finish == "stop" else "length"


def _chat_logprobs(told: Sequence[Logprobs]) -> dict[str, Any]:
    """As chat shows them."""
    return {
        "content": [{**_chance(one.chosen), "top_logprobs": [_chance(other) for other in one.top]} for one in told],
        "refusal": None,
    }


def _plain_logprobs(told: Sequence[Logprobs]) -> dict[str, Any]:
    """As completions show them."""
    tokens = [_text(one.chosen) for one in told]
    offsets, place = [], 0
    for token in tokens:
        offsets.append(place)
        place += len(token)
    return {
        "tokens": tokens,
        "token_logprobs": [one.chosen.logprob for one in told],
        "top_logprobs": [{_text(other): other.logprob for other in one.top} for one in told],
        "text_offset": offsets,
    }


def model_card(name: str) -> dict[str, Any]:
    """One entry of the list of models."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "fieldpost"}


def _chance(chance: Chance) -> dict[str, Any]:
    return {"token": _text(chance), "logprob": chance.logprob, "bytes": list(chance.data)}


def _text(chance: Chance) -> str:
    return chance.data.decode("utf-8", "replace")
