"""A record is dated by an interval that holds, whatever the clock of its box says."""

import json
import random
import sys
import time
from datetime import datetime

from click.testing import CliRunner

from appliance.hub.cli import main
from appliance.hub.dating import Stamp, date
from tests.support.site import ROOT, run

HOUR, DAY = 3_600_000, 86_400_000
NOW = 1_795_000_000_000

WRITES = """
import sys, time
from pathlib import Path
from appliance.config import Home
from appliance.log.store import Log
from appliance.sync.identity import load_or_make_identity

home = Home(root=Path(sys.argv[1]))
with Log.open(home.log, load_or_make_identity(home).box) as log:
    log.append("chat", {"q": "before", "year": time.gmtime().tm_year})
    log.append("audit", {"v": 1, "event": "contact", "hub_time_ms": int(sys.argv[2])})
    log.append("chat", {"q": "after"})
"""


def life(rng):
    """The stamps of a box that is switched on and off for weeks, with the true time of each record."""
    stamps, truth, waiting = [], {}, []
    seqs = {"chat": 0, "audit": 0}
    at = NOW
    for boot in range(1, rng.randrange(2, 8)):
        at += rng.randrange(1, 5 * DAY)
        began, rate, mono = at, 1 + rng.uniform(-150e-6, 150e-6), rng.randrange(0, HOUR)
        online = rng.random() < 0.6
        for _ in range(rng.randrange(1, 12)):
            at += rng.randrange(1, 9 * HOUR)
            told = online and rng.random() < 0.3
            stream = "audit" if told else "chat"
            seqs[stream] += 1
            hub_time = at - rng.randrange(0, 5000) if told else None
            truth[stream, seqs[stream]] = at
            waiting.append((stream, seqs[stream], boot, mono + round((at - began) * rate), hub_time))
            if online and rng.random() < 0.5:
                at += rng.randrange(0, 60_000)
                stamps += [_stamp(one, at) for one in waiting]
                waiting = []
    return stamps + [_stamp(one, at + rng.randrange(DAY)) for one in waiting], truth


def _stamp(one, received):
    stream, seq, boot, mono, told = one
    return Stamp(stream=stream, seq=seq, boot=boot, mono_ms=mono, received_ms=received, told_ms=told)


def test_the_truth_is_always_within():
    bounded = 0
    for seed in range(300):
        stamps, truth = life(random.Random(seed))
        for place, made in date(stamps).items():
            assert (made.first_ms is None or made.first_ms <= truth[place]) and truth[place] <= made.last_ms, (
                seed,
                place,
            )
            bounded += made.first_ms is not None
    assert bounded > 1000, "most are bounded from both sides"


def stamp(stream, seq, boot, mono, received, told=None):
    return _stamp((stream, seq, boot, mono, told), received)


def test_one_contact_dates_the_whole_start_to_the_second():
    made = date([
        stamp("chat", 1, 1, 1_000, NOW + 10_000),
        stamp("audit", 1, 1, 61_000, NOW + 10_000, told=NOW),
        stamp("chat", 2, 1, 66_000, NOW + 3 * DAY),
    ])  # fmt: skip
    assert NOW - 60_100 <= made["chat", 1].first_ms <= NOW - 60_000
    assert made["chat", 1].last_ms <= NOW - 49_900
    assert made["chat", 2].first_ms >= NOW + 4_990
    assert made["chat", 2].last_ms <= NOW + 15_100, "though it came three days later"


def test_a_start_without_a_contact_lies_between_its_neighbours_and_says_no_more():
    made = date([
        stamp("audit", 1, 1, 0, NOW + 1_000, told=NOW),
        stamp("chat", 1, 1, 10_000, NOW + 9 * DAY),
        stamp("chat", 2, 2, 5_000, NOW + 9 * DAY),
        stamp("chat", 3, 3, 5_000, NOW + 9 * DAY),
        stamp("audit", 2, 3, 6_000, NOW + 9 * DAY, told=NOW + 5 * DAY),
    ])  # fmt: skip
    assert made["chat", 2].first_ms >= NOW + 9_990
    assert made["chat", 3].first_ms >= NOW + 5 * DAY - 2_000
    lonely = date([stamp("chat", 1, 1, 5, NOW)])["chat", 1]
    assert (lonely.first_ms, lonely.last_ms) == (None, NOW)


def test_a_box_that_always_starts_in_1970(hub, box, tmp_path):
    """The box's process really lives in 1970; only the hub knows better."""
    began = round(time.time() * 1000)
    env = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    run("faketime", "1970-01-01 00:05:00", sys.executable, "-c", WRITES, box.home.root, str(began), env=env)
    written = round(time.time() * 1000)
    for sealed in box.sealed():
        hub.ingest(sealed.path.read_bytes())
    out = tmp_path / "out.jsonl"
    done = CliRunner().invoke(main, ["export", "--out", str(out), "--stream", "chat", "--data", str(hub.folder)])
    assert done.exit_code == 0, done.output
    assert out.stat().st_mode & 0o777 == 0o600
    before, after = (json.loads(line) for line in out.read_text().splitlines())
    assert before["body"] == {"q": "before", "year": 1970}
    assert before["box_clock"].startswith("1970-01-01")
    for one in (before, after):
        first, last = (datetime.fromisoformat(one[name]).timestamp() * 1000 for name in ("made_from", "made_until"))
        assert began - 60_000 <= first <= written
        assert began - 1000 <= last <= time.time() * 1000 + 1000
        assert first <= last
