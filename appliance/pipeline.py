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
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from appliance import prompt
from appliance.claims import quotes
from appliance.config import Config
from appliance.draft import Draft, Said
from appliance.engine.protocol import Engine, GenerationRequest, Piece
from appliance.errors import AdapterError, EngineError, FieldpostError, LanguageError, LogError, PromptTooLong
from appliance.exchange import AUTO, Exchange, Passage, Question, Step, Translation, Usage
from appliance.language.detect import detect
from appliance.language.numbers import FLAG as NUMBERS_DIFFER
from appliance.language.numbers import ascii_digits
from appliance.language.protect import UNITS_DIFFER
from appliance.log.store import Recorder
from appliance.record import record_of
from appliance.safety.filters import Policy, Verdict, steers


class Finder(Protocol):
    """Finds passages; see ``appliance.knowledge.retrieve``."""

    def search(self, query: str, limit: int, *, spoken: str = "") -> list[Passage]: ...


class Translates(Protocol):
    """Translates; see ``appliance.language.translate``."""

    def can(self, source: str, target: str) -> bool: ...

    def translate(self, text: str, source: str, target: str) -> Translation: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """The question as the model will see it, and the language that the answer will be in."""

    question_working: str
    lang: str
    help: tuple[Mapping[str, str], ...] = ()
    """For a person in need: the site's help by language, one for each kind of need; an empty one where the site gave
    none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The passages that the model will see, numbered from 1 in this order."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The whole exchange, recorded."""

    exchange: Exchange


EXTRACTIVE = "extractive"
NO_MODEL = "none"
Event = Understood | Found | Said | Finished


