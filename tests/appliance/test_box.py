"""Tests of appliance.box on a real release: who answers where the model is not wanted, does not load or is missing."""

import json
import shutil

import pytest

from appliance.accounts.keys import Keys
from appliance.box import open_box
from appliance.config import Home
from appliance.engine.absent import NoModel
from appliance.errors import EngineError
from appliance.exchange import Question
from appliance.knowledge.ingest import Reader
from appliance.knowledge.library import Library
from appliance.pipeline import Finished
from appliance.release import load_release
from appliance.web import openai_api

QUESTION = Question(text="For how long must the water boil?", lang="en")


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


def test_a_box_whose_model_was_taken_back_goes_on_with_its_documents(home):
    taken = {"format": 1, "revoked": {load_release(home).answering: "licence withdrawn"}}
    home.revoked.write_text(json.dumps(taken))
    with open_box(home) as box:
        assert "extractive" in answer(box).flags
        assert openai_api.routes(box, Keys(home.api_keys)).routes


def test_documents_that_are_added_to_an_open_box_end_answers_from_memory(home, tmp_path):
    release = home.current.resolve() / "release.json"
    told = json.loads(release.read_text())
    told["components"] = [one for one in told["components"] if one["kind"] != "docpack"]
    release.chmod(0o600)
    release.write_text(json.dumps(told))
    (tmp_path / "goats.md").write_text("# Goats\n\nGive a goat clean water and hay.\n")
    with open_box(home) as box, Reader() as reader:
        assert not box.pipeline.documents()
        Library(home.documents, lang="en").add(tmp_path / "goats.md", reader)
        asked = Question(text="Who won the election?", lang="en")
        told = next(e.exchange for e in box.pipeline.ask(asked) if isinstance(e, Finished))
    assert told.abstained
    assert not told.passages


def test_a_model_that_does_not_load_leaves_the_documents_and_is_an_error_where_the_site_wants_the_model(home):
    (weights,) = (home.current / "x").parent.resolve().rglob("fieldpost-demo.gguf")
    whole = weights.read_bytes()
    weights.unlink()  # the release's files are the installer's own and not to be written into
    weights.write_bytes(whole[: len(whole) // 2])
    with open_box(home) as box:
        assert box.local is None and box.pipeline.engine.model == NoModel.model
        assert "extractive" in answer(box).flags
    (home.root / "config.toml").write_text('[answer]\nmode = "model"\n')
    with pytest.raises(EngineError), open_box(home):
        pass
