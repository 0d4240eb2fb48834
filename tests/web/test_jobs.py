"""Tests of appliance.web.jobs: an answer outlives whoever watches it."""

import threading

import pytest

from appliance.config import Config
from appliance.errors import EngineError
from appliance.exchange import Question
from appliance.pipeline import Pipeline
from appliance.web.jobs import MOST_WAITING, Jobs
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
        documents=True,
    )
    jobs = Jobs(pipeline)
    yield jobs
    gate.set()
    jobs.close()


def question():
    return Question(text="How long?", lang="en")


def test_watching_ends_with_the_whole_answer(jobs, gate):
    gate.set()
    last = list(jobs.start(question()).watch())[-1]
    assert last.state == "done"
    assert last.answer == "Boil it. [1]"
    assert last.passages[0].text == "Boil it."


def test_a_phone_that_left_finds_its_answer(jobs, gate):
    job = jobs.start(question())
    watching = job.watch()
    next(watching)
    watching.close()
    gate.set()
    eventually(lambda: jobs.get(job.snapshot.id).snapshot.over)
    assert jobs.get(job.snapshot.id).snapshot.answer == "Boil it. [1]"


def test_two_watchers_see_the_same_end(jobs, gate):
    job = jobs.start(question())
    ends = []
    threads = [threading.Thread(target=lambda: ends.append(list(job.watch())[-1])) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(20)
    assert [end.answer for end in ends] == ["Boil it. [1]"] * 2


def test_a_stopped_job_says_so(jobs, gate):
    job = jobs.start(question())
    eventually(lambda: job.snapshot.state == "answering")
    job.stop()
    gate.set()
    assert list(job.watch())[-1].state == "stopped"


def test_too_many_are_told_to_wait(jobs):
    for _ in range(MOST_WAITING):
        jobs.start(question())
    with pytest.raises(EngineError, match="Ask again in a few minutes"):
        jobs.start(question())


def test_an_unknown_id_is_nobodys():
    assert Jobs(None).get("0" * 32) is None
