"""Tests of appliance.web.jobs: an answer outlives whoever watches it."""

import asyncio
import threading

import pytest

from appliance.config import Config
from appliance.errors import (
    AdapterError,
    Busy,
    EngineError,
    FieldpostError,
    KnowledgeError,
    LanguageError,
    PromptTooLong,
)
from appliance.exchange import Question
from appliance.pipeline import Pipeline
from appliance.web.jobs import HERE, MOST_OF_ONE, MOST_WAITING, Jobs, Owner, kind_of
from appliance.web.strings import own
from tests.support.scripted import ListLog, ScriptedEngine, ScriptedFinder, ScriptedTranslator, eventually, passage


@pytest.fixture
def gate():
    return threading.Event()


@pytest.fixture
def jobs(gate):
    engine = ScriptedEngine(["Boil", " it. [1]"], gate=gate)
    pipeline = Pipeline(
        engine=engine,
        finder=ScriptedFinder([passage("Boil it.")]),
        translator=ScriptedTranslator({}),
        log=ListLog(),
        config=Config(),
        working_lang="en",
        documents=lambda: True,
    )
    jobs = Jobs(pipeline, kept=3)
    yield jobs
    gate.set()
    jobs.close()


def question():
    return Question(text="How long?", lang="en")


def watched(job):
    """Every snapshot that a watcher sees."""

    async def watch():
        return [snapshot async for snapshot in job.watch()]

    return asyncio.run(watch())


def test_watching_ends_with_the_whole_answer(jobs, gate):
    gate.set()
    last = watched(jobs.start(question(), HERE))[-1]
    assert last.state == "done"
    assert last.answer == "Boil it. [1]"
    assert last.passages[0].text == "Boil it."


def test_a_phone_that_left_finds_its_answer(jobs, gate):
    job = jobs.start(question(), HERE)

    async def look_once():
        watching = job.watch()
        await anext(watching)
        await watching.aclose()

    asyncio.run(look_once())
    gate.set()
    eventually(lambda: jobs.get(job.snapshot.id, HERE).snapshot.over)
    assert jobs.get(job.snapshot.id, HERE).snapshot.answer == "Boil it. [1]"


def test_a_hundred_watchers_hold_no_thread_and_see_the_same_end(jobs, gate):
    job = jobs.start(question(), HERE)

    async def all_watch():
        async def last():
            return [snapshot async for snapshot in job.watch()][-1]

        watching = [asyncio.create_task(last()) for _ in range(100)]
        await asyncio.sleep(0)
        before = threading.active_count()
        gate.set()
        return before, await asyncio.gather(*watching)

    threads_before = threading.active_count()
    threads, ends = asyncio.run(all_watch())
    assert threads - threads_before < 5
    assert [end.answer for end in ends] == ["Boil it. [1]"] * 100


def test_a_stopped_job_says_so(jobs, gate):
    job = jobs.start(question(), HERE)
    eventually(lambda: job.snapshot.state == "answering")
    job.stop()
    gate.set()
    assert watched(job)[-1].state == "stopped"


def test_a_mistake_of_ours_is_told_to_the_technician_without_the_question(jobs, gate, caplog):
    jobs._pipeline.finder.search = None  # as wrong as a program can be
    last = watched(jobs.start(Question(text="my secret", lang="en"), HERE))[-1]
    assert last.state == "failed"
    assert "technician" in last.error
    assert last.id in caplog.text
    assert "my secret" not in caplog.text


def test_too_many_are_told_to_wait(jobs):
    for _ in range(MOST_WAITING):
        jobs.start(question(), HERE)
    with pytest.raises(EngineError, match="Ask again in a few minutes"):
        jobs.start(question(), HERE)


def test_however_many_are_asked_memory_has_an_end(jobs, gate):
    gate.set()
    first = jobs.start(question(), HERE)
    watched(first)
    waiting = threading.Event()
    jobs._pipeline.finder.search = lambda *_, **__: waiting.wait(10) and []
    running = jobs.start(question(), HERE)
    eventually(lambda: running.snapshot.state == "finding")
    jobs._pipeline.finder.search = lambda *_, **__: []
    for _ in range(3):
        job = jobs.start(question(), HERE)
        eventually(lambda job=job: job.ended_at is not None)
    assert jobs.get(first.snapshot.id, HERE) is None, "the oldest goes first"
    assert jobs.get(job.snapshot.id, HERE) is job
    assert jobs.get(running.snapshot.id, HERE) is running, "what is asked is never forgotten"
    waiting.set()


def test_waiting_is_told_by_the_last_answers_and_by_how_many_are_served_at_once(jobs):
    assert jobs.wait_s(1) is None
    for seconds in (4.0, 10.0, 100.0):
        jobs._durations.append(seconds)
    assert (jobs.wait_s(1), jobs.wait_s(8), jobs.wait_s(9), jobs.wait_s(17)) == (10, 10, 20, 30)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(Busy, "busy"), (AdapterError, "adapter"), (PromptTooLong, "too-long"), (EngineError, "engine"),
     (LanguageError, "language"), (KnowledgeError, "documents"), (FieldpostError, "box")],
)  # fmt: skip
def test_every_error_has_words_in_every_language(error, kind):
    assert kind_of(error("x")) == kind
    assert f"error_{kind}" in own("en")


def test_an_unknown_id_is_nobodys():
    assert Jobs(None).get("0" * 32, HERE) is None


def test_only_whose_question_it_is_finds_it(jobs):
    amina, juma = Owner(key="p-1"), Owner(key="p-2")
    job = jobs.start(question(), amina)
    assert jobs.get(job.snapshot.id, amina) is job
    assert jobs.get(job.snapshot.id, juma) is None
    assert jobs.get(job.snapshot.id, HERE) is None
    assert jobs.taken(job.snapshot.id)


def test_one_person_cannot_fill_the_queue(jobs):
    amina, juma = Owner(key="p-1"), Owner(key="p-2")
    for _ in range(MOST_OF_ONE):
        jobs.start(question(), amina)
    with pytest.raises(EngineError, match="Wait for an answer"):
        jobs.start(question(), amina)
    jobs.start(question(), juma)
