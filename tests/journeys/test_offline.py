"""Offline is absolute: in a network namespace with no route, the box works, looks no name up and connects nowhere."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.journeys.demo import ENGLISH
from tests.journeys.offline_box import STRACE
from tests.support.site import BIN, ROOT

pytestmark = pytest.mark.needs_root

# Any address but loopback, and port 53 on any: a resolver on loopback would carry the question on.
OUTWARD = re.compile(r'sin_addr=inet_addr\("(?!127\.)[^"]+"\)|inet_pton\(AF_INET6, "(?!::1")[^"]+"|htons\(53\)')


def in_namespace(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run in a namespace whose only interface is loopback, brought up for the page's own address."""
    script = 'ip link set lo up && exec "$@"'
    words = ["unshare", "-n", "bash", "-c", script, "bash", *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT)


def outward(trace: Path) -> list[str]:
    return [line for line in trace.read_text().splitlines() if OUTWARD.search(line)]


def test_the_trace_would_show_a_name_look_up(tmp_path):
    trace = tmp_path / "trace"
    in_namespace(*STRACE, trace, BIN / "python", "-c", "import socket; socket.getaddrinfo('example.org', 80)")
    assert outward(trace), "the proof below proves nothing if a look-up leaves no trace"


def test_ask_works_and_looks_nothing_up(demo_site, tmp_path):
    trace = tmp_path / "trace"
    done = in_namespace(*STRACE, trace, BIN / "fieldpost", "ask", ENGLISH, "--home", demo_site.home)
    assert done.returncode == 0, done.stderr
    assert "safe-water.md" in done.stdout
    assert outward(trace) == []


def test_serve_works_and_looks_nothing_up(demo_site, tmp_path):
    trace = tmp_path / "trace"
    done = in_namespace(BIN / "python", "-m", "tests.journeys.offline_box", demo_site.home, trace)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.split() == ["done", "done"]
    assert outward(trace) == []
