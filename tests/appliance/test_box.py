"""Tests of appliance.box on a real release: who answers where the model is not wanted, does not load or is missing."""

import shutil

import pytest

from appliance.box import open_box
from appliance.config import Home
from appliance.engine.absent import NoModel
from appliance.errors import EngineError
from appliance.exchange import Question
from appliance.pipeline import Finished

QUESTION = Question(text="How long should I boil water?", lang="en")


@pytest.fixture
def home(demo_site, tmp_path):
    """A box of one's own, with the demo's release."""
    shutil.copytree(demo_site.home, tmp_path / "home", symlinks=True)
    return Home(root=tmp_path / "home")


def answer(box):
    return next(event.exchange for event in box.pipeline.ask(QUESTION) if isinstance(event, Finished))


def test_a_site_may_do_without_a_model(home):
    (home.root / "config.toml").write_text('[answer]\nmode = "extractive"\n')
    with open_box(home) as box:
        exchange = answer(box)
        with pytest.raises(EngineError, match="documents alone: its settings say so"):
            box.pipeline.engine.count(())
    assert "extractive" in exchange.flags and exchange.model == "none" and exchange.cited
    assert all(claim.supported for claim in exchange.claims)


def test_a_model_that_does_not_load_leaves_the_documents_and_is_an_error_where_the_site_wants_the_model(home):
    (weights,) = (home.current / "x").parent.resolve().rglob("fieldpost-demo.gguf")
    whole = weights.read_bytes()
    weights.unlink()  # the release's files are the installer's own and not to be written into
    weights.write_bytes(whole[: len(whole) // 2])
    with open_box(home) as box:
        assert isinstance(box.pipeline.engine, NoModel)
        assert "extractive" in answer(box).flags
    (home.root / "config.toml").write_text('[answer]\nmode = "model"\n')
    with pytest.raises(EngineError), open_box(home):
        pass
