"""Tests of what ``fieldpost bench`` measures and tells, with an engine of known pace and on a real box."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from appliance.bench import EACH, Crowd, Report, crowd
from appliance.config import CostConfig
from appliance.engine.protocol import Chance, Logprobs
from appliance.errors import EngineError
from appliance.exchange import Usage
from tests.support.site import run

SEEN = Crowd(
    people=1, questions=2, seconds=10, prompt_tokens=800, generated_tokens=200, tokens_s=20,
    first_p50=1, first_p95=2, gap_p95=0.1, growth=20, joules=50,
)  # fmt: skip


class Paced:
    """Takes a twentieth of a second to begin and a fiftieth a token; ten tokens; so many people at once at most."""

    model = "paced"

    def __init__(self, slots: int) -> None:
        self._slots = threading.Semaphore(slots)
        self.prompts: list[str] = []

    def generate(self, request) -> Iterator[object]:
        self.prompts.append(request.messages[0].content)
        with self._slots:
            time.sleep(0.05)
            for _ in range(10):
                yield Logprobs(chosen=Chance(data=b"a", logprob=-1.0))
                yield "a"
                time.sleep(0.02)
            yield Usage(prompt_tokens=7, generated_tokens=10, first_token_s=0, total_s=0, finish="stop")


def test_a_crowd_sees_what_the_engine_does():
    seen = crowd(Paced(4), 4, seed=1)
    assert (seen.people, seen.questions) == (4, 4 * EACH)
    assert (seen.prompt_tokens, seen.generated_tokens) == (28 * EACH, 40 * EACH)
    assert seen.first_p50 >= 0.05 and seen.gap_p95 >= 0.02 and 0 < seen.growth <= 50
    assert seen.tokens_s == pytest.approx(seen.generated_tokens / seen.seconds)


def test_waiting_for_a_place_counts_as_waiting_for_the_first_token():
    assert crowd(Paced(1), 4, seed=1).first_p95 >= 3 * 0.25


def test_no_two_questions_are_the_same():
    engine = Paced(8)
    crowd(engine, 3, seed=1)
    crowd(engine, 3, seed=2)
    assert len(set(engine.prompts)) == 6 * EACH


def test_a_box_serves_the_greatest_crowd_that_need_not_wait_too_long():
    slow_to_begin, slow_to_grow = replace(SEEN, people=8, first_p95=20), replace(SEEN, people=8, growth=1)
    four = replace(SEEN, people=4)
    for last in (slow_to_begin, slow_to_grow):
        assert Report(model="m", crowds=(SEEN, four, last), peak_memory=1).people == 4
    assert Report(model="m", crowds=(slow_to_begin,), peak_memory=1).people == 0


def test_configured_watts_go_before_the_processors_own_figure():
    report = Report(model="m", crowds=(SEEN,), peak_memory=1)
    assert report.work(CostConfig()).joules == 25
    assert report.work(CostConfig(watts=30)).joules == 150
    assert Report(model="m", crowds=(replace(SEEN, joules=None),), peak_memory=1).work(CostConfig()).joules is None


def test_the_command_measures_a_real_box_and_reckons_with_its_settings(demo_site, tmp_path):
    shutil.copytree(demo_site.home, tmp_path / "home", symlinks=True)
    (tmp_path / "home" / "config.toml").write_text("[cost]\nwatts = 12.5\ngrid = 0.25\nhardware = 300\n")
    kept = sorted((tmp_path / "home").rglob("*"))
    told = json.loads(run("fieldpost", "bench", "--people", "2", "--home", tmp_path / "home", "--json").stdout)
    assert [one["people"] for one in told["crowds"]] in ([1, 2], [1])
    assert told["peak_memory"] > 10e6 and told["crowds"][0]["tokens_s"] > 0
    assert told["cost"]["grid"]["total"] > told["cost"]["grid"]["hardware"] > 0
    assert told["cost"]["solar"]["total"] is None and told["cost"]["paid_api"] is None
    assert sorted((tmp_path / "home").rglob("*")) == kept, "a box that is measured keeps nothing of it"


def test_a_box_without_a_model_has_nothing_to_measure(demo_site, tmp_path):
    shutil.copytree(demo_site.home, tmp_path / "home", symlinks=True)
    (tmp_path / "home" / "config.toml").write_text('[answer]\nmode = "extractive"\n')
    refused = run("fieldpost", "bench", "--home", tmp_path / "home", check=False)
    assert refused.returncode == 1 and "no model to measure" in refused.stderr
    assert EngineError.__name__ not in refused.stderr
