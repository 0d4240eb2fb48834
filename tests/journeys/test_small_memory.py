"""A box in a control group with little memory: it takes what fits, is not killed, and says what it left."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journeys.demo import ENGLISH
from tests.support.people import copied
from tests.support.site import BIN, Site

pytestmark = pytest.mark.needs_root

LIMIT = 640 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A control group with a limit, of whichever version this machine has."""

    folder: Path

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run in it; all that the command starts is in it, too."""
        words = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', self.folder / "cgroup.procs", *command]
        return subprocess.run(words, capture_output=True, text=True, cwd="/")

    @property
    def killed(self) -> int:
        """Processes that the kernel ended because the group was at its limit."""
        told = [self.folder / "memory.events", self.folder / "memory.oom_control"]
        counts = dict(line.split() for path in told if path.exists() for line in path.read_text().splitlines())
        return int(counts["oom_kill"])


@pytest.fixture
def group() -> Iterator[Group]:
    """Made within the group that the tests run in, so that its own limit holds as before."""
    found = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    v1 = Path("/sys/fs/cgroup/memory")
    name, limit = ("memory", "memory.limit_in_bytes") if "memory" in found and v1.is_dir() else ("", "memory.max")
    folder = (v1 if name else Path("/sys/fs/cgroup")) / found[name].lstrip("/") / f"fieldpost-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        if not (folder / limit).exists():
            pytest.skip("control groups here have no limit of memory")
        (folder / limit).write_text(str(LIMIT))
        yield Group(folder=folder)
    finally:
        folder.rmdir()


@pytest.fixture
def box(demo_site: Site, tmp_path: Path) -> Site:
    return copied(demo_site, tmp_path)


def test_the_demo_answers_within_a_small_limit_and_knows_it(box: Site, group: Group) -> None:
    done = group.run(BIN / "fieldpost", "ask", ENGLISH, "--home", box.home)
    assert done.returncode == 0, done.stderr
    assert "safe-water.md" in done.stdout
    assert group.killed == 0
    status = group.run(BIN / "fieldpost", "status", "--home", box.home)
    assert f"of {LIMIT / 2**30:.1f} GiB free" in status.stdout


def test_a_model_greater_than_the_limit_is_left_and_the_documents_answer(box: Site, group: Group) -> None:
    (weights,) = (box.home / "current").resolve().glob("model*/**/*.gguf")
    shutil.copy(weights, weights.with_suffix(".own"))
    weights.with_suffix(".own").replace(weights)
    os.truncate(weights, LIMIT + (100 << 20))  # a hole: it takes no room on the disk, and the machine has the memory
    done = group.run(BIN / "fieldpost", "ask", ENGLISH, "--home", box.home)
    assert done.returncode == 0, done.stderr
    assert "safe-water.md" in done.stdout
    assert group.killed == 0
    assert "no model is asked: the model needs 740 MB of memory" in done.stderr
