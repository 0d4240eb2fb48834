"""Habits that no linter knows: file sizes, the lock, and documentation that names what exists."""

import argparse
import ast
import re
import shlex
import subprocess

import click
import pytest

from appliance.cli import main as fieldpost
from appliance.hub.cli import main as fieldpost_hub
from bundles.cli import main as fieldpost_bundle
from bundles.start_here import start_here
from installer.cli import command_line
from tests.support.site import ROOT

COMMANDS = {"fieldpost": fieldpost, "fieldpost-hub": fieldpost_hub, "fieldpost-bundle": fieldpost_bundle}
CHAPTERS = ["README.md", "appliance/README.md", "bundles/README.md", "installer/README.md"]


def tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split() if (ROOT / name).exists()]  # not what is being deleted


def test_no_source_file_is_much_over_400_lines():
    files = tracked("*.py")
    assert len(files) > 50
    assert {f: n for f in files if (n := len((ROOT / f).read_text().splitlines())) > 420} == {}


def test_no_link_is_in_the_repository():
    # A link leads out of a checkout; one called .venv once took the place of the environment of whoever pulled it.
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    links = [line.split("\t")[1] for line in listed.splitlines() if line.startswith("120000")]
    assert links == [], "git rm --cached them"


def test_every_module_says_what_it_is_for():
    silent = [f for f in tracked("appliance/*.py", "bundles/*.py", "installer/*.py") if not _docstring(f)]
    assert silent == []


def _docstring(name: str) -> str | None:
    return ast.get_docstring(ast.parse((ROOT / name).read_text()))


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


@pytest.mark.parametrize("chapter", [*CHAPTERS, "bundles/CONTRIBUTE.md"])
def test_commands_in_the_documentation_exist_with_their_options(chapter):
    used = 0
    for line in _code_lines(chapter):
        if line.split(" ")[0] in COMMANDS:
            _check_usage(line)
            used += 1
        elif called := INSTALLER_CALL.match(line):
            _check_installer_usage(called["rest"], line)
            used += 1
    assert used, f"{chapter} shows no command"


INSTALLER_CALL = re.compile(r"(?:sudo )?python3 (?:-I )?\S*installer\.pyz(?P<rest>.*)")


def _code_lines(chapter: str) -> list[str]:
    """Lines of a chapter's blocks for a terminal; blocks in a list are indented."""
    language, lines = None, []
    for line in (ROOT / chapter).read_text().replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("```"):
            language = line.strip().removeprefix("```") if language is None else None
        elif language in ("", "sh", "console", "text"):
            lines.append(line.strip().removeprefix("$ "))
    return lines


def _check_installer_usage(rest: str, line: str) -> None:
    """Parsed by the installer itself: a missing option is as wrong as an unknown one."""
    try:
        command_line().parse_args(shlex.split(rest, comments=True))
    except SystemExit as ended:
        assert ended.code == 0, line


def test_every_chapter_that_installs_is_checked():
    shown = {chapter for chapter in CHAPTERS if any(INSTALLER_CALL.match(line) for line in _code_lines(chapter))}
    assert shown >= {"README.md", "bundles/README.md", "installer/README.md"}


def test_the_installer_teaches_by_example():
    parser = command_line()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {name: child.format_help() for name, child in commands.choices.items()}
    assert helps.keys() >= {"install", "status"}
    helps[""] = parser.format_help()
    for name, text in helps.items():
        shown = [called["rest"] for line in text.splitlines() if (called := INSTALLER_CALL.match(line.strip()))]
        assert any(rest.startswith(f" {name}") for rest in shown), f"installer.pyz {name} --help shows no example"
        for rest in shown:
            _check_installer_usage(rest, rest)


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


def test_the_words_on_the_stick_name_commands_that_exist():
    text = start_here(title="Demo", name="demo", version="1", languages=("en", "sw")).decode()
    called = [found for line in text.splitlines() if (found := INSTALLER_CALL.match(line.strip()))]
    assert [c[0].split(" ")[1] for c in called] == ["installer.pyz", "~/fieldpost/installer.pyz"] * 2
    for call in called:
        _check_installer_usage(call["rest"], call[0])