_FREE = Usage(prompt_tokens=0, generated_tokens=0, first_token_s=0.0, total_s=0.0, finish="stop")
_SURE_FROM = 12
"""Letters from which a question is believed to be in the language that it looks like."""
_SHOWN_IN_THE_ORIGINAL = {NUMBERS_DIFFER, UNITS_DIFFER}


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
    documents: Callable[[], bool]
    """Whether there are documents now; then nothing is ever answered from the model's memory."""
    languages: tuple[str, ...] = ()
    """The site's; a question may turn out to be in another of them than was chosen."""
    extractive: bool = False
    """Whether the documents are quoted and no model is asked."""
    policy: Policy = field(default_factory=Policy)
    """What the site wants asked and answered with care."""

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
        working = self.working_lang
        flags: list[str] = []

        # 1 understand
        home, spoken = self._languages(question, flags)
        # A model and a translator know the digits of their own training only.
        asked = self._translate(ascii_digits(question.text), spoken, working, flags)
        clock.lap("understand")
        verdict = self._judged(question, asked)
        yield Understood(question_working=asked, lang=home, help=tuple(crisis.help for crisis in verdict.crises))
        if verdict.silent:
            yield Finished(exchange=self._without_answer(question, asked, home, verdict, clock))
            return

        # 2 find, 3 prompt
        found = self.finder.search(
            "" if "not-translated" in flags else asked,
            self.config.knowledge.passages,
            spoken=question.text if spoken != working else "",
        )
        clock.lap("find")
        request, passages = self._prompted(question, asked, found, flags)
        clock.lap("prompt")
        if steering := [passage.id for passage in passages if steers(passage.text)]:
            flags.append("steering")
            self._note(question, "steering-document", passages=steering)
        yield Found(passages=passages)

        # 4 answer, 5 give back: a sentence is translated when the next one has begun
        give_back = partial(self._give_back, home=home, working=working, flags=flags)
        draft = Draft(passages, give_back, lang=working, translated=home != working)
        usage = None
        for piece in self._pieces(request, asked, passages, flags):
            if isinstance(piece, Usage):
                usage = piece
            elif isinstance(piece, str):  # what a reasoning model thinks is not shown
                said = draft.add(piece)
                if self.policy.refuses(said.answer_working):
                    self.engine.cancel(question.id)
                    self._note(question, "refused-answer")
                    refused = Verdict(refused="refused")
                    yield Finished(exchange=self._without_answer(question, asked, home, refused, clock))
                    return
                yield said
        assert usage is not None, "an engine ends with its usage"  # noqa: S101
        answer, written, claims = draft.end()
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
            model=NO_MODEL if EXTRACTIVE in flags else usage.model or self.engine.model,
            adapter=question.adapter,
            usage=usage,
            steps=clock.steps,
            flags=(),
            claims=claims,
            looks_like=spoken if spoken != home else None,
        )
        if any(self.policy.is_medical(passages[n - 1].docpack, passages[n - 1].document) for n in exchange.cited):
            flags.append("medical")
        exchange = replace(exchange, flags=tuple(dict.fromkeys([*flags, *_doubts(exchange)])))
        yield Finished(exchange=self._recorded(exchange, clock))

    def _recorded(self, exchange: Exchange, clock: "_Stopwatch") -> Exchange:
        record = record_of(exchange, self.config.safety.phone_regions, self.policy.names)
        exchange = replace(exchange, hidden=record["found"])
        if not self._record("chat", record):
            exchange = replace(exchange, flags=(*exchange.flags, "not-recorded"))
        clock.lap("record")
        return replace(exchange, steps=clock.steps)

    def _judged(self, question: Question, asked: str) -> Verdict:
        """What the policy makes of the question; each thing it meets is noted in the safety stream, without words."""
        verdict = self.policy.judge((question.text, asked))
        if verdict.refused:
            self._note(question, verdict.refused, topic=verdict.topic)
        for crisis in verdict.crises:
            self._note(question, "crisis", topic=crisis.name)
        if steers(question.text) or steers(asked):
            self._note(question, "steering-question")
        return verdict

    def _note(self, question: Question, event: str, **facts: object) -> None:
        self._record("safety", {"v": 1, "event": event, "id": question.id, **facts})

    def _without_answer(
        self, question: Question, asked: str, home: str, verdict: Verdict, clock: "_Stopwatch"
    ) -> Exchange:
        """The exchange of a question that is not answered. What a person in need wrote is kept nowhere."""
        exchange = Exchange(
            id=question.id,
            lang=home,
            working_lang=self.working_lang,
            question=question.text,
            question_working=asked,
            answer="",
            answer_working="",
            passages=(),
            cited=(),
            abstained=True,
            model=NO_MODEL,
            adapter=question.adapter,
            usage=_FREE,
            steps=clock.steps,
            flags=(verdict.refused,) if verdict.refused else (),
        )
        return exchange if verdict.crises else self._recorded(exchange, clock)

    def _languages(self, question: Question, flags: list[str]) -> tuple[str, str]:
        """The language for the answer, and the one that the question is in.

        Another language than the chosen one is only believed of a longer question; the answer still comes in the one
        that was chosen, and the page offers the other.
        """
        home = question.lang
        if home != AUTO and len(self.languages) < 2:
            return home, home
        guess = detect(question.text, self.languages)
        if home == AUTO:
            flags.append("language-guessed")
            home = guess or (self.languages or (self.working_lang,))[0]
            return home, home
        long = sum(c.isalpha() for c in question.text) >= _SURE_FROM
        if guess in (None, home) or not long:
            return home, home
        flags.append("other-language")
        return home, guess

    def _prompted(
        self, question: Question, asked: str, found: Sequence[Passage], flags: list[str]
    ) -> tuple[GenerationRequest | None, tuple[Passage, ...]]:
        """What the model is asked, and the passages in it; no request where the documents are quoted instead."""
        if not self.extractive:
            try:
                messages, passages, room = prompt.fit(
                    asked,
                    found,
                    context=self.engine.context,
                    answer=self.config.engine.max_tokens,
                    count=self.engine.count,
                )
            except EngineError as error:
                self._without_model(question, error, found)
            else:
                request = GenerationRequest(
                    id=question.id,
                    messages=messages,
                    adapter=question.adapter,
                    max_tokens=room,
                    user=question.asker,
                    goes_on=False,  # each question is a conversation of its own
                )
                return request, passages
        flags.append(EXTRACTIVE)
        return None, tuple(found)

    def _pieces(
        self, request: GenerationRequest | None, asked: str, passages: tuple[Passage, ...], flags: list[str]
    ) -> Iterator[Piece]:
        """The answer's text: the model's, or quotations; nothing but the abstention where no passage was found."""
        if not passages and self.documents():
            yield from (prompt.ABSTENTION, _FREE)
            return
        if request is not None:
            begun = False
            try:
                for piece in self.engine.generate(request):
                    begun = True
                    yield piece
                return
            except EngineError as error:
                if begun:
                    raise
                self._without_model(request, error, passages)
                flags.append(EXTRACTIVE)
        quoted = quotes(asked, passages, self.working_lang, self.config.knowledge.passages)
        yield from (
            f"{text} [{number}]\n" for text, number in quoted
        )  # a line each: a table's row ends in no full stop
        yield from (_FREE,) if quoted else (prompt.ABSTENTION, _FREE)

    def _without_model(
        self, asked: Question | GenerationRequest, error: EngineError, passages: Sequence[Passage]
    ) -> None:
        """Note that the model failed and the documents answer alone.

        Raises:
            EngineError: that same error, where the site wants the model or nothing, the asker can do something about
                it, or there is no document to quote.
        """
        if self.config.answer.mode != "auto" or not passages or isinstance(error, AdapterError | PromptTooLong):
            raise error
        self._record("metric", {"v": 1, "event": "without-model", "id": asked.id, "error": type(error).__name__})

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

    def _give_back(self, sentence: str, *, home: str, working: str, flags: list[str]) -> str:
        if home == working:
            return sentence
        if prompt.is_abstention(sentence) and home in prompt.ABSTENTIONS:
            return prompt.ABSTENTIONS[home]
        part = prompt.take_apart(sentence)
        differing: list[str] = []
        text = self._translate(part.text, working, home, differing)
        flags.extend(differing)
        # A dose that changed on the way is worse than a dose in another language.
        return part.before + (part.text if _SHOWN_IN_THE_ORIGINAL & set(differing) else text) + part.after

    def _stopped(self, question: Question) -> None:
        self._record("metric", {"v": 1, "event": "stopped", "id": question.id})

    def _record(self, stream: str, body: dict[str, object]) -> bool:
        # A full disk must not cost the nurse her answer; she and the status page are told instead.
        try:
            self.log.append(stream, body)
        except LogError:
            return False
        return True


def _doubts(exchange: Exchange) -> Iterator[str]:
    """What is doubtful about an answer itself, as flags."""
    if prompt.numbers_without_source(exchange.answer_working, exchange.passages):
        yield "number-without-source"
    if exchange.passages and not exchange.cited and not exchange.abstained:
        yield "no-source"
    if not all(claim.supported for claim in exchange.claims):
        yield "unsupported"


class _Stopwatch:
    """Seconds a step; the steps together are the whole way."""

    def __init__(self) -> None:
        self.steps: tuple[Step, ...] = ()
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.steps = (*self.steps, Step(name=name, seconds=now - self._last))
        self._last = now
