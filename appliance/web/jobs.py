"""Questions being answered, each a job with an id: whoever asked may leave and find the answer when back.

A job outlives its page. What it shows is one snapshot, always whole, so that a phone that lost the Wi-Fi needs no
history of events. Jobs live in memory, for half an hour; the log is the lasting record.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from appliance.errors import EngineError, FieldpostError
from appliance.exchange import Exchange, Passage, Question
from appliance.pipeline import Finished, Found, Pipeline, Said, Understood

KEEP_S = 1800.0
MOST_WAITING = 32
"""Questions in progress at once; the next one is told to try again rather than left to wait for an hour."""

State = Literal["waiting", "finding", "answering", "done", "failed", "stopped"]


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

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "stopped")


class Job:
    """One question in progress. Threads: one runs it, any number watch it."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._snapshot = Snapshot(id=question.id, lang=question.lang, question=question.text)
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self.ended_at: float | None = None

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    def stop(self) -> None:
        """Ask for the end; the snapshot says ``stopped`` when it came."""
        self._stop.set()

    def watch(self, *, at_most_every: float = 0.05) -> Iterator[Snapshot]:
        """The snapshot now, then each time it changed, until the job is over. Watching or not makes no difference."""
        shown = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._snapshot is not shown)  # noqa: B023 - read under the lock
                shown = self._snapshot
            yield shown
            if shown.over:
                return
            # A fast model would otherwise send a phone a hundred updates a second.
            self._stop.wait(at_most_every)

    def run(self, pipeline: Pipeline) -> None:
        """Answer the question; never raises."""
        events = pipeline.ask(self._question)
        try:
            for event in events:
                if self._stop.is_set():
                    events.close()
                    self._show(state="stopped")
                    return
                self._take(event)
        except FieldpostError as error:
            self._show(state="failed", error=str(error))
        except Exception:
            self._show(state="failed", error="The box made a mistake. Ask again; if it stays, tell your technician.")
            raise
        finally:
            self.ended_at = time.monotonic()

    def _take(self, event: Understood | Found | Said | Finished) -> None:
        match event:
            case Understood():
                self._show(state="finding", question_working=event.question_working)
            case Found():
                self._show(state="answering", passages=event.passages)
            case Said():
                self._show(answer=event.answer, answer_working=event.answer_working)
            case Finished():
                done = event.exchange
                self._show(state="done", exchange=done, answer=done.answer, answer_working=done.answer_working)

    def _show(self, **changes: object) -> None:
        with self._changed:
            self._snapshot = replace(self._snapshot, **changes)  # type: ignore[arg-type]
            self._changed.notify_all()


class Jobs:
    """The site's jobs."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=MOST_WAITING, thread_name_prefix="question")

    def start(self, question: Question) -> Job:
        """Begin to answer.

        Raises:
            EngineError: too many questions are waiting already.
        """
        job = Job(question)
        with self._lock:
            self._forget_old()
            waiting = sum(not job.snapshot.over for job in self._jobs.values())
            if waiting >= MOST_WAITING:
                raise EngineError(f"{waiting} questions are waiting.", todo="Ask again in a few minutes.")
            self._jobs[question.id] = job
        self._pool.submit(job.run, self._pipeline)
        return job

    def get(self, job_id: str) -> Job | None:
        """The job, unless it is over for longer than half an hour."""
        with self._lock:
            self._forget_old()
            return self._jobs.get(job_id)

    def close(self) -> None:
        """Stop all jobs and wait for them."""
        for job in self._jobs.values():
            job.stop()
        self._pool.shutdown(cancel_futures=True)

    def _forget_old(self) -> None:
        oldest = time.monotonic() - KEEP_S
        self._jobs = {i: j for i, j in self._jobs.items() if j.ended_at is None or j.ended_at > oldest}
