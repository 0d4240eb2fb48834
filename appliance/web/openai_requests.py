"""What OpenAI's clients ask: a request's JSON into a ``GenerationRequest``. Values in, values out.

What a box does not offer is refused by name and never ignored, unless ignoring changes nothing (``metadata``, a
``service_tier``). Source: OpenAI's API reference for models, chat completions, completions and embeddings.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.engine.protocol import GenerationRequest, Message

MOST_TOKENS = 4096
"""Of an answer, where none is asked for less; the model's context ends it sooner."""

_Temperature = Annotated[float, Field(ge=0, le=2)]
_Penalty = Annotated[float, Field(ge=-2, le=2)]
_Share = Annotated[float, Field(ge=0, le=1)]


class NotOffered(Exception):
    """The request asks for something that a box does not do."""

    def __init__(self, message: str, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: bool = False


class _Common(_Strict):
    """What chat and plain completions share."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    temperature: _Temperature | None = None
    top_p: _Share | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    seed: int | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    n: int | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    # llama.cpp's own, known to many tools
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: _Share | None = None
    repeat_penalty: Annotated[float, Field(ge=0.1, le=2)] | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with what it cost."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self) -> dict[str, Any]:
        """The fields of a ``GenerationRequest`` that choose tokens. Where nothing is said: OpenAI's defaults."""
        if self.n not in (None, 1):
            raise NotOffered("One answer a request: ask again for another.", "n")
        if self.max_tokens == 0:
            raise NotOffered("An answer has at least one token.", "max_tokens")
        if self.logit_bias and any(self.logit_bias.values()):
            raise NotOffered("Tokens cannot be favoured by their numbers.", "logit_bias")
        return {
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "top_k": 40 if self.top_k is None else self.top_k,
            "min_p": 0.0 if self.min_p is None else self.min_p,
            "repeat_penalty": 1.0 if self.repeat_penalty is None else self.repeat_penalty,
            "frequency_penalty": self.frequency_penalty or 0.0,
            "presence_penalty": self.presence_penalty or 0.0,
            "seed": None if self.seed is None else self.seed % (1 << 63),
            "stop": (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
        }


class ChatRequest(_Common):
    """Body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1000)]
    max_completion_tokens: Annotated[int, Field(ge=0)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    # Without effect here, and harmless: an answer is the same with and without them.
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    safety_identifier: str | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    # Not offered; named so that the refusal can say which.
    store: bool | None = None
    audio: Any = None
    modalities: list[str] | None = None
    prediction: Any = None
    web_search_options: Any = None
    functions: Any = None
    function_call: Any = None
    moderation: Any = None

    def generation(self, adapter: str | None, user: str) -> GenerationRequest:
        """The request for the engine.

        Raises:
            NotOffered: naming the field.
        """
        self._refuse()
        tools = [] if self.tool_choice == "none" else list(self.tools or [])
        if self.tool_choice not in (None, "none", "auto"):
            raise NotOffered("The model decides itself whether it calls a function.", "tool_choice")
        for tool in tools:
            if tool.get("type") != "function" or not isinstance(tool.get("function"), dict):
                raise NotOffered("Tools are functions.", "tools")
        return GenerationRequest(
            messages=tuple(_message(index, raw) for index, raw in enumerate(self.messages)),
            tools=tuple(tools),
            adapter=adapter,
            max_tokens=self.max_completion_tokens or self.max_tokens or MOST_TOKENS,
            response_schema=_schema(self.response_format),
            thinking_tokens=_THINKING.get(self.reasoning_effort or ""),
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            user=user,
            **self.sampling(),
        )

    def _refuse(self) -> None:
        if self.store:
            raise NotOffered("Completions are not stored for later.", "store")
        if self.audio is not None or "audio" in (self.modalities or []):
            raise NotOffered("This box has no voice.", "audio")
        for name, words in (
            ("web_search_options", "There is no web here."),
            ("prediction", "Predicted outputs are not offered."),
            ("functions", "Name functions in tools."),
            ("function_call", "Name functions in tools."),
            ("moderation", "Moderation is not offered."),
        ):
            if getattr(self, name) is not None:
                raise NotOffered(words, name)
        if self.max_completion_tokens == 0:
            raise NotOffered("An answer has at least one token.", "max_completion_tokens")
        if self.top_logprobs is not None and not self.logprobs:
            raise NotOffered("top_logprobs needs logprobs.", "top_logprobs")


_THINKING = {"none": 0, "minimal": 64, "low": 256, "medium": 1024, "high": 4096}
"""Tokens of thinking for OpenAI's words."""


class CompletionRequest(_Common):
    """Body of ``POST /v1/completions``."""

    prompt: str | list[str] | list[int] | list[list[int]] | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None

    def generation(self, adapter: str | None, user: str) -> GenerationRequest:
        """The request for the engine; raises NotOffered."""
        prompt = self.prompt
        if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
            prompt = prompt[0]
        if not isinstance(prompt, str):
            raise NotOffered("One prompt a request, as text.", "prompt")
        for name in ("echo", "suffix"):
            if getattr(self, name):
                raise NotOffered(f"{name} is not offered.", name)
        if self.best_of not in (None, 1):
            raise NotOffered("One answer a request.", "best_of")
        return GenerationRequest(
            prompt=prompt,
            adapter=adapter,
            max_tokens=self.max_tokens or 16,  # OpenAI's default here
            logprobs=self.logprobs,
            user=user,
            **self.sampling(),
        )


class EmbeddingRequest(_Strict):
    """Body of ``POST /v1/embeddings``."""

    model: str
    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None

    def texts(self) -> list[str]:
        """What to embed; raises NotOffered."""
        if isinstance(self.input, str):
            return [self.input]
        texts = [text for text in self.input if isinstance(text, str)]
        if not texts or len(texts) != len(self.input):
            raise NotOffered("Texts are needed, not numbers of tokens.", "input")
        return texts


def _message(index: int, raw: Mapping[str, Any]) -> Message:
    role, content = raw.get("role"), raw.get("content")
    place = f"messages[{index}]"
    if role == "developer":
        role = "system"
    if role not in ("system", "user", "assistant", "tool"):
        raise NotOffered(f"{place} has the role {role!r}.", "messages")
    if raw.get("audio") is not None:
        raise NotOffered("This box has no voice.", "messages")
    if isinstance(content, list):
        kinds = {part.get("type") if isinstance(part, dict) else None for part in content}
        if not kinds <= {"text", "refusal"}:
            raise NotOffered(f"{place} holds more than text; this model reads text only.", "messages")
        content = "".join(str(part.get("text", part.get("refusal", ""))) for part in content)
    if content is None and role == "assistant":
        content = ""
    if not isinstance(content, str):
        raise NotOffered(f"{place} has no text.", "messages")
    calls = raw.get("tool_calls") or []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise NotOffered(f"{place} has tool calls in another shape.", "messages")
    return Message(role=role, content=content, tool_calls=tuple(calls), tool_call_id=str(raw.get("tool_call_id") or ""))


def _schema(response_format: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    match response_format:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "object"}
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            return schema
        case _:
            raise NotOffered("text, json_object or json_schema is needed.", "response_format")
