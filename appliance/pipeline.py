"""One question's way through the box, on one page.

    1 understand   the question into the documents' language
    2 find         the passages that may answer it
    3 prompt       question and passages within the model's context
    4 answer       the model, token by token
    5 give back    each finished sentence into the asker's language
    6 record       redacted, into the log

Only this file knows the order. Each room is handed in, and none of them knows another.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from appliance import prompt
from appliance.config import Config
from appliance.engine.protocol import Engine, GenerationRequest, Piece
from appliance.errors import FieldpostError, LanguageError, LogError
from appliance.exchange import Exchange, Passage, Question, Step, Translation, Usage
from appliance.language.numbers import FLAG as NUMBERS_DIFFER
from appliance.language.protect import UNITS_DIFFER
from appliance.log.store import Recorder
from appliance.record import record_of


class Finder(Protocol):
    """Finds passages; see ``appliance.knowledge.retrieve``."""

    def search(self, query: str, limit: int, *, spoken: str = "") -> list[Passage]: ...


class Translates(Protocol):
    """Translates; see ``appliance.language.translate``."""

    def can(self, source: str, target: str) -> bool: ...

    def translate(self, text: str, source: str, target: str) -> Translation: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """The question as the model will see it."""

    question_working: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The passages that the model will see, numbered from 1 in this order."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The answer so far: in the asker's language, and as the model wrote it."""

    answer: str
    answer_working: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The whole exchange, recorded."""

    exchange: Exchange


Event = Understood | Found | Said | Finished


_ABSTAIN: tuple[Piece, ...] = (
    prompt.ABSTENTION,
    Usage(prompt_tokens=0, generated_tokens=0, first_token_s=0.0, total_s=0.0, finish="stop"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The rooms of a box, in the order of a question's way."""

    engine: Engine
    finder: Finder
    translator: Translates
    log: Recorder
    config: Config
    working_lang: str
    """The documents' language, in which the model is asked."""
    documents: bool
    """Whether the release has documents; then nothing is ever answered from the model's memory."""

    def ask(self, question: Question) -> Generator[Event, None, None]:
        """Answer one question, telling each step. Closing the iterator, or ``engine.cancel``, ends it unfinished.

        Raises:
            FieldpostError: no answer could be made; what the person can do is in its words. The failure is in the
                log, without the question.
        """
        clock = _Stopwatch()
        try:
            yield from self._ask(question, clock)
        except FieldpostError as error:
            self._record("metric", {"v": 1, "event": "failed", "id": question.id, "error": type(error).__name__})
            raise
        except GeneratorExit:
            self._stopped(question)
            raise

    def _ask(self, question: Question, clock: "_Stopwatch") -> Generator[Event, None, None]:
        home, working = question.lang, self.working_lang
        flags: list[str] = []

        # 1 understand
        asked = self._translate(question.text, home, working, flags)
        clock.lap("understand")
        yield Understood(question_working=asked)

        # 2 find, 3 prompt
        found = self.finder.search(
            "" if "not-translated" in flags else asked,
            self.config.knowledge.passages,
            spoken=question.text if home != working else "",
        )
        clock.lap("find")
        messages, passages, room = prompt.fit(
            asked,
            found,
            context=self.engine.context,
            answer=self.config.engine.max_tokens,
            count=self.engine.count,
        )
        clock.lap("prompt")
        yield Found(passages=passages)

        # 4 answer, 5 give back: a sentence is translated when the next one has begun
        request = GenerationRequest(id=question.id, messages=messages, adapter=question.adapter, max_tokens=room)
        draft = _Draft(passages, lambda s: self._give_back(s, home, working, flags), translated=home != working)
        usage = None
        for piece in self.engine.generate(request) if passages or not self.documents else _ABSTAIN:
            if isinstance(piece, Usage):
                usage = piece
            elif isinstance(piece, str):  # what a reasoning model thinks is not shown
                yield draft.add(piece)
        assert usage is not None, "an engine ends with its usage"  # noqa: S101
        answer, written = draft.end()
        if prompt.numbers_without_source(written, passages):
            flags.append("number-without-source")
        clock.lap("answer")
        if usage.finish == "cancelled":
            self._stopped(question)
            return

        # 6 record
        exchange = Exchange(
            id=question.id,
            lang=home,
            working_lang=working,
            question=question.text,
            question_working=asked,
            answer=answer.strip(),
            answer_working=written.strip(),
            passages=passages,
            cited=prompt.citations(written, len(passages)),
            abstained=prompt.is_abstention(written),
            model=usage.model or self.engine.model,
            adapter=question.adapter,
            usage=usage,
            steps=clock.steps,
            flags=tuple(dict.fromkeys(flags)),
        )
        if passages and not exchange.cited and not exchange.abstained:
            exchange = replace(exchange, flags=(*exchange.flags, "no-source"))
        if not self._record("chat", record_of(exchange, self.config.safety.phone_regions)):
            exchange = replace(exchange, flags=(*exchange.flags, "not-recorded"))
        clock.lap("record")
        yield Finished(exchange=replace(exchange, steps=clock.steps))

    def _translate(self, text: str, source: str, target: str, flags: list[str]) -> str:
        """The translation, or the text itself and a flag: an answer from a box that lacks a pack beats none."""
        if source == target:
            return text
        try:
            translation = self.translator.translate(text, source, target)
        except LanguageError:
            flags.append("not-translated")
            return text
        flags.extend(translation.flags)
        return translation.text

    def _give_back(self, sentence: str, home: str, working: str, flags: list[str]) -> str:
        if home == working:
            return sentence
        if prompt.is_abstention(sentence) and home in prompt.ABSTENTIONS:
            return prompt.ABSTENTIONS[home]
        part = prompt.take_apart(sentence)
        differing: list[str] = []
        text = self._translate(part.text, working, home, differing)
        flags.extend(differing)
        # A dose that changed on the way is worse than a dose in another language.
        return part.before + (part.text if {NUMBERS_DIFFER, UNITS_DIFFER} & set(differing) else text) + part.after

    def _stopped(self, question: Question) -> None:
        self._record("metric", {"v": 1, "event": "stopped", "id": question.id})

    def _record(self, stream: str, body: dict[str, object]) -> bool:
        # A full disk must not cost the nurse her answer; she and the status page are told instead.
        try:
            self.log.append(stream, body)
        except LogError:
            return False
        return True


