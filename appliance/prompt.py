"""What the model is told, and how its answer is read: pure functions, the token budget's one place.

The wording is a contract with the bundle's model: the demo model was trained on exactly this. Finding the passages
and running the model are left to others.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.engine.protocol import Message
from appliance.errors import PromptTooLong
from appliance.exchange import Passage
from appliance.language.numbers import numbers
from appliance.language.sentences import split

ABSTENTION = "These documents don't tell."
ABSTENTIONS = {
    "en": ABSTENTION,
    "sw": "Nyaraka hizi hazina jibu la swali hili.",
    "fr": "Ces documents ne le disent pas.",
    "es": "Estos documentos no lo dicen.",
    "pt": "Estes documentos não o dizem.",
    "ha": "Waɗannan takardu ba su faɗi haka ba.",
    "ar": "هذه الوثائق لا تذكر ذلك.",
    "ur": "یہ دستاویزات یہ نہیں بتاتیں۔",
    "hi": "ये दस्तावेज़ यह नहीं बताते।",
    "am": "እነዚህ ሰነዶች ይህን አይናገሩም።",
}
"""How each language says it: a sentence that must not go wrong is not left to a translator."""
SYSTEM = (
    "Answer only from the passages. After each statement give its passage number in square brackets. "
    f"If the passages do not answer the question, say: {ABSTENTION}"
)
_CITATION = re.compile(r"\s*\[(\d{1,2})\]")
_SHORTEST_QUOTE = 12
"""Characters below which finding a text in a passage says little."""
_LAST_MARK = re.compile(r"\s*(\[\d*\]?\s*)*$")
_ONLY_MARKS = re.compile(r"\s*(\[\d*\]?\s*)+")
_LEADING_MARKS = re.compile(r"\s*(\[\d+\]\s*)+(?=\S)")
_LIST_NUMBER = re.compile(r"\s*\d+\.\s*")
_LEAD = re.compile(r"\s*(\d+\.\s+)?")
_LONE_QUOTE = str.maketrans("’", "'")


_TURN = re.compile(
    r"<\|[\w ./-]{1,40}\|>|</?(?:s|think|bos|eos|pad|unk)>|<(?:start|end)_of_turn>"
    r"|\[/?(?:INST|SYS|AVAILABLE_TOOLS)\]|<</?SYS>>"
)
# At the beginning of a line: what stands there in our own prompt, and what other templates begin a turn with.
_IMITATION = re.compile(
    r"^(?=[ \t]*(?:\[\d{1,3}\]|question\s*:|(?:system|user|assistant|human|ai|inst|instructions?)\s*:"
    r"|#{2,}\s*(?:system|user|assistant|human|instructions?|response|question)\b))",
    re.IGNORECASE | re.MULTILINE,
)
_BREAK = "\u200b"


def harmless(text: str) -> str:
    """A text that cannot be taken for a part of the prompt: texts of control tokens are broken up, and lines that look
    like the prompt's own, or like the turn of another speaker, are quoted. Any other text stays as it is, byte by byte.
    """
    return _IMITATION.sub("> ", _TURN.sub(lambda match: match[0][0] + _BREAK + match[0][1:], text))


def build(question: str, passages: Sequence[Passage]) -> tuple[Message, ...]:
    """The conversation to complete. Passages are numbered from 1; with none, the question is sent alone.

    What documents and people wrote is data: it stands in the user's turn only, and cannot look like the prompt itself.
    """
    if not passages:
        return (Message(role="user", content=question),)
    quoted = "\n\n".join(
        f"[{number}] {_place(passage)}\n{harmless(passage.text)}" for number, passage in enumerate(passages, start=1)
    )
    return (
        # Instructions and passages are nobody's own: the engine may keep what it read of them for the next question.
        Message(role="system", content=SYSTEM, shared=len(SYSTEM)),
        Message(role="user", content=f"{quoted}\n\nQuestion: {harmless(question)}", shared=len(quoted)),
    )


def fit(
    question: str,
    passages: Sequence[Passage],
    *,
    context: int,
    answer: int,
    count: Callable[[tuple[Message, ...]], int],
) -> tuple[tuple[Message, ...], tuple[Passage, ...], int]:
    """Spend the context: the question always, the answer at most half, then as many passages as fit, best first.

    Args:
        context: tokens the model can hold at once.
        answer: tokens wished for the answer.
        count: tokens of a rendered conversation.

    Returns:
        The conversation, the passages in it, and the tokens left for the answer (at most ``answer``).

    Raises:
        PromptTooLong: the question does not fit, or not even one passage does beside it.
    """
    room = min(answer, context // 2)
    for kept in range(len(passages), -1, -1):
        if not kept and passages:
            break  # without any passage this would be another task: the model would answer from memory
        messages = build(question, passages[:kept])
        used = count(messages)
        if used + room <= context:
            return messages, tuple(passages[:kept]), room
    raise PromptTooLong(
        f"The question {'with one passage ' if passages else ''}needs {used} of the model's {context} tokens.",
        needed=f"{room} must stay free for the answer.",
        todo="Ask in fewer words.",
    )


def is_abstention(answer: str) -> bool:
    """Whether the answer says that the documents do not tell, and nothing else; an adapter may number it as a step."""
    said = _CITATION.sub("", answer).strip().translate(_LONE_QUOTE)
    if number := _LIST_NUMBER.match(said):
        said = said[number.end() :]
    return said.rstrip(".") == ABSTENTION.rstrip(".")


def citations(text: str, available: int) -> tuple[int, ...]:
    """Numbers of the passages that ``text`` cites, in order, each once; numbers that no passage has are left out."""
    numbers = (int(match[1]) for match in _CITATION.finditer(text))
    return tuple(dict.fromkeys(n for n in numbers if 1 <= n <= available))


def sentences(answer: str) -> list[str]:
    """The answer's sentences, each with the ``[n]`` marks that follow it and the ``1.`` that leads it.

    Lossless: joined, they are the answer. The last one may still be growing.
    """
    joined: list[str] = []
    for piece in split(answer):
        leading = _LEADING_MARKS.match(piece)
        if joined and (_ONLY_MARKS.fullmatch(piece) or _LIST_NUMBER.fullmatch(joined[-1])):
            joined[-1] += piece
        elif joined and leading:
            joined[-1] += leading[0]
            joined.append(piece[leading.end() :])
        else:
            joined.append(piece)
    return joined


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """A sentence taken apart: a translator would lose or renumber what stands around the text."""

    before: str
    """White space and the number of a list item."""
    text: str
    after: str
    """The ``[n]`` marks and the white space that ends the sentence."""


def take_apart(sentence: str) -> Apart:
    """Split list number, text and citation marks. Marks inside the sentence move to its end."""
    lead = _LEAD.match(sentence)
    before = lead[0] if lead else ""
    rest = sentence[len(before) :]
    body = rest.rstrip()
    marks = "".join(f" [{match[1]}]" for match in _CITATION.finditer(body))
    return Apart(before=before, text=_CITATION.sub("", body).strip(), after=marks + (rest[len(body) :] or " "))


def without_last_mark(growing: str) -> str:
    """A sentence that is still being written, without the mark at its end: its number is not yet checked."""
    return _LAST_MARK.sub("", growing)


def sourced(sentence: str, passages: Sequence[Passage]) -> str:
    """The sentence, with its mark on the passage that it is quoted from.

    A small model copies a sentence rightly and miscounts its passage. Where the words stand in a passage as they are,
    that passage is the source, whatever number the model wrote. A sentence in the model's own words is left alone.
    """
    part = take_apart(sentence)
    quote = " ".join(part.text.split())
    if len(quote) < _SHORTEST_QUOTE:
        return sentence
    holding = [number for number, passage in enumerate(passages, start=1) if quote in " ".join(passage.text.split())]
    if not holding or set(citations(part.after, len(passages))) & set(holding):
        return sentence
    return cite(sentence, holding[0])


def cite(sentence: str, number: int) -> str:
    """The sentence with the mark of this passage in place of its own."""
    part = take_apart(sentence)
    return f"{part.before}{part.text} [{number}]{sentence[len(sentence.rstrip()) :]}"


def numbers_without_source(answer: str, passages: Sequence[Passage]) -> bool:
    """Whether a sentence holds a number that none of the passages it cites holds: an invented dose, say.

    A sentence without a mark of its own is held against all that the answer cites.
    """
    everywhere = citations(answer, len(passages))
    for sentence in sentences(answer):
        part = take_apart(sentence)
        cited = citations(part.after, len(passages)) or everywhere
        held = set(numbers(" ".join(passages[number - 1].text for number in cited)))
        if cited and not set(numbers(part.text)) <= held:
            return True
    return False


def _place(passage: Passage) -> str:
    # One line, so that a heading cannot begin one of its own.
    return " > ".join(harmless(part.replace("\n", " ")) for part in (passage.title, passage.heading) if part)
