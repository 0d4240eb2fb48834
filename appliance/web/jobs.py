"""Questions being answered, each a job with an id: whoever asked may leave and find the answer when back.

A job outlives its page. What it shows is one snapshot, always whole, so that a phone that lost the Wi-Fi needs no
history of events. Jobs live in memory, for half an hour at most; the log is the lasting record.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from appliance.draft import Said
from appliance.errors import (
    AdapterError,
    Busy,
    EngineError,
    FieldpostError,
    KnowledgeError,
    LanguageError,
    Paused,
    PromptTooLong,
)
from appliance.exchange import Exchange, Passage, Question
from appliance.pipeline import Finished, Found, Pipeline, Understood

KEEP_S = 1800.0
MOST_WAITING = 64
"""Questions in progress at once; the next one is told to try again rather than left to wait for an hour."""
MOST_KEPT = 1000
"""Of those that are over: on a box that quotes, a neighbour could otherwise fill the memory with answers in no time."""
LOOK_EVERY_S = 0.02
"""Between two looks of a watcher: a fast model would otherwise send a phone a hundred updates a second."""

REMEMBERED = 20
"""Answers by whose durations the waiting time of the next is told."""
MOST_OF_ONE = 8
"""Questions in progress of one person or visitor: nobody fills the queue alone."""

State = Literal["waiting", "finding", "answering", "done", "failed", "stopped"]
_KINDS: tuple[tuple[type[FieldpostError], str], ...] = (
    (AdapterError, "adapter"),
    (PromptTooLong, "too-long"),
    (Busy, "busy"),
    (Paused, "paused"),
    (EngineError, "engine"),
    (LanguageError, "language"),
    (KnowledgeError, "documents"),
)
_log = logging.getLogger(__name__)


def kind_of(error: FieldpostError) -> str:
    """What went wrong, as the page's catalogue knows it: its words are ``error_KIND``."""
    return next((kind for cause, kind in _KINDS if isinstance(error, cause)), "box")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose a question is: only they find it again."""

    key: str
    person: str = ""
    """In whose history the answer goes; empty for nobody's."""


HERE = Owner(key="here")
"""Whoever sits at the box itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All there is to show of a job now."""

    id: str
    lang: str
    question: str
    state: State = "waiting"
    question_working: str = ""
    passages: tuple[Passage, ...] = ()
    answer: str = ""
    answer_working: str = ""
    exchange: Exchange | None = None
    error: str = ""
    """In a technician's words, English."""
    error_kind: str = ""
    """See ``kind_of``."""
    position: int | None = None
    """How many questions the model takes up before this one begins, counted from 1; 0 once it is being answered; None
    while it is not with the model."""
    help: tuple[Mapping[str, str], ...] = ()
    """For a person in need: see ``pipeline.Understood``."""
    wait_s: int | None = None
    """Seconds until it begins, as far as the last answers tell; None where that is not known."""

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "stopped")


