"""Real processes: killed in the middle of appending, and appending at once."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.log.store import Log

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from pathlib import Path
from appliance.log.store import Log
with Log.open(Path(sys.argv[1]), "box-1") as log:
    for number in range(int(sys.argv[2])):
        print(log.append("chat", {"writer": sys.argv[3], "n": number, "text": "x" * 300}), flush=True)
"""


def writer(path: Path, number: int, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(number), name], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_loses_no_acknowledged_record(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    path = tmp_path / "log.sqlite"
    last = 0
    for killing in range(2):  # the second writer begins with what the first one's death left in the write-ahead log
        with writer(path, 1_000_000, str(killing)) as process:
            assert process.stdout is not None
            for _ in range(dice.randint(0, 25)):
                last = int(process.stdout.readline())
            process.kill()
            last = max([last, *(int(line) for line in process.stdout if line.endswith("\n"))])
            assert process.wait() == -9
    # Read as it was left: the dead one's write-ahead log is still beside it.
    with Log.open_to_read(path, "box-1") as log:
        report = log.verify()
    assert Log.count(path) == report.records["chat"]
    with Log.open(path, "box-1") as log:
        assert report.ok, report.problem
        # Each writer may have had one record on the disk that it could not tell of any more.
        assert last <= report.records["chat"] <= last + 2
        assert log.append("chat", {}) == report.records["chat"] + 1


def test_two_processes_append_at_once_to_a_new_log(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    writers = [writer(path, 40, name) for name in ("one", "two")]
    told = [[int(line) for line in process.communicate(timeout=120)[0].split()] for process in writers]
    assert [process.returncode for process in writers] == [0, 0]
    assert sorted(told[0] + told[1]) == list(range(1, 81))
    with Log.open(path, "box-1") as log:
        report = log.verify()
        assert (report.ok, report.records["chat"]) == (True, 80)
        assert {row.boot for row in log.rows("chat", 1, 80)} == {1, 2}
