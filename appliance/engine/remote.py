"""An engine elsewhere: any server that speaks OpenAI's way (vLLM, TGI, TensorRT-LLM, llama-server, Ollama, a box).

For sites that outgrow their box and have a stronger machine on their network. What leaves is redacted first. The
server is asked for one streamed answer at a time; choosing and falling back are ``fallback``'s.
Source: OpenAI's API reference for chat completions and completions.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import httpx

from appliance.engine.protocol import Chance, GenerationRequest, Logprobs, Message, Piece, Thinking
from appliance.errors import AdapterError, EngineError
from appliance.exchange import Usage

CONNECT_S = 3.0
"""Seconds to wait for a connection: the server is near, or it is away."""
SILENCE_S = 120.0
"""Seconds without a word after which it is taken for dead: a long prompt on a slow server."""
MOST_LINE = 1 << 20
"""Bytes a line of its stream may have."""
MOST_REFUSAL = 1 << 16
"""Bytes of a refusal that are read."""


_NONSENSE = (ValueError, KeyError, TypeError, AttributeError)
"""What comes of reading an event that has another shape than OpenAI's."""


class UpstreamAway(EngineError):
    """The server cannot be reached, or broke off before its first word."""


class _Running:
    """One answer in progress; ``cancel`` breaks its connection from any thread, also before the first word."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.expired = threading.Event()
        self._link: socket.socket | None = None

    def trace(self, event: str, told: Mapping[str, Any]) -> None:
        """httpx tells what it does; the connection is all we want."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._link = told["return_value"].get_extra_info("socket")
            if self.cancelled.is_set() or self.expired.is_set():
                self._break()

    def cancel(self) -> None:
        self.cancelled.set()
        self._break()

    def expire(self) -> None:
        """Nobody wants the answer any more: a server that says nothing must not hold us."""
        self.expired.set()
        self._break()

    def _break(self) -> None:
        if self._link is not None:
            with suppress(OSError):
                self._link.shutdown(socket.SHUT_RDWR)


