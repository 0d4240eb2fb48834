"""The embedder's process: real vectors, cut texts, and what happens when the process dies or the model is none."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.embedding import WorkerEmbedder
from appliance.engine.settings import address_space
from appliance.errors import EngineError
from tests.support.site import DEMO_RECIPE

pytestmark = pytest.mark.needs_shared


@pytest.fixture(scope="module")
def embedder(shared: Path):
    with WorkerEmbedder(shared / "models" / "all-MiniLM-L6-v2-Q8_0.gguf", digest="d") as opened:
        yield opened


def test_what_means_the_same_is_near(embedder: WorkerEmbedder) -> None:
    question = embedder.question("How long must water boil?")
    same, other = embedder.passages(["Keep the pot bubbling for a minute.", "The parliament has 200 seats."])
    assert question.shape == (384,)
    assert np.linalg.norm(question) == pytest.approx(1, abs=1e-5)
    assert question @ same > question @ other + 0.1


def test_many_and_long_and_empty_texts(embedder: WorkerEmbedder) -> None:
    texts = [f"Passage {number}." for number in range(40)]
    found = embedder.passages([*texts, "water " * 3000, ""])
    assert found.shape == (42, 384)
    assert np.isfinite(found).all()
    assert np.allclose(found[7], embedder.passages([texts[7]])[0], atol=1e-4)


def test_tokens_are_counted_also_those_that_are_not_read(embedder: WorkerEmbedder) -> None:
    found = embedder.counted(["water", "water " * 3000, ""])
    assert found.longest == 512
    assert found.tokens[0] < 6 and found.tokens[1] > 2000 and found.tokens[2] >= 1


def test_an_order_of_megabytes_fits_the_wire(embedder: WorkerEmbedder) -> None:
    assert embedder.passages(["\0" * 1_000_000] * 16).shape == (16, 384)


def test_a_process_that_died_is_replaced(embedder: WorkerEmbedder) -> None:
    before = embedder.question("zinc")
    assert embedder._child is not None
    os.kill(embedder._child.pid, signal.SIGKILL)
    assert np.allclose(embedder.question("zinc"), before, atol=1e-4)


def test_what_is_no_embedding_model_is_refused(tmp_path: Path) -> None:
    writes = DEMO_RECIPE.parent / "model" / "fieldpost-demo.gguf"
    with WorkerEmbedder(writes, digest="d") as opened, pytest.raises(EngineError, match="makes no vectors"):
        opened.question("zinc")
    (tmp_path / "junk.gguf").write_bytes(b"junk" * 100)
    with WorkerEmbedder(tmp_path / "junk.gguf", digest="d") as opened, pytest.raises(EngineError, match=r"junk\.gguf"):
        opened.question("zinc")


def test_a_closed_embedder_says_so(shared: Path) -> None:
    opened = WorkerEmbedder(shared / "models" / "all-MiniLM-L6-v2-Q8_0.gguf", digest="d")
    opened.close()
    with pytest.raises(EngineError, match="closed"):
        opened.question("zinc")


def test_a_model_can_take_no_more_memory_than_a_worker_may(embedder: WorkerEmbedder) -> None:
    embedder.question("zinc")
    assert embedder._child is not None
    limits = Path(f"/proc/{embedder._child.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert int(line.split()[3]) == address_space()
