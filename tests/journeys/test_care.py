"""A technician's care for a box with the real commands: doctor sees what is wrong, backup and restore bring it home."""

import json
import re
import shutil
import sqlite3

import pyrage
import pytest

from tests.support.site import Site, installed_demo, installer, run


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = installed_demo(tmp_path_factory.mktemp("care"))
    made.ask("For how long must the water boil?")
    return made


@pytest.fixture
def copy(site, tmp_path):
    """The box alone, to be damaged."""
    shutil.copytree(site.home, tmp_path / "home", symlinks=True)
    return Site(folder=tmp_path)


def doctor(site, *options):
    done = run("fieldpost", "doctor", "--home", site.home, "--json", *options, check=False)
    found = {finding["part"]: finding for finding in json.loads(done.stdout)}
    return done.returncode, found


def test_a_sound_box_needs_nobody(site):
    code, found = doctor(site)
    assert {finding["state"] for finding in found.values()} == {"ok", "note"}, found
    assert code == 0
    assert found["Hub"]["state"] == "note", "the demo's box belongs to no hub"
    assert re.search(r"wrote [1-8] tokens", found["Answers"]["found"])
    assert found["Log"]["found"].startswith("All ")


def test_doctor_leaves_no_trace_in_the_log(site):
    before = run("fieldpost", "log", "verify", "--home", site.home).stdout
    doctor(site)
    assert run("fieldpost", "log", "verify", "--home", site.home).stdout == before


def test_a_rotten_file_of_the_bundle_is_named(copy):
    glossary = next((copy.home / "current").resolve().rglob("*.csv"))
    glossary.chmod(0o644)
    sound = glossary.read_bytes()
    glossary.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    code, found = doctor(copy, "--without-model")
    assert code == 1
    assert found["Bundle"]["state"] == "problem"
    assert glossary.name in found["Bundle"]["found"]


def test_files_open_to_others_are_closed_unless_asked_only_to_look(copy):
    log = copy.home / "data" / "log.sqlite"
    log.chmod(0o644)
    code, found = doctor(copy, "--without-model", "--look-only")
    assert (code, found["Private"]["state"]) == (1, "problem")
    assert log.stat().st_mode & 0o777 == 0o644
    code, found = doctor(copy, "--without-model")
    assert (code, found["Private"]["state"]) == (0, "mended")
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_changed_record_is_told(copy):
    with sqlite3.connect(copy.home / "data" / "log.sqlite") as database:
        database.execute("UPDATE log SET body = CAST('{}' AS BLOB) WHERE stream = 'chat' AND seq = 1")
    database.close()
    code, found = doctor(copy, "--without-model")
    assert (code, found["Log"]["state"]) == (1, "problem")
    assert "chat" in found["Log"]["found"]


def test_a_lost_memory_of_whom_the_box_trusts_is_told(copy):
    (copy.home / "state.json").unlink()
    code, found = doctor(copy, "--without-model")
    assert (code, found["Trust"]["state"]) == (1, "problem")


def test_every_check_is_made_when_one_fails(copy):
    (copy.home / "config.toml").write_text("[engine]\nslot = 1\n")
    code, found = doctor(copy, "--without-model")
    assert (code, found["Settings"]["state"]) == (1, "problem")
    assert found["Documents"]["state"] == "ok"


def test_people_read_one_line_a_finding(site):
    words = run("fieldpost", "doctor", "--home", site.home, "--without-model").stdout
    assert "ok       Bundle     " in words
    assert words.rstrip().endswith("Nothing here needs a person.")


def test_a_box_moves_to_another_machine(site, tmp_path):
    key = pyrage.x25519.Identity.generate()
    (tmp_path / "recovery-key.txt").write_text(str(key))
    stick = tmp_path / "stick"
    stick.mkdir()
    run("fieldpost", "backup", "--to", stick, "--recipient", key.to_public(), "--home", site.home)

    other = tmp_path / "other"
    installer("install", "--from", site.stick, "--home", other, "--fingerprint", site.fingerprint())
    words = ("--from", stick, "--key", tmp_path / "recovery-key.txt", "--home", other)
    run("fieldpost", "restore", *words)
    answer = run("fieldpost", "ask", "For how long must the water boil?", "--home", other, "--json")
    assert json.loads(answer.stdout)["answer"]
    again = run("fieldpost", "restore", *words, check=False)
    assert again.returncode == 1
    assert "holds the data of a box already" in again.stderr
