"""bundles/README.md is tested: its recipe parses, its commands and options exist, its table knows every module."""

import re
import shlex
from pathlib import Path

import click
import pytest

from bundles.cli import main
from bundles.format.kinds import KINDS
from bundles.recipe import load_recipe

FOLDER = Path(__file__).parents[2] / "bundles"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)


def test_the_recipe_reference_is_a_recipe_with_every_kind(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    assert list(dict.fromkeys(c.kind for c in load_recipe(path).components)) == list(KINDS)


COMMANDS = [line.strip() for text in blocks("sh") for line in text.splitlines() if "fieldpost-bundle" in line]


def walk(command: click.Command, words: list[str]) -> tuple[click.Command, list[str]]:
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    return command, words


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_exists_with_its_options(line: str) -> None:
    command, words = walk(main, shlex.split(line)[1:])
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    required = {p.opts[0] for p in command.params if isinstance(p, click.Option) and p.required}
    assert required <= set(words)


def test_commands_were_found() -> None:
    assert len(COMMANDS) >= 9


def test_every_module_stands_in_the_table() -> None:
    named = set(re.findall(r"`(\w+\.py)`", README.partition("## The format")[0]))
    assert named == {path.name for path in FOLDER.glob("*.py")} - {"__init__.py"}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\[[\w./ ]+\]\(([^)#]+)\)", README):
        assert "://" in target or (FOLDER / target).exists(), target