class Job:
    """One question in progress. One thread runs it; any number of watchers read its snapshot."""

    def __init__(
        self,
        question: Question,
        pipeline: Pipeline,
        owner: Owner,
        *,
        finished: "Keep",
        wait_s: Callable[[int], int | None] = lambda _: None,
        took: Callable[[float], None] = lambda _: None,
    ) -> None:
        """``wait_s`` tells how long a place in the queue waits; ``took`` is told how long the answer took, once
        begun; ``finished`` is told of an answer that belongs in a person's history."""
        self.owner = owner
        self._finished = finished
        self._question = question
        self._pipeline = pipeline
        self._wait_s = wait_s
        self._took = took
        self._began_at: float | None = None
        self._stopped = threading.Event()
        self._changing = threading.Lock()
        self._snapshot = Snapshot(id=question.id, lang=question.lang, question=question.text)
        self.ended_at: float | None = None
        self.verdicts = 0
        """How often somebody said what became of it."""

    @property
    def snapshot(self) -> Snapshot:
        """All there is to show now; the same object as long as nothing changed."""
        now = self._snapshot
        if now.state == "answering" and not now.answer:
            position = self._pipeline.engine.position(now.id)
            if position != now.position:
                self._show(position=position, wait_s=self._wait_s(position) if position else None)
        return self._snapshot

    def stop(self) -> None:
        """Ask for the end, also of a question that still waits; the snapshot says ``stopped`` when it came."""
        self._stopped.set()
        self._pipeline.engine.cancel(self._question.id)

    async def watch(self) -> AsyncIterator[Snapshot]:
        """The snapshot now, then each time it changed, until the job is over. Watching or not makes no difference.

        Looks instead of waiting for a signal: so a watcher holds no thread, and one whose phone is gone costs nothing.
        """
        shown = None
        while shown is None or not shown.over:
            if (now := self.snapshot) is not shown:
                shown = now
                yield shown
            else:
                await asyncio.sleep(LOOK_EVERY_S)

    def run(self) -> None:
        """Answer the question; never raises."""
        events = self._pipeline.ask(self._question)
        try:
            for event in events:
                # An answer that is whole is shown, even when somebody asked to stop a moment before.
                if self._stopped.is_set() and not isinstance(event, Finished):
                    events.close()
                    self._show(state="stopped")
                    return
                self._take(event)
            if not self._snapshot.over:
                self._show(state="stopped")
        except FieldpostError as error:
            self._show(state="failed", error=str(error), error_kind=kind_of(error))
        except Exception:
            # For the technician; the question itself is never written down.
            _log.exception("question %s failed", self._question.id)
            said = "The box made a mistake. Ask again; if it stays, tell your technician."
            self._show(state="failed", error=said, error_kind="box")
        finally:
            self.ended_at = time.monotonic()

    def _take(self, event: Understood | Found | Said | Finished) -> None:
        match event:
            case Understood():
                self._show(state="finding", question_working=event.question_working, lang=event.lang, help=event.help)
            case Found():
                self._show(state="answering", passages=event.passages)
            case Said():
                self._began_at = self._began_at or time.monotonic()
                self._show(answer=event.answer, answer_working=event.answer_working, position=0)
            case Finished():
                done = event.exchange
                if self._began_at is not None and done.usage.generated_tokens:
                    self._took(time.monotonic() - self._began_at)
                # Whoever takes up this person's phone next must not read what they told in need.
                if self.owner.person and not self._snapshot.help:
                    self._finished(self.owner.person, done)
                self._show(state="done", exchange=done, answer=done.answer, answer_working=done.answer_working)

    def _show(self, **changes: object) -> None:
        with self._changing:  # a watcher notes the position while the job's thread notes the answer
            self._snapshot = replace(self._snapshot, **changes)  # type: ignore[arg-type]


Keep = Callable[[str, Exchange], None]


def _keep_nothing(person: str, exchange: Exchange) -> None:
    """For a box without accounts."""


class Jobs:
    """The site's jobs."""

    def __init__(self, pipeline: Pipeline, *, kept: int = MOST_KEPT, keep: Keep = _keep_nothing) -> None:
        """``keep`` is told of every finished exchange that belongs in a person's history; it must not raise."""
        self._keep = keep
        self._pipeline = pipeline
        self._durations: deque[float] = deque(maxlen=REMEMBERED)
        self._kept = kept
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=MOST_WAITING, thread_name_prefix="question")

    def start(self, question: Question, owner: Owner) -> Job:
        """Begin to answer.

        Raises:
            Busy: too many questions are waiting already, of all or of this owner.
        """
        job = Job(question, self._pipeline, owner, finished=self._keep, wait_s=self.wait_s, took=self._durations.append)
        with self._lock:
            self._forget_old()
            waiting = [job.owner for job in self._jobs.values() if not job.snapshot.over]
            if len(waiting) >= MOST_WAITING:
                raise Busy(f"{len(waiting)} questions are waiting.", todo="Ask again in a few minutes.")
            if owner != HERE and waiting.count(owner) >= MOST_OF_ONE:
                raise Busy(f"{MOST_OF_ONE} of your questions are waiting.", todo="Wait for an answer first.")
            self._jobs[question.id] = job
        self._pool.submit(job.run)
        return job

    def get(self, job_id: str, owner: Owner) -> Job | None:
        """The owner's job of this id, unless it is over for longer than half an hour."""
        with self._lock:
            self._forget_old()
            job = self._jobs.get(job_id)
            return job if job and job.owner.key == owner.key else None

    def taken(self, job_id: str) -> bool:
        """Whether a question has this id, whoever's it is."""
        with self._lock:
            return job_id in self._jobs

    def wait_s(self, position: int) -> int | None:
        """Seconds until the question at this place of the queue begins, by the median of the last answers."""
        durations = list(self._durations)
        if not durations:
            return None
        rounds = -(-position // self._pipeline.config.engine.slots)  # so many answers one after another
        return round(rounds * median(durations))

    def close(self) -> None:
        """Stop all jobs and wait for them."""
        for job in self._jobs.values():
            job.stop()
        self._pool.shutdown(cancel_futures=True)

    def _forget_old(self) -> None:
        oldest = time.monotonic() - KEEP_S
        over = [(job.ended_at, job_id) for job_id, job in self._jobs.items() if job.ended_at is not None]
        newest = sorted(over)[-self._kept :]
        kept = {job_id for ended_at, job_id in newest if ended_at > oldest}
        self._jobs = {i: job for i, job in self._jobs.items() if job.ended_at is None or i in kept}
