"""``fieldpost log`` as a technician types it."""

import csv
import json
import stat

import pytest
from click.testing import CliRunner

from appliance.cli import main
from appliance.config import Home
from appliance.log.store import Log
from appliance.sync.identity import load_or_make_identity


@pytest.fixture
def home(tmp_path):
    place = Home(root=tmp_path)
    with Log.open(place.log, load_or_make_identity(place).box) as log:
        log.append("chat", {"id": "aa", "question": "Homa ni nini?", "answer": "=HYPERLINK(1)", "cited": [1]})
        log.append("chat", {"id": "bb", "question": 'Amina said "fever"\nand left'})
        log.append("feedback", {"exchange": "bb", "text": "AMINA again"})
        log.append("metric", {"event": "failed"})
    return tmp_path


def run(home, *words, code=0):
    result = CliRunner().invoke(main, ["log", *words, "--home", str(home)])
    assert result.exit_code == code, result.output
    return result


def test_show_tells_the_newest_of_each_stream(home):
    lines = run(home, "show", "--last", "1").output.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["metric 1", "feedback 1", "chat 2"]
    assert "Homa" not in "".join(lines)


def test_show_finds_text_whatever_its_case_and_signs(home):
    for wanted in ("amina", 'said "FEVER"\nand'):
        found = [json.loads(line) for line in run(home, "show", "--containing", wanted, "--json").output.splitlines()]
        assert ("chat", 2) in [(one["stream"], one["seq"]) for one in found]
        assert not any("Homa" in json.dumps(one) for one in found)


def test_export_as_lines_of_json(home, tmp_path):
    out = tmp_path / "log.jsonl"
    assert "4 records" in run(home, "export", "--out", str(out)).output
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(r["stream"], r["seq"]) for r in records] == [("metric", 1), ("feedback", 1), ("chat", 1), ("chat", 2)]
    assert records[3]["body"]["question"] == 'Amina said "fever"\nand left'
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_export_as_a_table_no_cell_of_which_a_spreadsheet_runs(home, tmp_path):
    out = tmp_path / "log.csv"
    run(home, "export", "--stream", "chat", "--out", str(out))
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["question"] for row in rows] == ["Homa ni nini?", 'Amina said "fever"\nand left']
    assert rows[0]["answer"] == "'=HYPERLINK(1)"
    assert json.loads(rows[0]["body"]) == {"cited": [1]}


def test_export_refuses_an_ending_it_does_not_know(home, tmp_path):
    result = run(home, "export", "--out", str(tmp_path / "log.xml"), code=2)
    assert ".jsonl or .csv is needed" in result.output


def test_erase_takes_everything_that_holds_the_text(home):
    assert "2 records erased" in run(home, "erase", "--containing", "amina", "--yes").output
    shown = run(home, "show").output
    assert "chat 2  (erased)" in shown
    assert "feedback 1  (erased)" in shown
    assert "Homa ni nini?" in shown
    assert "log is whole" in run(home, "verify").output


def test_erase_by_id_takes_the_exchange_and_what_was_said_of_it(home):
    assert "2 records erased" in run(home, "erase", "--id", "bb", "--yes").output


def test_erase_asks_first_and_nothing_is_gone_without_a_yes(home):
    result = CliRunner().invoke(main, ["log", "erase", "--id", "aa", "--home", str(home)], input="n\n")
    assert "Homa ni nini?" in result.output
    assert result.exit_code == 1
    assert "(erased)" not in run(home, "show").output


def test_erase_without_a_match_says_so(home):
    assert "Nothing was erased" in run(home, "erase", "--containing", "nobody", "--yes", code=1).stderr


@pytest.mark.parametrize("words", [[], ["--id", "aa", "--containing", "x"]])
def test_erase_wants_one_way_to_name_what(home, words):
    run(home, "erase", *words, code=2)
