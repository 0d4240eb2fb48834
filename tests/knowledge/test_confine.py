"""What a child that parses can no longer do: proved by a child that tries."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import confine


def in_child(act: Callable[[], object]) -> str:
    """What ``act`` does in a forked child whose doors are closed: its result or its error, in words."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            confine.limit(cpu_s=10, file_bytes=1000)
            confine.close_doors()
            said = repr(act())
        except BaseException as error:
            said = repr(error)
        os.write(theirs, said.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(pid, 0)
    return said


def landlock() -> bool:
    return "own-files-only" in confine.available()


needs_landlock = pytest.mark.skipif(not landlock(), reason="needs a kernel with Landlock")


@needs_landlock
def test_no_file_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    assert "PermissionError" in in_child(lambda: (tmp_path / "secret").read_text())
    assert "PermissionError" in in_child(lambda: (tmp_path / "new").write_text("x"))
    assert "PermissionError" in in_child(lambda: list(Path("/etc").iterdir()))


@needs_landlock
def test_no_network_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        assert "Error" in in_child(lambda: socket.create_connection(address, 1))


def test_no_program_is_started_and_no_other_process_touched() -> None:
    if "no-network" not in confine.available():
        pytest.skip("needs a kernel with seccomp filters")
    assert "PermissionError" in in_child(lambda: os.kill(os.getppid(), 0))
    assert "PermissionError" in in_child(lambda: os.execv("/bin/true", ["true"]))


def test_what_it_may_write_is_bounded(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb", buffering=0) as out:
        assert in_child(lambda: [os.write(out.fileno(), b"x" * 600) for _ in range(3)]) in (
            "",
            "OSError(27, 'File too large')",
        )
    assert (tmp_path / "out").stat().st_size <= 1000


def test_an_idle_child_is_one() -> None:
    def act() -> int:
        confine.idle()
        return os.sched_getscheduler(0)

    assert in_child(act) == str(os.SCHED_IDLE)
