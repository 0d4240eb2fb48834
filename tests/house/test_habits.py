"""Habits that no linter knows: file sizes, the lock, and documentation that names what exists."""

import re
import subprocess

import click
import pytest
from appliance.hub.cli import main as fieldpost_hub
from bundles.cli import main as fieldpost_bundle

from appliance.cli import main as fieldpost
from tests.support.site import ROOT

COMMANDS = {"fieldpost": fieldpost, "fieldpost-hub": fieldpost_hub, "fieldpost-bundle": fieldpost_bundle}
CHAPTERS = ["README.md", "appliance/README.md", "bundles/README.md", "installer/README.md"]


def tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def test_no_source_file_is_much_over_400_lines():
    files = tracked("*.py")
    assert len(files) > 50
    assert {f: n for f in files if (n := len((ROOT / f).read_text().splitlines())) > 420} == {}


def test_every_module_says_what_it_is_for():
    silent = [f for f in tracked("appliance/*.py", "bundles/*.py", "installer/*.py") if not _docstring(f)]
    assert silent == []


def _docstring(name: str) -> bool:
    return (ROOT / name).read_text().lstrip().startswith('"""') or '\n"""' in (ROOT / name).read_text()[:200]


def test_the_lock_leaves_out_what_a_box_must_not_have_and_names_no_host():
    lock = (ROOT / "requirements.lock").read_text()
    assert "argostranslate==" in lock
    names = set(re.findall(r"^([a-z0-9-]+)==", lock, re.M))
    assert names & {"torch", "spacy", "stanza", "minisbd"} == set()
    assert "://" not in lock
    pinned = re.findall(r"^[a-z].*?==.*?(?=^[a-z]|\Z)", lock, re.M | re.S)
    assert all("--hash=sha256:" in entry for entry in pinned)


@pytest.mark.parametrize("program", COMMANDS)
def test_every_command_teaches_by_example(program):
    for path, command in _leaves(COMMANDS[program], program):
        text = command.get_help(click.Context(command, info_name=path))
        assert program in text.split("Usage:", 1)[1].split("\n", 1)[1], f"{path} --help shows no example"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_commands_in_the_documentation_exist_with_their_options(chapter):
    text = (ROOT / chapter).read_text()
    blocks = "\n".join(re.findall(r"```(?:sh|console|text)?\n(.*?)```", text, re.S))
    joined = blocks.replace("\\\n", " ")
    lines = [line.strip().removeprefix("$ ") for line in joined.splitlines()]
    used = [line for line in lines if line.split(" ")[0] in COMMANDS]
    for line in used:
        _check_usage(line)
    if chapter != "installer/README.md":
        assert used, f"{chapter} shows no command"


def _check_usage(line: str) -> None:
    words = line.split("  #")[0].split()
    command: click.Command = COMMANDS[words[0]]
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, line
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
    for word in rest:
        if word.startswith("--"):
            assert word.split("=")[0] in known, f"{word} in: {line}"


def _leaves(command: click.Command, path: str):
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _leaves(child, f"{path} {name}")
    else:
        yield path, command


def test_chapters_end_in_dated_decisions():
    for chapter in CHAPTERS[1:]:
        last = re.split(r"^## ", (ROOT / chapter).read_text(), flags=re.M)[-1]
        assert last.startswith("Decisions"), chapter
        assert re.search(r"20\d\d-\d\d-\d\d", last), chapter


def test_every_setting_is_in_the_reference():
    from dataclasses import fields

    from appliance.config import Config

    text = (ROOT / "appliance/README.md").read_text()
    for table in fields(Config):
        assert f"[{table.name}]" in text
        for key in fields(table.default_factory):
            assert f"`{key.name}`" in text, f"{table.name}.{key.name}"


def test_every_error_of_the_box_is_in_the_reference():
    from appliance import errors

    text = (ROOT / "appliance/README.md").read_text()
    for name in vars(errors):
        if name[0].isupper():
            assert f"`{name}`" in text, name
