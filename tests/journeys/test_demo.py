"""The demo does what it says, from nothing to a table of steps."""

import subprocess

from tests.support.site import ROOT


def test_demo_check_ends_with_a_table_and_exit_0():
    done = subprocess.run([ROOT / "scripts" / "demo", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = done.stdout.splitlines()
    assert rows[0].split() == ["step", "result", "time"]
    assert sum(" s" in row[-4:] for row in rows) == len(rows) - 1 >= 15
