"""The command as a person and as a script meets it: words, exit codes, JSON, and a passphrase that is never shown."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bundles.cli import main
from bundles.format.digest import root_fingerprint
from bundles.stick import write_stick
from tests.support.bundle_factory import PASSPHRASE, Keys, make_bundle, make_keys, part
from tests.support.gguf import gguf, lora

COMMAND = [sys.executable, "-m", "bundles.cli"]
RECIPE = """
[bundle]
name = "tiny"
version = "1.0.0"
publisher = "relief"
title = "Tiny"
languages = ["fr"]
[[model]]
name = "answers"
version = "1"
licence = "MIT"
file = "answers.gguf"
[[adapter]]
name = "steps"
version = "1"
licence = "MIT"
base = "answers"
file = "steps.gguf"
"""


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "answers.gguf").write_bytes(gguf())
    (tmp_path / "steps.gguf").write_bytes(lora())
    (tmp_path / "installer.pyz").write_bytes(b"#!/usr/bin/env python3\n")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path / "recipe.toml"


def call(*words: str | Path, passphrase: str | None = PASSPHRASE) -> Result:
    return CliRunner(env={"FIELDPOST_PASSPHRASE": passphrase}).invoke(main, [str(word) for word in words])


def good(*words: str | Path) -> str:
    result = call(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def bad(*words: str | Path, passphrase: str | None = PASSPHRASE) -> str:
    result = call(*words, passphrase=passphrase)
    assert result.exit_code == 1 and result.stdout == "", result.output
    return result.stderr


def test_the_whole_way(tmp_path: Path, recipe: Path, keys: Keys) -> None:
    out, stick = tmp_path / "out", tmp_path / "stick"
    stick.mkdir()
    build = ("build", recipe, "--out", out, "--keys", keys.folder, "--installer", tmp_path / "installer.pyz")
    assert "fieldpost-bundle lock" in bad(*build)
    assert "2 files" in good("lock", recipe)
    built = call(*build, "--date", "2026-11-24")
    assert built.exit_code == 0 and keys.fingerprint in built.stdout
    assert "Warning: model/answers is under MIT, which wants its text to travel along" in built.stderr
    assert good("inspect", out).startswith("Not verified") and keys.fingerprint in good("inspect", out)
    assert "models/relief/answers-1" in good("verify", out, "--trust", keys.root)
    receipt = json.loads(good("stick", out, "--out", stick, "--json"))
    assert receipt["fingerprint"] == keys.fingerprint and receipt["bundle"] == "tiny"
    assert "all read back" in good("stick", out, "--out", stick)


def test_a_recipe_in_the_working_folder(
    tmp_path: Path, recipe: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good("lock", recipe.name)
    good("build", recipe.name, "--out", "out", "--keys", "keys", "--installer", "installer.pyz")
    assert "so it is no bundle" in bad("build", recipe.name, "--out", ".", "--keys", "keys")
    good("verify", "out", "--trust", "keys/1.root.json")


def test_json_for_scripts(tmp_path: Path, recipe: Path, keys: Keys) -> None:
    out = tmp_path / "out"
    assert len(json.loads(good("lock", recipe, "--json"))["files"]) == 2
    built = json.loads(
        good("build", recipe, "--out", out, "--keys", keys.folder, "--installer", tmp_path / "installer.pyz", "--json")
    )
    assert (built["folder"], built["metadata_version"]) == (str(out), 1)
    facts = json.loads(good("inspect", out, "--json"))
    assert facts["verified"] is False and facts["fingerprint"] == keys.fingerprint
    assert [c["name"] for c in facts["components"]] == ["answers", "steps"]
    checked = json.loads(good("verify", out, "--trust", keys.root, "--json"))
    paper = root_fingerprint(keys.root.read_bytes())
    assert json.loads(good("verify", out, "--fingerprint", paper, "--json")) == checked
    assert "was expected" in bad("verify", out, "--fingerprint", paper[:-1] + "x")
    assert checked["verified"] is True and "index.json" in checked["paths"]


def test_source_date_epoch_makes_builds_repeatable(
    tmp_path: Path, recipe: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795478400")
    good("lock", recipe)
    for name in ("one", "two"):
        good(
            "build", recipe, "--out", tmp_path / name, "--keys", keys.folder, "--installer", tmp_path / "installer.pyz"
        )
    diff = subprocess.run(["diff", "-r", tmp_path / "one", tmp_path / "two"], capture_output=True, check=False)
    assert (diff.returncode, diff.stdout) == (0, b"")
    assert json.loads(good("inspect", tmp_path / "one", "--json"))["expires"].startswith("2036-")


def test_verify_names_the_bad_file(tmp_path: Path, keys: Keys) -> None:
    bundle = make_bundle(tmp_path / "bundle", keys)
    path = bundle / "install.sh"
    path.write_bytes(path.read_bytes() + b"rm -rf /\n")
    assert "install.sh is damaged" in bad("verify", bundle, "--trust", keys.root)
    other = make_keys(tmp_path / "other")
    assert other.fingerprint in bad("verify", bundle, "--trust", other.root)


def test_a_wrong_passphrase_and_a_wrong_date_are_said(tmp_path: Path, recipe: Path, keys: Keys) -> None:
    good("lock", recipe)
    build = ("build", recipe, "--out", tmp_path / "out", "--keys", keys.folder)
    assert "does not open with this passphrase" in bad(*build, passphrase="not this one")
    assert "is no date" in bad(*build, "--date", "tomorrow")
    assert "nobody is there to ask" in bad(*build, passphrase=None)
    assert not (tmp_path / "out").exists()


def test_a_passphrase_file_is_only_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("a good long sentence\n")
    words = ("root", "init", "--out", tmp_path / "keys", "--passphrase-file", file)
    file.chmod(0o644)
    assert "chmod 600" in bad(*words)
    file.chmod(0o600)
    assert re.search(r"SHA256:[A-Za-z0-9+/]{43}\n", good(*words))
    assert "never overwritten" in bad(*words)
    file.write_text("\n")
    assert "is empty" in bad("root", "init", "--out", tmp_path / "more", "--passphrase-file", file)
    assert "cannot be read" in bad("root", "init", "--out", tmp_path / "more", "--passphrase-file", tmp_path / "none")
    assert "At least 8" in bad("root", "init", "--out", tmp_path / "more", passphrase="short")
    assert not (tmp_path / "more").exists()


def test_a_person_types_each_passphrase_twice_and_sees_none(tmp_path: Path) -> None:
    """On a real terminal of its own, where an echo would show."""
    answers = iter(["root sentence", "root sentence", "another one", "mistyped one", "another one", "another one"])
    child, terminal = pty.fork()
    if child == 0:
        environment = {k: v for k, v in os.environ.items() if k != "FIELDPOST_PASSPHRASE"}
        os.execve(sys.executable, [*COMMAND, "root", "init", "--out", str(tmp_path / "keys")], environment)
    shown = b""
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            more = os.read(terminal, 1024)
            shown += more
            if more.endswith(b": ") and (answer := next(answers, None)) is not None:
                os.write(terminal, answer.encode() + b"\n")
    except OSError:
        pass  # the other end closed: the command has ended
    finally:
        os.close(terminal)
    _, status = os.waitpid(child, 0)
    text = shown.decode()
    assert status == 0, text
    assert "do not match" in text and "Root fingerprint:  SHA256:" in text
    assert "sentence" not in text and "another one" not in text
    assert next(answers, None) is None


@pytest.mark.parametrize(
    "words", [[], ["root"], ["root", "init"], ["lock"], ["build"], ["inspect"], ["verify"], ["stick"]]
)
def test_help_teaches_by_example(words: list[str]) -> None:
    text = good(*words, "--help")
    assert f"fieldpost-bundle {' '.join(words)}".strip() in text
    if words != ["root"]:
        assert text.count("fieldpost-bundle") >= 2, text


def test_what_click_refuses_has_its_own_exit_code(tmp_path: Path) -> None:
    assert call("inspect", tmp_path / "none").exit_code == 2
    assert call("fly").exit_code == 2


def test_what_a_found_stick_says_does_not_command_the_terminal(tmp_path: Path, keys: Keys) -> None:
    card = b"# Card\x1b[2J\x1b]0;owned\x07\n\nSafe \xe2\x80\xaetxet."
    title = "Guides\x1b[1A\nRoot fingerprint:  SHA256:false"
    parts = [part("docpack", "guides", {"a.md": b"# A\n", "README.md": card})]
    bundle = make_bundle(tmp_path / "bundle", keys, title=title, components=parts)
    said = good("inspect", bundle, "--cards")
    assert not {"\x1b", "\x07", "\u202e"} & set(said) and "Safe \N{REPLACEMENT CHARACTER}txet." in said
    assert [line for line in said.splitlines() if line.startswith("Root fingerprint:")] == [
        f"Root fingerprint:  {keys.fingerprint}"
    ]


def test_inspect_reads_no_more_than_a_description_may_have(tmp_path: Path, keys: Keys) -> None:
    bundle = make_bundle(tmp_path / "bundle", keys)
    for name in ("index.json", "tuf/timestamp.json"):
        whole = (bundle / name).read_bytes()
        with (bundle / name).open("wb") as huge:
            huge.truncate(1 << 40)  # a hole: read whole it would not fit into memory
        said = bad("inspect", bundle)
        assert "The bundle's index has 4194305 bytes" in said or "no readable tuf/timestamp.json" in said
        (bundle / name).write_bytes(whole)
    (bundle / "tuf/timestamp.json").write_bytes(b"[" * 200_000)
    assert "no readable tuf/timestamp.json" in bad("inspect", bundle)


def test_a_full_disk_or_a_foreign_folder_is_one_line_and_no_traceback(tmp_path: Path, keys: Keys) -> None:
    (tmp_path / "empty").mkdir()
    assert "is no whole bundle" in bad("inspect", tmp_path / "empty")
    locked_away = tmp_path / "file"
    locked_away.write_text("")
    assert "Traceback" not in bad("root", "init", "--out", locked_away / "keys")


def bare_path(folder: Path, *programs: str) -> str:
    """A PATH with nothing but the tools that install.sh needs, and ``programs``."""
    folder.mkdir()
    for name in ("sh", "dirname", *programs):
        found = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True)
        (folder / name).symlink_to(found.stdout.strip())
    return str(folder)


def test_install_sh_hands_over_to_the_installer(tmp_path: Path, keys: Keys) -> None:
    """The real script and a stand-in installer that tells what it was called with."""
    teller = b"import sys, json; print(json.dumps([sys.flags.isolated, *sys.argv[1:]]))\n"
    bundle = make_bundle(tmp_path / "bundle with space", keys, installer=teller)
    stick = tmp_path / "the stick"
    stick.mkdir()
    write_stick(bundle, stick)

    def run(*words: str, **environment: str) -> list[object]:
        script = str(stick / "install.sh")
        done = subprocess.run(
            ["sh", script, *words], capture_output=True, text=True, check=True, env=os.environ | environment, cwd="/"
        )
        return json.loads(done.stdout)

    start = [1, "install", "--from", str(stick), "--home"]
    assert run("/srv/field post") == [*start, "/srv/field post"]
    assert run("/srv/x", "--fingerprint", "SHA256:a+b/c") == [*start, "/srv/x", "--fingerprint", "SHA256:a+b/c"]
    assert run(HOME="/home/amina") == [*start, "/home/amina/fieldpost"]
    assert run("--fingerprint", "F", HOME="/home/amina") == [*start, "/home/amina/fieldpost", "--fingerprint", "F"]
    box = tmp_path / "a box"
    box.mkdir()
    (box / "installer.pyz").write_bytes(b"print('[\"the box\\'s own\"]')\n")
    assert run(str(box)) == ["the box's own"]
    without = subprocess.run(
        ["sh", str(stick / "install.sh")], capture_output=True, text=True, check=False,
        env={"PATH": bare_path(tmp_path / "bin")},
    )  # fmt: skip
    assert without.returncode == 1 and "No Python 3.11 or newer" in without.stderr
