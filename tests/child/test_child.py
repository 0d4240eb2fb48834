"""appliance.child: a worker starts bare, talks in lines, and never outlives us."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.child import MAX_LINE, Child, Wire, WireError, error_from_message, error_to_message, exit_in_words
from appliance.errors import AdapterError, EngineError, FieldpostError, PromptTooLong
from tests.support.scripted import eventually

ECHO = "tests.child.echo"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def child() -> Iterator[Child]:
    started = Child(ECHO)
    yield started
    started.close()


@pytest.fixture
def ends() -> Iterator[tuple[Wire, socket.socket]]:
    ours, theirs = socket.socketpair()
    wire = Wire(ours)
    with theirs:
        yield wire, theirs
    wire.close()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


# Half a surrogate pair has no UTF-8; what becomes of it is tested apart.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.booleans(), st.none(), st.lists(TEXT))))
def test_any_message_comes_through_as_it_was(message: dict[str, object]) -> None:
    ours, theirs = socket.socketpair()
    there, here = Wire(ours), Wire(theirs)
    there.send(message)
    there.send({"next": 1})
    assert here.receive() == message
    assert here.receive() == {"next": 1}
    there.close()
    assert here.receive() is None
    here.close()


def test_half_a_surrogate_pair_does_not_break_the_wire(ends: tuple[Wire, socket.socket]) -> None:
    wire, other = ends
    wire.send({"text": "a\ud800b"})
    there = Wire(other)
    assert there.receive() == {"text": "a?b"}


@pytest.mark.parametrize("line", [b"junk\n", b"[1]\n", b'"x"\n', b"\xff\n", b"[" * 100_000 + b"\n"])
def test_a_line_that_is_no_object_is_an_error(ends: tuple[Wire, socket.socket], line: bytes) -> None:
    wire, other = ends
    sender = threading.Thread(target=other.sendall, args=[line])
    sender.start()
    with pytest.raises(WireError):
        wire.receive()
    sender.join()


def test_an_endless_line_is_refused_before_it_fills_memory(child: Child) -> None:
    child.wire.send({"do": "raw", "text": "x" * 1024, "times": MAX_LINE // 1024 + 200})
    with pytest.raises(WireError, match="more than"):
        child.wire.receive(30)


def test_a_message_too_long_to_send_is_refused(child: Child) -> None:
    with pytest.raises(WireError, match="more than"):
        child.wire.send({"text": "x" * MAX_LINE})
    child.wire.send({"do": "echo"})
    assert child.wire.receive(30) == {"do": "echo"}


def test_waiting_ends_in_time_and_keeps_what_has_come(ends: tuple[Wire, socket.socket]) -> None:
    wire, other = ends
    other.sendall(b'{"half":')
    with pytest.raises(TimeoutError):
        wire.receive(0.05)
    other.sendall(b"1}\n")
    assert wire.receive(5) == {"half": 1}


def test_a_worker_starts_bare(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "of ours")
    with socket.socket() as ours:
        other = Child(ECHO, environment={"WANTED": "1"})
        other.wire.send({"do": "tell"})
        told = other.wire.receive(30)
        other.close()
        assert ours.fileno() >= 0
    assert told is not None
    assert told["cwd"] == "/"
    assert "" not in told["path"] and "/" not in told["path"]
    assert told["environment"]["WANTED"] == "1"
    assert "A_SECRET" not in told["environment"] and "HOME" not in told["environment"]
    assert "NoNewPrivs:\t1\n" in told["status"]
    assert "Max core file size        0                    0" in told["limits"]
    assert told["oom_score_adj"] == "1000\n"
    assert sum(name.startswith("socket:") for name in told["files"]) == 1


def test_memory_is_limited_on_request() -> None:
    limited = Child(ECHO, memory=512 << 20)
    limited.wire.send({"do": "allocate", "bytes": 1 << 30})
    assert limited.wire.receive(30) == {"allocated": False}
    limited.close()


def test_it_tells_how_a_worker_ended(child: Child) -> None:
    child.wire.send({"do": "exit", "code": 3})
    assert child.wire.receive(30) is None
    assert child.close() == "ended with exit code 3: the last words"


@pytest.mark.parametrize(("name", "words"), [("SIGSEGV", "crashed (SIGSEGV)"), ("SIGKILL", "out of memory")])
def test_it_names_the_signal_that_ended_a_worker(child: Child, name: str, words: str) -> None:
    child.wire.send({"do": "signal", "name": name})
    assert child.wire.receive(30) is None
    assert words in child.close()


def test_closing_ends_a_worker_that_listens(child: Child) -> None:
    child.wire.send({"do": "echo"})
    child.wire.receive(30)
    assert child.close() == "ended"
    assert gone(child.pid)


def test_closing_ends_a_worker_that_hears_nothing(child: Child) -> None:
    os.kill(child.pid, signal.SIGSTOP)
    assert "SIGKILL" in child.close()
    assert gone(child.pid)


def test_killing_it_from_another_thread_ends_a_receive(child: Child) -> None:
    killer = threading.Thread(target=child.kill)
    killer.start()
    assert child.wire.receive(30) is None
    killer.join()


def test_a_worker_started_by_a_thread_outlives_the_thread() -> None:
    started: list[Child] = []
    thread = threading.Thread(target=lambda: started.append(Child(ECHO)))
    thread.start()
    thread.join()
    started[0].wire.send({"do": "echo", "still": "here"})
    assert started[0].wire.receive(30) == {"do": "echo", "still": "here"}
    started[0].close()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_worker_dies_with_its_parent_even_when_it_hears_nothing(stopped: bool) -> None:
    script = (
        "import sys, time\n"
        "from appliance.child import Child\n"
        f"child = Child({ECHO!r})\n"
        "child.wire.send({'do': 'echo'}); child.wire.receive(30)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    eventually(lambda: gone(pid))


def test_a_module_that_is_missing_is_told() -> None:
    missing = Child("appliance.no_such_worker")
    assert missing.wire.receive(30) is None
    assert "No module named" in missing.close()


def test_exit_words_name_unknown_signals_and_keep_the_last_line_only() -> None:
    assert exit_in_words(-63, b"") == "was ended by signal 63"
    assert exit_in_words(1, b"first\n\nlast \xff\n\n") == "ended with exit code 1: last \ufffd"
    assert exit_in_words(0, b"") == "ended"


def test_errors_cross_the_wire_as_what_they_are() -> None:
    error = PromptTooLong("Found.", needed="Needed.", todo="Do.")
    back = error_from_message(error_to_message(error), EngineError, PromptTooLong)
    assert type(back) is PromptTooLong
    assert (back.found, back.needed, back.todo) == ("Found.", "Needed.", "Do.")


@pytest.mark.parametrize("raw", [None, [], {}, {"kind": "SystemExit", "found": 3}, {"kind": ["x"]}])
def test_an_error_from_a_broken_worker_is_still_one_of_the_kinds_expected(raw: object) -> None:
    error = error_from_message(raw, EngineError, AdapterError)
    assert type(error) is EngineError
    assert isinstance(error, FieldpostError) and error.found
