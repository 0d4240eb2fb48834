"""What a client asks wrongly is its own mistake: told apart from a model that cannot answer, and cheap to refuse."""

from pathlib import Path

import pytest

from appliance.engine.blame import MOST_KILLS, Blame
from appliance.engine.client import WorkerEngine
from appliance.engine.settings import Adapter
from appliance.errors import AdapterError, EngineError, PromptTooLong, RequestRefused
from tests.engine.conftest import ask, request


@pytest.mark.needs_shared
def test_a_prompt_of_megabytes_is_refused_by_its_size_before_it_is_tokenised(engine: WorkerEngine) -> None:
    with pytest.raises(PromptTooLong, match="2000000 bytes"):
        ask(engine, messages=(), prompt="a" * 2_000_000)
    with pytest.raises(PromptTooLong, match="tokens"):
        ask(engine, messages=(), prompt="water " * 750)  # short enough to be counted


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    "changes",
    [
        {"response_schema": {"$ref": "http://example.org/schema"}},
        {"response_schema": {"type": "no such type"}},
        {"temperature": -1.0},
        {"stop": ("x",) * 17},
        {"adapter": "none of ours"},
    ],
)
def test_what_no_model_could_do_is_the_requests_fault(engine: WorkerEngine, changes: dict[str, object]) -> None:
    with pytest.raises(RequestRefused):
        list(engine.generate(request(**changes)))
    assert ask(engine)[0]


def test_an_adapter_whose_loading_was_killed_is_not_called_damaged_and_gets_another_try() -> None:
    blame = Blame({"big": Adapter(path=Path("big.gguf"))}, digest="")
    for _ in range(MOST_KILLS):
        blame.check("big")
        kind = blame.note("big", "was killed (SIGKILL), perhaps because the machine ran out of memory")
        assert kind is EngineError
    with pytest.raises(EngineError, match="More memory is needed") as refused:
        blame.check("big")
    assert not isinstance(refused.value, AdapterError)


def test_an_adapter_whose_loading_crashed_is_damaged_at_once() -> None:
    blame = Blame({"bad": Adapter(path=Path("bad.gguf"))}, digest="")
    assert blame.note("bad", "crashed (SIGSEGV)") is AdapterError
    with pytest.raises(AdapterError, match="is damaged"):
        blame.check("bad")
    blame.check(None)
