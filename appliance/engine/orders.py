"""Requests on their way to the worker and what comes back, as plain objects for the wire; and what is refused before.

Both ends of the wire use this file, so that neither guesses what the other means.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from appliance.child import error_from_message
from appliance.engine.protocol import Chance, GenerationRequest, Logprobs, Message
from appliance.errors import AdapterError, EngineError, PromptTooLong, RequestRefused
from appliance.exchange import Usage

MOST_BYTES = 3_000_000
"""Of a request as JSON: what the wire carries, with room to spare."""
MOST_STOPS = 16
MOST_LOGPROBS = 20
_PENALTY = (-2.0, 2.0)


def check(request: GenerationRequest, adapters: Collection[str]) -> None:
    """Refuse what no model could do, before anybody waits for it.

    Raises:
        AdapterError: no such adapter.
        RequestRefused: a number out of its range, or no text to go on with.
    """
    if request.adapter is not None and request.adapter not in adapters:
        raise AdapterError(
            f"There is no adapter {request.adapter!r}.",
            needed=f"Known are: {', '.join(sorted(adapters)) or 'none'}.",
            todo="Choose one of them, or none.",
        )
    if (request.prompt is None) == (not request.messages):
        raise RequestRefused("A request holds messages or a raw prompt.", needed="Exactly one of them is needed.")
    if request.max_tokens < 1:
        raise RequestRefused(f"An answer of {request.max_tokens} tokens was asked for.", needed="At least 1 is needed.")
    _range("temperature", request.temperature, 0)
    _range("top_k", request.top_k, 0)
    _range("top_p", request.top_p, 0, 1)
    _range("min_p", request.min_p, 0, 1)
    _range("repeat_penalty", request.repeat_penalty, 0.1, 10)
    _range("presence_penalty", request.presence_penalty, *_PENALTY)
    _range("frequency_penalty", request.frequency_penalty, *_PENALTY)
    _range("seed", request.seed, 0)
    _range("logprobs", request.logprobs, 0, MOST_LOGPROBS)
    _range("thinking_tokens", request.thinking_tokens, 0)
    _range("deadline_s", request.deadline_s, 0)
    if len(request.stop) > MOST_STOPS:
        raise RequestRefused(f"There are {len(request.stop)} stop texts.", needed=f"At most {MOST_STOPS} are needed.")


def _range(name: str, value: float | None, least: float, most: float = math.inf) -> None:
    if value is None or (math.isfinite(value) and least <= value <= most):
        return
    needed = f"A number from {least:g}{'' if most == math.inf else f' to {most:g}'} is needed."
    raise RequestRefused(f"{name} is {value}.", needed=needed)


def request_to_message(request: GenerationRequest) -> dict[str, Any]:
    """For the wire: every field but the id.

    Raises:
        RequestRefused: a tool or the schema is no JSON, or it is all too long to be sent.
    """
    raw = {f.name: getattr(request, f.name) for f in fields(request) if f.name != "id"}
    raw["messages"] = messages_to_message(request.messages)
    try:
        size = len(json.dumps(raw))
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestRefused(
            f"The request cannot be sent: {error}.", needed="Tools and schemas are plain JSON."
        ) from error
    if size > MOST_BYTES:
        raise PromptTooLong(f"The request has {size} bytes.", needed=f"At most {MOST_BYTES} are needed.")
    return raw


def request_from_message(raw: Mapping[str, Any]) -> GenerationRequest:
    """The other end's ``request_to_message``; keys that are no field are left out."""
    known = {f.name: raw[f.name] for f in fields(GenerationRequest) if f.name in raw}
    known["messages"] = messages_from_message(raw["messages"])
    known["stop"], known["tools"] = tuple(raw["stop"]), tuple(raw["tools"])
    return GenerationRequest(**known)


def messages_to_message(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [{f.name: getattr(message, f.name) for f in fields(message)} for message in messages]


def messages_from_message(raw: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    return tuple(Message(**{**one, "tool_calls": tuple(one["tool_calls"])}) for one in raw)


def logprobs_to_message(logprobs: Logprobs) -> list[list[Any]]:
    """Bytes travel as Latin-1 text: JSON has none."""
    return [[chance.data.decode("latin-1"), chance.logprob] for chance in (logprobs.chosen, *logprobs.top)]


def logprobs_from_message(raw: Sequence[Sequence[Any]]) -> Logprobs:
    chosen, *top = (Chance(data=str(data).encode("latin-1"), logprob=float(value)) for data, value in raw)
    return Logprobs(chosen=chosen, top=tuple(top))


def usage_from_message(raw: Mapping[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=int(raw["prompt_tokens"]),
        generated_tokens=int(raw["generated_tokens"]),
        first_token_s=float(raw["first_token_s"]),
        total_s=float(raw["total_s"]),
        finish=str(raw["finish"]),
        cached_tokens=int(raw.get("cached_tokens", 0)),
        thinking_tokens=int(raw.get("thinking_tokens", 0)),
    )


def engine_error(raw: object) -> EngineError:
    """The error that the worker reports."""
    error = error_from_message(raw, EngineError, RequestRefused, AdapterError, PromptTooLong)
    assert isinstance(error, EngineError)  # noqa: S101  (all of them are)
    return error
