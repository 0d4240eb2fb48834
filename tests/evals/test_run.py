"""Tests of ``fieldpost eval`` on a box with the demo bundle, and of what a set's questions say about a box."""

import json

from appliance.box import open_box
from appliance.config import Home
from appliance.evals.run import evaluate
from appliance.questions import Expected
from tests.support.site import run


def digest_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()} if folder.exists() else {}


def test_the_command_reports_each_language_and_question_compares_records_and_checks(demo_site, tmp_path):
    before = digest_of(demo_site.home / "data")
    least = tmp_path / "least.json"
    limit = ("--limit", "6")
    done = run("fieldpost", "eval", "--home", demo_site.home, "--set", "questions", "--json", "--record", least, *limit)
    report = json.loads(done.stdout)
    assert report["set"] == "questions" and report["release"]["name"] == "demo" and report["adapter"] is None
    assert len(report["questions"]) == 6
    assert set(report["languages"]) == {q["lang"] for q in report["questions"]}
    for figures in report["languages"].values():
        assert all(f["low"] <= f["value"] <= f["high"] and f["n"] > 0 for f in figures.values())
    assert report["languages"]["sw"]["numbers_kept"]["n"] > 0
    assert report["speed"]["tokens_per_s"] > 0 and report["speed"]["peak_rss_mb"] > 20
    assert digest_of(demo_site.home / "data") == before, "an evaluation leaves no trace on the box"

    done = run("fieldpost", "eval", "--home", demo_site.home, "--thresholds", least, "--json")
    checked = json.loads(done.stdout)
    assert checked["below"] == [] and checked["set"] == "questions" and len(checked["questions"]) == 6
    missing = run("fieldpost", "eval", "--home", demo_site.home, "--thresholds", tmp_path / "none.json", check=False)
    assert missing.returncode == 2 and "none.json" in missing.stderr

    # Every question turned over, and a bar out of reach: both must be told.
    earlier = {**report, "questions": [{**q, "right": not q["right"]} for q in report["questions"]]}
    (tmp_path / "earlier.json").write_text(json.dumps(earlier))
    high = json.loads(least.read_text())
    high["least"]["en"]["right"] = 1.1
    least.write_text(json.dumps(high))
    done = run("fieldpost", "eval", "--home", demo_site.home, "--thresholds", least, "--baseline",
               tmp_path / "earlier.json", check=False)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("needed") == 1 and "en right" in done.stderr
    flipped = len(report["questions"])
    assert sum(line.count(",") + 1 for line in done.stdout.splitlines() if line.startswith("  Now ")) == flipped


def test_a_set_or_an_adapter_that_is_not_there_is_named(demo_site):
    for option, has in (("--set", "It has: questions"), ("--adapter", "It has: steps")):
        done = run("fieldpost", "eval", "--home", demo_site.home, option, "exam", check=False)
        assert done.returncode == 1 and "'exam'" in done.stderr and has in done.stderr


def test_wrong_expectations_score_low_and_right_ones_high(demo_site):
    def asked(id_, **values):
        blank = {"document": "", "answers": (), "translation": "", "answer_translation": ""}
        return Expected(id=id_, question="For how long must the water boil?", lang="en", **{**blank, **values})

    rolling = "Bring the water to a rolling boil for 1 minute."
    questions = [
        asked("right", answerable=True, document="safe-water.md", answers=(rolling,)),
        asked("other-place", answerable=True, document="handwashing.md", answers=(rolling,)),
        asked("other-answer", answerable=True, document="safe-water.md", answers=("Let it cool for 9 hours.",)),
        asked("should-abstain", answerable=False),
    ]
    with open_box(Home(root=demo_site.home), recorded=False) as box:
        report = evaluate(box, "questions", questions)
    told = {q["id"]: q for q in report["questions"]}
    assert {id_: q["right"] for id_, q in told.items()} == {
        "right": True, "other-place": True, "other-answer": False, "should-abstain": False,
    }  # fmt: skip
    assert told["right"]["rank"] == 1 and told["other-place"]["rank"] != 1
    figures = report["languages"]["en"]
    assert figures["abstention_recall"]["value"] == 0
    assert figures["citation_precision"]["value"] < 1
