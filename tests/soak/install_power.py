"""Power that fails under an update: the block device copied at many moments, mounted, looked at and resumed.

On ext4 as a careless machine mounts it. The same with syncs that do nothing must be caught, or the matrix proves
nothing. Rounds are moments at which the block device is copied. Needs root for the loop device.
"""

import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.soak.frame import Outcome
from tests.soak.install import NEW, OLD, Matrix, Site, make_site, resumed
from tests.support import powercut

ROUNDS = 60
_LAZY_S = 2.5
"""Longer than the kernel takes to write metadata that nobody synced: the second that it is given, and its rounding."""
_IMAGE = 48 << 20


def soak(rounds: int, seed: int) -> Outcome:
    """One row with syncs, one without; the seed is not used."""
    matrix = Matrix()
    with tempfile.TemporaryDirectory(prefix="fieldpost-power-", dir="/var/tmp") as scratch:
        site = make_site(Path(scratch))
        for synced in (True, False):
            snapshots(site, matrix, rounds if synced else max(3, rounds // 6), synced=synced)
    heads = ("fault", "tried", "the box then has", "and then")
    return Outcome(heads=heads, rows=tuple(matrix.rows), failures=tuple(matrix.failures))


def snapshots(site: Site, matrix: Matrix, points: int, *, synced: bool) -> None:
    """Power gone at moments of an update on ext4: what the disk then holds is mounted, looked at, and resumed."""
    home = site.home(with_old=True)
    sequence = powercut.changes(site.words(site.new, home), site.folder / "trace")
    had: dict[str, int] = {}
    broken = 0
    with powercut.ext4(site.folder / "image", site.folder / "mount", make=_IMAGE) as mount:
        powercut.copy_home(site.box, mount / "home")
        subprocess.run(["sync", "-f", mount], check=True)
        copies = powercut.snapshots(
            site.words(site.new, mount / "home"),
            site.folder / "image",
            site.folder,
            step=_step(sequence, points),
            synced=synced,
            wait=0.0 if synced else _LAZY_S,
        )
        for copy in copies:
            with powercut.ext4(copy, site.folder / "looked-at") as seen:
                state = powercut.state_of(seen / "home")
                kind = "broken" if state.startswith("BROKEN") else state
                had[kind] = had.get(kind, 0) + 1
                broken += kind == "broken"
                if synced:
                    matrix.expect(state in (OLD, NEW), f"power gone in an update, {copy.name}: {state}")
                    resumed(site, matrix, site.new, seen / "home", f"power gone in an update, {copy.name}")
    if synced:
        matrix.add("update: power gone, ext4 at many moments", sum(had.values()), had, "run again: ends whole")
    else:
        matrix.expect(broken > 0, "an installer that syncs nothing was not caught")
        matrix.add("the same, if syncs did nothing", sum(had.values()), had, "it is caught")


def _step(sequence: Sequence[str], points: int) -> int:
    """Every how many calls of each system call to stop, so that there are at least so many stops."""
    counts = Counter(sequence).values()
    fitting = (step for step in range(len(sequence), 0, -1) if sum(count // step for count in counts) >= points)
    return next(fitting, 1)