class RemoteEngine:
    """Asks the server at ``url``. Any thread may ask."""

    def __init__(
        self,
        url: str,
        *,
        model: str,
        key: str = "",
        adapters: Mapping[str, str] | None = None,
        redact: Callable[[str], str],
    ) -> None:
        """Describe it; nothing is asked yet.

        Args:
            url: up to and with ``/v1``.
            model: the server's name for its model.
            key: sent as a bearer token; empty for none.
            adapters: our adapters to the server's names for the same.
            redact: takes out what may not leave the box; every text passes it.
        """
        self.model = model
        self._adapters = dict(adapters or {})
        self._redact = redact
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
        # Never by way of a proxy from the environment: the box connects to what the site named, and to nothing else.
        # A connection each: breaking one is how an answer is cancelled.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(base_url=url, headers=headers, timeout=timeout, limits=limits, trust_env=False)

    def close(self) -> None:
        """Break off whatever is in progress."""
        with self._lock:
            running = list(self._running.values())
        for one in running:
            one.cancel()
        self._client.close()

    def ails(self) -> str:
        """Ask whether the server is there and takes our key: an empty text, or what is wrong in words."""
        try:
            answer = self._client.get("models", timeout=CONNECT_S)
        except httpx.HTTPError as error:
            return f"cannot be reached: {error or type(error).__name__}"
        if answer.status_code in (401, 403):
            return f"refuses the key ({answer.status_code})"
        # Some servers have no list of models; who answers at all is there.
        return f"answers {answer.status_code}" if answer.status_code >= 500 else ""

    def generate(self, request: GenerationRequest) -> Iterator[Piece]:
        """See ``Engine.generate``.

        Raises:
            UpstreamAway: the server cannot be reached, before its first word.
            AdapterError: the server has no name for this adapter.
            EngineError: it refuses, or it broke off after its first word.
        """
        path, body = self._order(request)
        running = _Running()
        with self._lock:
            self._running[request.id] = running
        reading = _Reading(request)
        spoken = False
        clock = threading.Timer(request.deadline_s, running.expire) if request.deadline_s is not None else None
        if clock is not None:
            clock.daemon = True
            clock.start()
        try:
            with self._client.stream("POST", path, json=body, extensions={"trace": running.trace}) as response:
                if response.status_code != 200:
                    raise _refused(response.status_code, _beginning(response))
                for event in _events(response):
                    for piece in reading.take(event):
                        spoken = True
                        yield piece
                    if running.cancelled.is_set() or reading.late:
                        break
            if not (reading.finish or running.cancelled.is_set() or reading.late):
                raise httpx.RemoteProtocolError("the stream ended before the answer did")
        except (httpx.HTTPError, httpx.StreamError, *_NONSENSE) as error:
            if running.expired.is_set() and not spoken:
                words = "The deadline passed before the server said anything."
                raise EngineError(words, todo="Ask again.") from error
            if not running.cancelled.is_set() and not running.expired.is_set():
                words = f"The server {self._client.base_url} broke off: {error or type(error).__name__}."
                raise (EngineError if spoken else UpstreamAway)(
                    words, todo="Check that it runs, and ask again."
                ) from error
        finally:
            if clock is not None:
                clock.cancel()
            with self._lock:
                self._running.pop(request.id, None)
        yield reading.usage(self.model, cancelled=running.cancelled.is_set())

    def cancel(self, request_id: str) -> None:
        """See ``Engine.cancel``."""
        with self._lock:
            running = self._running.get(request_id)
        if running is not None:
            running.cancel()

    def position(self, request_id: str) -> int | None:
        """See ``Engine.position``; a server does not tell how long its line is, so what it has counts as begun."""
        with self._lock:
            return 0 if request_id in self._running else None

    def _order(self, request: GenerationRequest) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {
            "model": self._name(request.adapter),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.thinking_tokens is not None:
            raise EngineError("The server cannot limit thinking to a number of tokens.")
        if request.temperature > 0:
            body |= {"top_p": request.top_p, "top_k": request.top_k, "min_p": request.min_p}
        given = {
            "stop": self._clean(request.stop) or None,
            "seed": request.seed,
            "presence_penalty": request.presence_penalty or None,
            "frequency_penalty": request.frequency_penalty or None,
            "repeat_penalty": request.repeat_penalty if request.repeat_penalty != 1 else None,
        }
        body |= {name: value for name, value in given.items() if value is not None}
        if request.prompt is not None:
            if request.logprobs is not None:
                body["logprobs"] = request.logprobs
            return "completions", body | {"prompt": self._redact(request.prompt)}
        body["messages"] = [self._message(message) for message in request.messages]
        if request.tools:
            body["tools"] = self._clean(request.tools)
        if request.response_schema is not None:
            schema = {"name": "answer", "schema": self._clean(request.response_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": request.logprobs}
        return "chat/completions", body

    def _message(self, message: Message) -> dict[str, Any]:
        plain: dict[str, Any] = {"role": message.role, "content": self._redact(message.content)}
        if message.tool_calls:
            plain["tool_calls"] = self._clean(message.tool_calls)
        if message.tool_call_id:
            plain["tool_call_id"] = self._redact(message.tool_call_id)
        return plain

    def _clean(self, value: Any) -> Any:
        """JSON with every text in it redacted, and a number that is somebody's, such as a telephone's, as a text."""
        match value:
            case str():
                return self._redact(value)
            case Mapping():
                return {self._redact(str(name)): self._clean(one) for name, one in value.items()}
            case list() | tuple():
                return [self._clean(one) for one in value]
            case int() | float() if not isinstance(value, bool) and self._redact(str(value)) != str(value):
                return self._redact(str(value))
        return value

    def _name(self, adapter: str | None) -> str:
        if adapter is None:
            return self.model
        if adapter not in self._adapters:
            raise AdapterError(
                f"The server has no name for the adapter {adapter!r}.",
                needed=f"It has: {', '.join(sorted(self._adapters)) or 'none'}.",
                todo="Add it to [upstream] adapters in config.toml.",
            )
        return self._adapters[adapter]


class _Reading:
    """A stream's events, as pieces."""

    def __init__(self, request: GenerationRequest) -> None:
        self._began = time.monotonic()
        self._deadline = None if request.deadline_s is None else self._began + request.deadline_s
        self._first: float | None = None
        self._counted: Mapping[str, Any] = {}
        self._heard = 0
        self._calls: dict[int, dict[str, str]] = {}
        self.finish = ""

    @property
    def late(self) -> bool:
        """Whether nobody wants the answer any more."""
        return self._deadline is not None and time.monotonic() > self._deadline

    def take(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        """Pieces of one event. Raises EngineError: the server says that it failed."""
        if "error" in event:
            raise EngineError(f"The server failed: {str(event['error'])[:300]}.", todo="Ask again.")
        self._counted = event.get("usage") or self._counted
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            text = delta.get("content") if "delta" in choice else choice.get("text")
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            logprobs = choice.get("logprobs") or {}
            yield from map(_logprobs, logprobs.get("content") or ())
            if thought:
                self._hear()
                yield Thinking(text=str(thought))
            if text:
                self._hear()
                yield str(text)
            for call in delta.get("tool_calls") or ():
                self._add_call(call)
            if choice.get("finish_reason"):
                self.finish = str(choice["finish_reason"])
                yield from self._told_calls()

    def usage(self, model: str, *, cancelled: bool) -> Usage:
        """What it cost, as the server tells it; the pieces counted where it does not."""
        now = time.monotonic()
        prompt_details = self._counted.get("prompt_tokens_details") or {}
        details = self._counted.get("completion_tokens_details") or {}
        finish = "cancelled" if cancelled else "deadline" if self.late and not self.finish else ""
        return Usage(
            prompt_tokens=int(self._counted.get("prompt_tokens") or 0),
            generated_tokens=int(self._counted.get("completion_tokens") or self._heard),
            first_token_s=(self._first or now) - self._began,
            total_s=now - self._began,
            finish=finish or ("length" if self.finish == "length" else "stop"),
            cached_tokens=int(prompt_details.get("cached_tokens") or 0),
            thinking_tokens=int(details.get("reasoning_tokens") or 0),
            model=model,
        )

    def _hear(self) -> None:
        self._heard += 1
        self._first = self._first or time.monotonic()

    def _add_call(self, call: Mapping[str, Any]) -> None:
        known = self._calls.setdefault(int(call.get("index") or 0), {"name": "", "arguments": ""})
        told = call.get("function") or {}
        known["name"] += str(told.get("name") or "")
        known["arguments"] += str(told.get("arguments") or "")

    def _told_calls(self) -> Iterator[str]:
        # As the local model writes them: whoever reads an engine's text knows one form.
        for call in self._calls.values():
            try:
                arguments = json.loads(call["arguments"] or "{}")
            except ValueError:
                arguments = call["arguments"]
            yield f"<tool_call>{json.dumps({'name': call['name'], 'arguments': arguments})}</tool_call>"
        self._calls.clear()


def _events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    buffer = b""
    for data in response.iter_bytes():
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        if len(buffer) > MOST_LINE:
            raise ValueError(f"a line of more than {MOST_LINE} bytes")
        for line in lines:
            told = line.strip().removeprefix(b"data:").strip()
            if not line.startswith(b"data:") or told == b"[DONE]":
                continue
            event = json.loads(told)
            if not isinstance(event, dict):
                raise ValueError("an event that is no object")
            yield event


def _logprobs(raw: Mapping[str, Any]) -> Logprobs:
    return Logprobs(chosen=_chance(raw), top=tuple(_chance(other) for other in raw.get("top_logprobs") or ()))


def _chance(raw: Mapping[str, Any]) -> Chance:
    told = raw.get("bytes")
    data = bytes(list(told)) if told is not None else str(raw.get("token", "")).encode()
    return Chance(data=data, logprob=float(raw["logprob"]))


def _beginning(response: httpx.Response) -> bytes:
    """Of what a refusal says; enough to tell, however much there is."""
    said = b""
    for data in response.iter_bytes():
        said += data
        if len(said) > MOST_REFUSAL:
            break
    return said[:MOST_REFUSAL]


def _refused(status: int, body: bytes) -> EngineError:
    try:
        said = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        said = body.decode("utf-8", "replace")
    words = f"The server answered {status}: {said[:300]}"
    if status in (429, 502, 503, 504):
        return UpstreamAway(words, todo="It is busy or starting; ask again.")
    return EngineError(words, todo="Check [upstream] in config.toml: address, model and key.")
