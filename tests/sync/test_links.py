"""When the log goes, and over which link: nothing idle, a link used as soon as it comes, the site's bounds kept."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import datetime

import pytest
from jeepney import MatchRule, MessageType, message_bus, new_error, new_method_return
from jeepney.io.blocking import open_dbus_connection

from appliance.errors import SyncError
from appliance.hub.ingest import Hub
from appliance.sync.background import LONGEST_PAUSE_S, pause
from appliance.sync.budget import Budget
from appliance.sync.client import sync_over_http, sync_state
from appliance.sync.links import QUIET, STOPPED, LinkWatch, routes
from appliance.sync.metered import metered
from appliance.sync.terms import OVERHEAD, Terms, is_quiet
from tests.support.site import ROOT, free_port, serving
from tests.sync.parts import joined, stored

WATCHED = """
import subprocess, tempfile, time
from pathlib import Path
from appliance.config import SyncConfig
from appliance.hub.ingest import Hub
from appliance.sync.background import Background
from appliance.sync.client import sync_state
from tests.support.site import free_port, serving
from tests.sync.parts import joined

with tempfile.TemporaryDirectory() as scratch, Hub.open(Path(scratch) / "hub") as hub:
    box = joined(Path(scratch) / "box", hub, url="http://127.0.0.1:8470")
    box.write("chat", {"q": 1})
    with Background(box.home, SyncConfig(), box.write, every_s=100.0):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with serving("fieldpost-hub", "--data", hub.folder, port=8470):
            began = time.monotonic()
            subprocess.run(["ip", "route", "add", "10.9.0.0/16", "dev", "lo"], check=True)
            while sync_state(box.home).pending and time.monotonic() - began < 60:
                time.sleep(0.1)
            print("pending", sync_state(box.home).pending)
