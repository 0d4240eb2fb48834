"""A conversation as the text that the model was trained on: the chat template that came with the model.

A template is a program from somebody else (CVE-2024-34359 ran commands through one), so it runs in jinja2's immutable
sandbox, in the worker, against the clock. Turning the text into tokens is left to ``llama``.
"""

import json
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from appliance.engine.pieces import OPEN
from appliance.engine.protocol import Message
from appliance.errors import EngineError, RequestRefused

PATIENCE_S = 5.0
"""Seconds a template may take. Real ones take less than a millisecond."""
_BREAK = "\u200b"


class ChatTemplate:
    """Renders conversations for one model."""

    def __init__(self, source: str | None, *, bos: str = "", eos: str = "", control: Sequence[str] = ()) -> None:
        """Compile a template.

        Args:
            source: the jinja2 source; None or empty for a model without one, which gets the plain contents.
            bos: text of the token that begins a text, for templates that write it themselves.
            eos: text of the token that ends a turn.
            control: texts of all control tokens, which nobody may write into a message.

        Raises:
            EngineError: it is no valid template.
        """
        self._marks = {"bos_token": bos, "eos_token": eos}
        self.disarm = disarmer(control)
        """Breaks up control tokens in a text, as every message's is before it is rendered."""
        self.thinks = OPEN in (source or "")
        """Whether the template knows of thinking, so that the model may do it."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols"],
            autoescape=False,  # a prompt is no web page
        )
        environment.globals["raise_exception"] = _raise
        environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
        try:
            self._template = environment.from_string(source) if source else None
        except (TemplateError, RecursionError) as error:
            raise _unusable(error, EngineError) from error

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The prompt, up to where the answer begins.

        Args:
            tools: functions that the model may call. A template that knows none leaves them out.

        Raises:
            RequestRefused: the template fails on this conversation.
        """
        turns = [self._turn(message) for message in messages]
        offered = [self._harmless(tool) for tool in tools]
        if self._template is None:
            return "\n\n".join(turn["content"] for turn in turns)
        try:
            return self._run(turns, offered)
        except RequestRefused:
            # Some models know no system turn and say so. What it says then leads the first question.
            merged = _without_system(turns)
            if merged == turns:
                raise
            return self._run(merged, offered)

    def _turn(self, message: Message) -> dict[str, Any]:
        turn: dict[str, Any] = {"role": message.role, "content": self.disarm(message.content)}
        if message.tool_calls:
            turn["tool_calls"] = [self._harmless(call) for call in message.tool_calls]
        if message.tool_call_id:
            turn["tool_call_id"] = self.disarm(message.tool_call_id)
        return turn

    def _harmless(self, value: Any) -> Any:
        """The same JSON, with control tokens in its texts and names broken up."""
        match value:
            case str():
                return self.disarm(value)
            case Mapping():
                return {self.disarm(str(name)): self._harmless(one) for name, one in value.items()}
            case list() | tuple():
                return [self._harmless(one) for one in value]
        return value

    def _run(self, turns: list[dict[str, Any]], tools: list[Any]) -> str:
        assert self._template is not None  # noqa: S101  (render has looked)
        try:
            with _within(PATIENCE_S):
                more = {"tools": tools} if tools else {}  # some templates ask whether there is such a name at all
                return self._template.render(messages=turns, add_generation_prompt=True, **more, **self._marks)
        except Exception as error:  # whatever a foreign program raises
            raise _unusable(error, RequestRefused) from error


def disarmer(control: Sequence[str]) -> Callable[[str], str]:
    """A function that breaks up control tokens in a text with a zero-width space.

    Without it a question, or a document, could end its own turn and speak as the system.
    """
    texts = sorted({text for text in control if len(text) > 1}, key=len, reverse=True)
    if not texts:
        return lambda text: text
    pattern = re.compile("|".join(re.escape(text) for text in texts))

    def disarm(text: str) -> str:
        while pattern.search(text):  # again: breaking one may uncover another that overlapped it
            text = pattern.sub(lambda match: match[0][0] + _BREAK + match[0][1:], text)
        return text

    return disarm


def _without_system(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    system = [turn["content"] for turn in turns if turn["role"] == "system"]
    rest = [turn for turn in turns if turn["role"] != "system"]
    if not system or not rest:
        return turns
    return [{**rest[0], "content": "\n\n".join([*system, rest[0]["content"]])}, *rest[1:]]


def _raise(message: object) -> Any:
    raise TemplateError(str(message))


def _unusable(error: BaseException, kind: type[EngineError]) -> EngineError:
    return kind(
        f"The model's chat template fails: {str(error)[:200] or type(error).__name__}.",
        needed="A template that takes these messages is needed.",
        todo="Use another build of this model.",
    )


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Interrupt what runs too long. Only for a main thread, which is where the worker renders."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
