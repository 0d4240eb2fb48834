"""Tests of how many layers go to a graphics card, and of a worker where there is none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.client import WorkerEngine
from appliance.engine.offload import RESERVE, Card, Shape, fit
from appliance.engine.settings import EngineSettings
from tests.engine.conftest import ask

GB = 1 << 30
SHAPE = Shape(layers=27, weights=4 * GB, cells=GB)


def card(free: int) -> Card:
    return Card(name="RTX", free=free)


@pytest.mark.parametrize(
    ("wanted", "supported", "cards", "layers", "words"),
    [
        ("auto", True, [card(24 * GB)], 28, "28 of 28 layers go to RTX"),
        ("auto", True, [card(3 * GB)], 13, "13 of 28"),
        ("auto", True, [card(2 * GB), card(2 * GB)], 16, "RTX, RTX"),
        ("auto", True, [card(RESERVE)], 0, "0 of 28"),
        ("auto", True, [], 0, "no graphics card is found"),
        ("auto", False, [], 0, "knows no graphics card"),
        ("20", False, [], 0, "all 27 layers stay with the processor"),
        ("20", True, [card(GB)], 20, "20 of 28 layers go to RTX, as set"),
        ("99", True, [card(GB)], 28, "28 of 28"),
        ("off", True, [card(24 * GB)], 0, "gpu is off"),
    ],
)
def test_as_many_layers_as_fit(wanted: str, supported: bool, cards: list[Card], layers: int, words: str) -> None:
    found = fit(wanted, supported=supported, cards=cards, shape=SHAPE)
    assert found.layers == layers and words in found.words


def test_a_model_that_does_not_say_its_layers_stays_with_the_processor() -> None:
    assert fit("auto", supported=True, cards=[card(GB)], shape=Shape(layers=0, weights=1, cells=0)).layers == 0


@given(
    free=st.lists(st.integers(0, 64 * GB), max_size=4),
    layers=st.integers(1, 120),
    weights=st.integers(1, 80 * GB),
    cells=st.integers(0, 20 * GB),
)
def test_what_goes_there_fits_there_and_more_memory_never_takes_less(
    free: list[int], layers: int, weights: int, cells: int
) -> None:
    shape = Shape(layers=layers, weights=weights, cells=cells)
    found = fit("auto", supported=True, cards=[card(one) for one in free], shape=shape)
    assert 0 <= found.layers <= layers + 1
    assert found.layers * (weights / (layers + 1) + cells / layers) <= sum(free) + 1
    more = fit("auto", supported=True, cards=[card(one + GB) for one in free], shape=shape)
    assert more.layers >= found.layers


@pytest.mark.needs_shared
def test_where_llama_cpp_knows_no_card_the_log_says_so(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level("INFO", "appliance.engine.client"),
        WorkerEngine(tiny, name="tiny", settings=EngineSettings(gpu="20")) as engine,
    ):
        assert "knows no graphics card" in engine.wait_until_loaded().offload
        assert ask(engine)[0]
    assert "tiny is loaded: this build of llama.cpp knows no graphics card" in caplog.text
