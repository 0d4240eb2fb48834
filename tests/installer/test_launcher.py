"""The launcher keeps a box up: boxes that crash, hang, last, or stop when asked. The boxes are small real processes."""

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from installer.launcher import Patience, run
from installer.trial import TRIES, put_on_trial, read
from tests.support.site import ROOT

QUICK = Patience(lasting=0.2, start=5.0, silence=0.5, waits=(0.01,))
SAY = (
    "import os, socket, sys, time\n"
    "def say(words):\n"
    "    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as voice:\n"
    "        voice.sendto(words, os.environ['NOTIFY_SOCKET'])\n"
)
CRASHES = "raise SystemExit(3)\n"
ANSWERS = "say(b'READY=1')\nwhile True:\n    say(b'WATCHDOG=1')\n    time.sleep(0.05)\n"
HANGS = "say(b'READY=1')\ntime.sleep(3600)\n"
CRASHES_SOON = "say(b'READY=1')\nraise SystemExit(4)\n"


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def release(home, number, behaviour):
    """A release whose runtime's Python is a program that behaves so, and notes each start."""
    folder = home / "releases" / str(number)
    (folder / "runtime" / "bin").mkdir(parents=True)
    program = folder / "runtime" / "bin" / "python"
    note = f"open({str(home / 'starts')!r}, 'a').write('{number} ' + ' '.join(sys.argv[1:]) + '\\n')\n"
    program.write_text(f"#!{sys.executable} -ISu\n{SAY}{note}{behaviour}")
    program.chmod(0o755)
    (folder / "release.json").write_text("{}")


def use(home, number):
    (home / "current").unlink(missing_ok=True)
    (home / "current").symlink_to(f"releases/{number}")


def starts(home):
    return [line.split()[0] for line in (home / "starts").read_text().splitlines()]


def until(home, said, patience=QUICK):
    """Run the launcher until it has said this, then ask it to stop; all it said."""
    lines = []

    def tell(line):
        lines.append(line)
        if said in line:
            os.kill(os.getpid(), signal.SIGTERM)

    assert run(home, ["--port", "1"], tell=tell, patience=patience) == 0
    return lines


def test_an_update_that_crashes_is_gone_back_on_within_three_starts(home):
    release(home, 1, ANSWERS)
    release(home, 2, CRASHES)
    put_on_trial(home, 2, 1)
    use(home, 2)
    until(home, "release 1 is in use again")
    assert starts(home)[:TRIES] == ["2", "2", "2"]
    assert (home / "current").readlink().name == "1"


def test_an_update_that_answers_and_then_crashes_is_gone_back_on(home):
    release(home, 1, ANSWERS)
    release(home, 2, CRASHES_SOON)
    put_on_trial(home, 2, 1)
    use(home, 2)
    until(home, "release 1 is in use again")
    assert starts(home)[:TRIES] == ["2", "2", "2"]


def test_an_update_that_lasts_is_kept(home):
    release(home, 1, CRASHES)
    release(home, 2, ANSWERS)
    put_on_trial(home, 2, 1)
    use(home, 2)
    until(home, "has proved itself")
    assert read(home) is None
    assert starts(home) == ["2"]


def test_a_box_that_falls_silent_is_ended_and_started_again(home):
    release(home, 1, HANGS)
    use(home, 1)
    lines = until(home, "is started again")
    assert "The box gave no sign of life and is ended." in lines


def test_a_box_that_never_answers_is_ended(home):
    release(home, 1, "time.sleep(3600)\n")
    use(home, 1)
    lines = until(home, "is started again", Patience(start=0.3, waits=(0.01,)))
    assert "The box gave no sign of life and is ended." in lines


def test_without_an_update_a_crashing_box_is_started_for_ever(home):
    release(home, 1, CRASHES)
    use(home, 1)
    count = []

    def tell(line):
        count.append(line)
        if len(count) == 20:
            os.kill(os.getpid(), signal.SIGTERM)

    run(home, [], tell=tell, patience=QUICK)
    assert len(starts(home)) == 10


def test_the_options_reach_the_box(home):
    release(home, 1, CRASHES)
    use(home, 1)
    until(home, "is started again")
    first = (home / "starts").read_text().splitlines()[0]
    assert first == f"1 -I -m appliance.cli serve --home {home} --port 1"


def test_the_real_box_says_that_it_answers_and_that_it_still_does(demo_site, tmp_path):
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(address))
        notices.settimeout(120)
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance.cli", "serve", "--home", demo_site.home, "--port", str(_free_port())],
            env={**os.environ, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "1000000"},
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
        )
        ended = threading.Thread(target=process.wait)
        ended.start()
        try:
            assert notices.recv(100) == b"READY=1"
            assert [notices.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        finally:
            process.terminate()
            ended.join()
    assert process.returncode == 0


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