"""


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")
def test_a_link_that_comes_is_used_at_once_and_not_at_the_next_look():
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", WATCHED], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.stdout.strip() == "pending 0", done.stderr


def test_a_watch_waits_and_is_woken():
    watch = LinkWatch()
    assert watch.wait(0.01) == QUIET
    threading.Timer(0.05, watch.stop).start()
    assert watch.wait(60) == STOPPED
    watch.close()


def test_routes_are_told_apart_by_where_they_lead_and_not_by_how_often(tmp_path):
    head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    line = "wlan0\t00000000\t0101A8C0\t0003\t{used}\t{used}\t600\t00000000\t0\t0\t0\n"
    (tmp_path / "route").write_text(head + line.format(used=0))
    one = routes(tmp_path)
    (tmp_path / "route").write_text(head + line.format(used=7))
    assert routes(tmp_path) == one == {("wlan0", "00000000", "0101A8C0", "00000000")}
    zeros = "0" * 32
    gate = "fe80" + "0" * 27 + "1"
    (tmp_path / "ipv6_route").write_text(f"{zeros} 00 {zeros} 00 {gate} 00000400 00000001 00000000 00000003 eth0\n")
    assert routes(tmp_path) - one == {("eth0", zeros, gate, "00")}
    assert routes(tmp_path / "nothing") == frozenset()


@pytest.mark.parametrize(
    ("hours", "time", "quiet"),
    [
        ("", "12:00", False),
        ("07:00-18:30", "06:59", False),
        ("07:00-18:30", "07:00", True),
        ("07:00-18:30", "18:29", True),
        ("07:00-18:30", "18:30", False),
        ("22:00-05:00", "23:00", True),
        ("22:00-05:00", "04:59", True),
        ("22:00-05:00", "05:00", False),
    ],
)
def test_quiet_hours(hours, time, quiet):
    assert is_quiet(hours, datetime.fromisoformat(f"2026-11-24T{time}")) is quiet
    assert not is_quiet(hours, datetime.fromisoformat(f"1970-01-01T{time}")), "a clock that is wrong silences nobody"


def test_a_safety_event_goes_whatever_the_terms():
    for terms in (Terms(quiet=True, left=0), Terms(quiet=False, left=0), Terms(quiet=True, left=10**9)):
        assert terms.allow("safety", 60_000)
        assert not terms.allow("chat", 1)
    assert Terms(quiet=False, left=OVERHEAD + 10).allow("chat", 10)
    assert not Terms(quiet=False, left=OVERHEAD + 10).allow("chat", 11)


def test_a_budget_outlives_a_restart_and_begins_anew_each_day(tmp_path):
    day = 0

    def made(daily):
        return Budget(tmp_path / "spent.json", daily, now=lambda: day * 86_400 + 100)

    made(100).spend(30)
    made(100).spend(50)
    assert made(100).left() == 20
    made(100).spend(50)
    assert made(100).left() == 0
    assert made(0).left() > 10**15
    day = 1
    assert made(100).left() == 100
    (tmp_path / "spent.json").write_text("damaged")
    assert made(100).left() == 100


def test_pauses_grow_to_an_hour_and_never_end():
    assert pause(60, 0) == 0
    for failures in (1, 3, 10, 1000, 10**6):
        longest = min(LONGEST_PAUSE_S, 60 * 2.0 ** min(failures, 20))
        drawn = [pause(60, failures) for _ in range(300)]
        assert max(drawn) <= longest
        assert max(drawn) > longest / 2, "all of the range is used"
        assert min(drawn) < longest / 2


def test_in_quiet_hours_the_safety_event_goes_and_all_else_waits_without_a_byte(tmp_path):
    port = free_port()
    with Hub.open(tmp_path / "hub") as hub:
        box = joined(tmp_path / "box", hub, url=f"http://127.0.0.1:{port}")
        spent = []
        with serving("fieldpost-hub", "--data", hub.folder, port=port):
            box.write("chat", {"q": 1})
            sync_over_http(box.home)
            box.write("chat", {"q": 2})
            box.write("safety", {"event": "fire"})
            report = sync_over_http(box.home, allow=Terms(quiet=True, left=0).allow, spend=spent.append)
        assert (report.sent, report.waiting, len(spent)) == (1, 1, 1)
        assert len(stored(hub, box, "safety")) == 1
        # Nobody listens any more: one request would be an error.
        assert sync_over_http(box.home, allow=Terms(quiet=True, left=0).allow).sent == 0
        with pytest.raises(SyncError):
            sync_over_http(box.home)
        assert sync_state(box.home).pending == 1


@contextmanager
def network_manager(folder, monkeypatch, value):
    """A real message bus, and on it a service that answers as NetworkManager does, whose Metered is ``value``."""
    address = f"unix:path={folder}/bus"
    bus = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address", f"--address={address}"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    bus.stdout.readline()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    service = open_dbus_connection(bus="SYSTEM")
    service.send_and_get_reply(message_bus.RequestName("org.freedesktop.NetworkManager"))

    def answer():
        asked = MatchRule(type=MessageType.method_call)
        while True:
            try:
                message = service.receive()
            except (OSError, EOFError):
                return
            if asked.matches(message):
                known = message.body == ("org.freedesktop.NetworkManager", "Metered")
                reply = (
                    new_method_return(message, "v", (("u", value),)) if known else new_error(message, "org.x.Unknown")
                )
                service.send(reply)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield
    finally:
        bus.terminate()
        bus.wait(10)
        bus.stdout.close()
        thread.join(10)
        service.close()


@pytest.mark.parametrize(("value", "paid"), [(0, False), (1, True), (2, False), (3, True), (4, False)])
def test_networkmanager_says_who_pays_by_the_byte(tmp_path, monkeypatch, value, paid):
    with network_manager(tmp_path, monkeypatch, value):
        assert metered() is paid


def test_without_networkmanager_no_link_counts_as_paid_for(tmp_path, monkeypatch):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    assert metered() is False
