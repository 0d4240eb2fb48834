"""A request as the tokens a model reads, and where in them others' prompts may begin alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.engine.pieces import OPEN
from appliance.engine.protocol import GenerationRequest, Message
from appliance.engine.template import ChatTemplate
from appliance.errors import PromptTooLong

LEAST = 16
"""Tokens below which keeping what was read is not worth it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A prompt."""

    tokens: tuple[int, ...]
    shared: tuple[int, ...]
    """Numbers of first tokens that are nobody's own (see ``Message.shared``), ascending."""
    thinks: bool
    """Whether the model may think before it answers."""
    thinking: bool
    """Whether the prompt opens a thought."""


def read(
    request: GenerationRequest,
    template: ChatTemplate,
    tokenize: Callable[[str, bool], list[int]],
    *,
    most: int | None = None,
) -> Reading:
    """Render and tokenise.

    Args:
        tokenize: tokens of a text; the second argument says whether control tokens in it are read as such.
        most: bytes of a prompt, above which it cannot fit, whatever its tokens; None sets no bound.

    Raises:
        RequestRefused: the template fails on this conversation.
        PromptTooLong: it has more bytes than ``most``.
    """
    if request.prompt is not None:
        _bound(request.prompt, most)
        return Reading(tokens=tuple(tokenize(request.prompt, False)), shared=(), thinks=False, thinking=False)
    text = template.render(request.messages, request.tools)
    _bound(text, most)
    tokens = tokenize(text, True)
    shared = []
    for end in _shared_ends(text, request.messages, template):
        # A token may span the end; those before it are the same whatever follows.
        same = common(tokenize(text[:end], True), tokens)
        if same >= LEAST:
            shared.append(same)
    thinking = text.rstrip().endswith(OPEN)
    return Reading(
        tokens=tuple(tokens),
        shared=tuple(dict.fromkeys(shared)),
        thinks=template.thinks or thinking,
        thinking=thinking,
    )


def _bound(text: str, most: int | None) -> None:
    """Refuse before tokenising, which takes seconds for megabytes, while everybody waits."""
    size = len(text.encode("utf-8", "replace"))
    if most is not None and size > most:
        raise PromptTooLong(
            f"The prompt has {size} bytes.",
            needed=f"At most {most} can fit this model's context.",
            todo="Ask something shorter.",
        )


def _shared_ends(text: str, messages: Sequence[Message], template: ChatTemplate) -> list[int]:
    """Places in the rendered text up to which all is shared."""
    ends: list[int] = []
    at = 0
    for message in messages:
        content = template.disarm(message.content[: message.shared]).strip()
        at = text.find(content, at) if content else -1
        if at < 0:
            break
        at += len(content)
        ends.append(at)
        if message.shared < len(message.content):
            break
    return ends


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many first tokens are the same."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