class _Draft:
    """An answer as it grows: each finished sentence gets its source and its translation once."""

    def __init__(self, passages: tuple[Passage, ...], give_back: Callable[[str], str], *, translated: bool) -> None:
        self._passages = passages
        self._give_back = give_back
        self._translated = translated
        self._raw = self._written = self._answer = ""
        self._taken = 0

    def add(self, piece: str) -> Said:
        self._raw += piece
        sentences = prompt.sentences(self._raw)
        self._take(sentences[:-1])
        growing = prompt.without_last_mark("".join(sentences[-1:]))
        # Half a sentence cannot be translated; in the documents' own language it can be read as it grows.
        return Said(answer=self._answer + ("" if self._translated else growing), answer_working=self._written + growing)

    def end(self) -> tuple[str, str]:
        """The whole answer in the asker's language, and as the model wrote it."""
        self._take(prompt.sentences(self._raw))
        return self._answer, self._written

    def _take(self, sentences: Sequence[str]) -> None:
        for sentence in sentences[self._taken :]:
            sourced = prompt.sourced(sentence, self._passages)
            self._written += sourced
            self._answer += self._give_back(sourced)
        self._taken = max(self._taken, len(sentences))


class _Stopwatch:
    """Seconds a step; the steps together are the whole way."""

    def __init__(self) -> None:
        self.steps: tuple[Step, ...] = ()
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.steps = (*self.steps, Step(name=name, seconds=now - self._last))
        self._last = now
