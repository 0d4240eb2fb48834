"""The values that travel along one question's way: plain, frozen, parsed at the edge and trusted within."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

AUTO = "auto"
"""In place of a language: the box tells it by the question."""


def new_id() -> str:
    """A fresh exchange id: 128 random bits as 32 hex digits, so that it cannot be guessed by a neighbour."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person asked, as they asked it. Not yet redacted: it must not be stored or logged as it is."""

    text: str
    lang: str
    """The asker's language, as a BCP 47 primary tag such as ``sw``; ``auto`` leaves it to the box to tell."""
    adapter: str | None = None
    asker: str = ""
    """Tells one person's questions from another's, so that they are served in turn; empty is everybody who is not told
    apart. Any text; neither recorded nor shown."""
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document, small enough for a prompt, and exactly where it stands."""

    id: str
    """Unique within a release and stable for the same documents: ``field-guides/safe-water.md#3``."""
    docpack: str
    document: str
    """Path of the document inside its docpack."""
    title: str
    heading: str
    lang: str
    text: str
    start: int
    end: int
    """The passage is ``document_text[start:end]``, in characters."""
    page: int | None = None
    """The page it begins on, from 1; None where the document has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A text and its translation, with what is doubtful about it."""

    text: str
    source: str
    target: str
    flags: tuple[str, ...] = ()
    """``numbers-differ`` when the digits on both sides do not agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one generation cost. Times in seconds."""

    prompt_tokens: int
    generated_tokens: int
    first_token_s: float
    total_s: float
    finish: str
    """``stop`` (the model ended), ``length`` (the limit), ``deadline`` or ``cancelled``."""
    cached_tokens: int = 0
    """Tokens of the prompt that need not be read again, because a prompt before began the same."""
    thinking_tokens: int = 0
    """Generated tokens that the model spent on thinking."""
    model: str = ""
    """Which model answered, where an engine has several; empty for the one it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the way and the seconds it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One sentence of an answer, and where it stands in the documents."""

    text: str
    """In the asker's language, with its marks and the white space after it: the claims joined are the answer."""
    text_working: str
    supported: bool
    """Whether the place below says it; an abstention needs none."""
    passage: int | None = None
    """Number (from 1) of the passage that comes nearest."""
    start: int = 0
    end: int = 0
    """The nearest sentence is ``document_text[start:end]``, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A question and its finished answer. ``working`` is the documents' language, in which the model was asked."""

    id: str
    lang: str
    working_lang: str
    question: str
    question_working: str
    answer: str
    answer_working: str
    passages: tuple[Passage, ...]
    cited: tuple[int, ...]
    """Numbers (from 1) of the passages that the answer cites."""
    abstained: bool
    model: str
    adapter: str | None
    usage: Usage
    steps: tuple[Step, ...]
    flags: tuple[str, ...]
    claims: tuple[Claim, ...] = ()
    """The answer sentence by sentence; none where there were no documents."""
    looks_like: str | None = None
    """Another language of the site that the question seems to be in."""
    hidden: Mapping[str, int] = field(default_factory=dict)
    """What was taken out of the texts before they were recorded: kind to number."""
