"""What was read before is not read again: on real models, attending and recurrent, in memory and over a restart."""

import json
from pathlib import Path

import pytest

from appliance.engine.client import WorkerEngine
from appliance.engine.cost import SIZES, CostCurve
from appliance.engine.llama import Model
from appliance.engine.protocol import Message
from appliance.engine.settings import EngineSettings
from appliance.engine.spill import DiskSpill, Identity
from tests.engine.conftest import ask
from tests.support.scripted import eventually
from tests.support.synthetic import make_model

pytestmark = pytest.mark.needs_shared
GUIDE = "Boil the water for one minute. Let it cool. Keep it in a clean pot with a lid. " * 2


def question(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=f"{GUIDE}\n\n{text}", shared=len(GUIDE)),)


@pytest.fixture(scope="module", params=["attending", "recurrent"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    if request.param == "attending":
        return tiny
    path = tmp_path_factory.mktemp("hybrid") / "hybrid.gguf"
    make_model(path, "hybrid-tiny", tokenizer=tiny)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    return EngineSettings(folder=tmp_path / "engine", digest="sha256:model")


def test_shared_words_serve_everybody_and_the_answer_stays_the_same(model: Path, settings: EngineSettings) -> None:
    with WorkerEngine(model, threads=2) as engine:
        cold, first = ask(engine, messages=question("Why?"), user="ann", max_tokens=20)
        warm, second = ask(engine, messages=question("Why?"), user="ben", max_tokens=20)
        other = ask(engine, messages=question("How long, and where then?"), user="cy", max_tokens=20)[1]
    assert first.cached_tokens == 0 < 60 < second.cached_tokens < second.prompt_tokens
    assert other.cached_tokens == second.cached_tokens
    assert warm == cold


def test_a_persons_turns_serve_that_person_only(model: Path) -> None:
    secret = "my neighbour has not paid me back what I lent to her when the rains came, what can I do about it now?"
    turn = (Message(role="user", content=secret),)
    with WorkerEngine(model, threads=2) as engine:
        answer = ask(engine, messages=turn, user="ann", max_tokens=8)[0]
        following = (*turn, Message(role="assistant", content=answer), Message(role="user", content="And then?"))
        assert ask(engine, messages=following, user="ben", max_tokens=2)[1].cached_tokens < 16
        usage = ask(engine, messages=following, user="ann", max_tokens=2)[1]
        assert usage.cached_tokens > 40
        alone = (Message(role="user", content=secret.replace("neighbour", "brother")),)
        ask(engine, messages=alone, user="ann", goes_on=False, max_tokens=8)
        again = ask(engine, messages=alone, user="ann", max_tokens=2)[1]
        assert again.cached_tokens < 16, "nothing was to follow, so nothing is kept"
        assert ask(engine, messages=following, max_tokens=2)[1].cached_tokens < 16


def test_a_restarted_engine_is_warm_and_nobodys_words_are_on_disk(
    model: Path, settings: EngineSettings, tmp_path: Path
) -> None:
    with WorkerEngine(model, threads=2, settings=settings) as engine:
        cold, first = ask(engine, messages=question("Why is the sky blue"), user="ann", max_tokens=20)
    with WorkerEngine(model, threads=2, settings=settings) as engine:
        warm, second = ask(engine, messages=question("Why is the sky blue"), user="ben", max_tokens=20)
    assert first.cached_tokens == 0 < 60 < second.cached_tokens
    assert warm == cold
    (kept,) = (tmp_path / "engine" / "prefixes").iterdir()
    (stored,) = DiskSpill(kept.parent, Identity(model="sha256:model", runtime=_runtime(kept), adapters={}), 1).stored()
    text = b"".join(map(Model(model).piece, stored.tokens.tolist()))
    assert text.strip().endswith(b"with a lid.")  # the shared words, and nothing of the question


def _runtime(file: Path) -> str:
    """What a kept state says it was computed by."""
    raw = file.read_bytes()
    size = int.from_bytes(raw[40:44], "little")
    return json.loads(raw[44 : 44 + size])[1]


def test_each_adapter_has_its_own(tiny: Path, tiny_lora: Path) -> None:
    with WorkerEngine(tiny, {"demo": tiny_lora}, threads=2) as engine:
        plain = ask(engine, messages=question("Why?"), max_tokens=20)[0]
        adapted, usage = ask(engine, messages=question("Why?"), adapter="demo", max_tokens=20)
        assert usage.cached_tokens == 0 and adapted != plain
        again, usage = ask(engine, messages=question("Why?"), adapter="demo", max_tokens=20)
        assert usage.cached_tokens > 60 and again == adapted


def test_the_cost_curve_is_measured_once_and_kept(tiny: Path, settings: EngineSettings, tmp_path: Path) -> None:
    def kept() -> list[Path]:
        return list((tmp_path / "engine").glob("cost-*.json"))

    with WorkerEngine(tiny, threads=2, settings=settings) as engine:
        eventually(lambda: len(kept()) == 1)
        (first,) = kept()
        curve = CostCurve(seconds={int(size): seconds for size, seconds in json.loads(first.read_text()).items()})
        assert set(curve.seconds) == set(SIZES) and min(curve.seconds.values()) > 0
        assert ask(engine, max_tokens=2)[1].generated_tokens
    written = first.stat().st_mtime_ns
    with WorkerEngine(tiny, threads=2, settings=settings) as engine:
        ask(engine, max_tokens=2)
    assert [path.stat().st_mtime_ns for path in kept()] == [written]


def test_without_a_budget_nothing_is_kept(tiny: Path) -> None:
    with WorkerEngine(tiny, threads=2, settings=EngineSettings(cache_mb=0)) as engine:
        usages = [ask(engine, messages=question("Why?"), user="ann", max_tokens=2)[1] for _ in range(2)]
    assert [usage.cached_tokens for usage in usages] == [0, 0]
