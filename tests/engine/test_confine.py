"""appliance.confine: what a caged process can no longer do, tried from inside; and that the worker is caged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.confine import available
from appliance.engine.client import WorkerEngine

TRIES = """
import ctypes, errno, json, os, resource, signal, socket, subprocess, sys, threading
from pathlib import Path
from appliance.confine import confine
mine, box, cache = map(Path, sys.argv[1:])
held = confine(read=[mine], write=[cache])
def tried(act):
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return "done"
NUMBERS = {"tgkill": 234, "tkill": 200} if os.uname().machine == "x86_64" else {"tgkill": 131, "tkill": 130}
libc = ctypes.CDLL(None, use_errno=True)
def called(*words):
    if libc.syscall(*map(ctypes.c_long, words)) < 0:
        raise OSError(ctypes.get_errno(), "")
print(json.dumps({
    "held": held,
    "tcp": tried(lambda: socket.socket(socket.AF_INET)),
    "unix": tried(lambda: socket.socket(socket.AF_UNIX)),
    "program": tried(lambda: subprocess.run(["/bin/true"])),
    "kill": tried(lambda: os.kill(os.getppid(), 0)),
    "kill a thread": tried(lambda: called(NUMBERS["tgkill"], os.getppid(), os.getppid(), 0)),
    "kill by thread": tried(lambda: called(NUMBERS["tkill"], os.getppid(), 0)),
    "bound another": tried(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)),
    "itself": tried(lambda: (signal.pthread_kill(threading.get_ident(), 0), resource.getrlimit(resource.RLIMIT_NOFILE),
                             resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE))),
    "own": tried(lambda: mine.read_bytes()),
    "own, written": tried(lambda: mine.write_bytes(b"x")),
    "the box's": tried(lambda: box.read_bytes()),
    "passwords": tried(lambda: Path("/etc/passwd").read_bytes()),
    "cache": tried(lambda: ((cache / "a.part").write_bytes(b"x"), (cache / "a.part").replace(cache / "a"),
                            (cache / "a").read_bytes(), (cache / "a").unlink())),
    "thread": tried(lambda: threading.Thread(target=print, args=("",), kwargs={"end": ""}).start()),
}))
"""


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("cage")
    for name in ("model.gguf", "log.sqlite"):
        (folder / name).write_bytes(b"x")
    (folder / "cache").mkdir()
    command = [sys.executable, "-c", TRIES, *(str(folder / n) for n in ("model.gguf", "log.sqlite", "cache"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_available_is_what_is_had(tried: dict[str, object]) -> None:
    assert list(available()) == tried["held"]


def test_no_network_no_programs_no_hand_on_others(tried: dict[str, object]) -> None:
    if "no-network" not in tried["held"]:
        pytest.skip("this kernel has no seccomp filters")
    denied = ("tcp", "unix", "program", "kill", "kill a thread", "kill by thread", "bound another")
    assert {tried[what] for what in denied} == {"EACCES"}
    assert (tried["thread"], tried["itself"]) == ("done", "done")


def test_only_its_own_files(tried: dict[str, object]) -> None:
    if "own-files-only" not in tried["held"]:
        pytest.skip("this kernel has no Landlock")
    assert (tried["own"], tried["cache"]) == ("done", "done")
    assert {tried[what] for what in ("own, written", "the box's", "passwords")} == {"EACCES"}


@pytest.mark.needs_shared
def test_the_worker_runs_in_it_and_says_so(engine: WorkerEngine, tried: dict[str, object]) -> None:
    loaded = engine.wait_until_loaded()
    assert list(loaded.confined) == tried["held"]
    status = Path(f"/proc/{engine.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    if "no-network" in loaded.confined:
        assert "Seccomp:\t2" in status
