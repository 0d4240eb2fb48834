"""A recipe of files from elsewhere, and no documents, takes the same path."""

import shutil

import pytest

from tests.support.site import installed_demo

RECIPE = """\
format = 1
[bundle]
name = "stories"
version = "1.0.0"
publisher = "tests"
title = "A model from elsewhere"
languages = ["en"]
[[model]]
name = "stories"
version = "1.0.0"
licence = "MIT"
file = "stories260K-chat.gguf"
card = "CARD.md"
[[adapter]]
name = "water"
version = "1.0.0"
licence = "MIT"
base = "stories"
file = "stories260K-lora-demo.gguf"
card = "CARD.md"
"""


@pytest.mark.needs_shared
def test_an_adapter_from_elsewhere_changes_the_answer(shared, tmp_path):
    source = tmp_path / "recipe"
    source.mkdir()
    (source / "recipe.toml").write_text(RECIPE)
    (source / "CARD.md").write_text("# Stories\n\nA model of 260,000 parameters for tests.\n")
    for name in ("stories260K-chat.gguf", "stories260K-lora-demo.gguf"):
        shutil.copy(shared / "models" / name, source / name)
    site = installed_demo(tmp_path, source / "recipe.toml")
    assert site.ask("How do I clean water?", "--adapter", "water")["answer"].startswith("Boil")
    assert not site.ask("How do I clean water?")["answer"].startswith("Boil")
