"""A worker process of ours, and the JSON lines between it and us.

Native code that reads big files (llama.cpp, CTranslate2) runs in a process of its own: it may crash, and the box does
not. This file starts such a process with little environment and no way to more rights, talks to it over a socket
pair, and says in words how it ended. What the lines mean, and whether to start again, is left to the rooms.
"""

import contextlib
import ctypes
import json
import os
import queue
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from appliance.errors import FieldpostError

MAX_LINE = 4 * 1024 * 1024
"""Bytes a line may have. A longer one means that the other end is broken, or broken into."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_SEND_PATIENCE_S = 10
_EXIT_PATIENCE_S = 3.0
_TAIL_BYTES = 4096

# A parent-death signal is sent when the *thread* that forked ends, not the process. So all children are forked by one
# thread, which lives as long as the interpreter.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

_SIGNALS = {
    signal.SIGKILL: "was killed (SIGKILL), perhaps because the machine ran out of memory",
    signal.SIGSEGV: "crashed (SIGSEGV)",
    signal.SIGBUS: "crashed (SIGBUS): a file it reads was cut short, or the disk failed",
    signal.SIGABRT: "gave up (SIGABRT)",
    signal.SIGILL: "met an instruction that this processor lacks (SIGILL)",
}


class WireError(Exception):
    """The other end is gone, or what it sends is not our lines. Never leaves the rooms that use this file."""


class Wire:
    """JSON objects, one a line. Any thread may send; one thread receives."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._buffer = bytearray()
        self._sending = threading.Lock()

    def send(self, message: Mapping[str, object]) -> None:
        """Send one object.

        Raises:
            WireError: the other end is gone or does not read, or the line would be longer than ``MAX_LINE``.
        """
        # "replace": half a surrogate pair, as a broken client may send, has no UTF-8
        line = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        if len(line) > MAX_LINE:
            raise WireError(f"a line of {len(line)} bytes is more than {MAX_LINE}")
        try:
            with self._sending:
                self._end.sendall(line)
        except OSError as error:
            raise WireError(f"nothing could be sent: {error}") from error

    def receive(self, timeout: float | None = None) -> dict[str, Any] | None:
        """The next object, or None when the other end has closed.

        Args:
            timeout: seconds to wait for the whole line; None waits for ever.

        Raises:
            WireError: the line is too long, or no JSON object.
            TimeoutError: nothing came in time. What has come of the line is kept.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        searched = 0
        while (cut := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > MAX_LINE:
                raise WireError(f"a line of more than {MAX_LINE} bytes")
            if deadline is not None and not self._readable(deadline):
                raise TimeoutError
            try:
                data = self._end.recv(65536)
            except OSError:
                return None
            if not data:
                return None
            self._buffer += data
        line = bytes(self._buffer[:cut])
        del self._buffer[: cut + 1]
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise WireError("a line that is not JSON") from error
        if not isinstance(message, dict):
            raise WireError("a line that is no JSON object")
        return message

    def close(self) -> None:
        """End the conversation: the other end, and a thread that is receiving here, get to know it."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()

    def _readable(self, deadline: float) -> bool:
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))


class Child:
    """A running worker. It ends when it is closed, when this process ends, and never outlives it."""

    def __init__(self, module: str, *, environment: Mapping[str, str] | None = None, memory: int | None = None) -> None:
        """Start ``python -m module``, which must call ``attach()`` first.

        Args:
            environment: the variables the worker's libraries need; it inherits none.
            memory: bytes of address space it may use; None leaves it unlimited.

        Raises:
            WireError: no process could be started.
        """
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_PATIENCE_S, 0))
        self.wire = Wire(ours)
        with theirs:
            # -P: the working directory must not be a place to import from
            command = [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(memory or 0)]
            try:
                self._process: subprocess.Popen[bytes] = _SPAWNER.submit(
                    subprocess.Popen,
                    command,
                    pass_fds=(theirs.fileno(),),
                    cwd="/",  # ggml looks for libraries in the working directory: only root can plant one here
                    env=_environment(environment or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is for us; we tell the worker
                ).result()
            except (OSError, RuntimeError) as error:
                self.wire.close()
                raise WireError(f"no process could be started: {error}") from error
        self._tail = bytearray()
        self._tail_reader = threading.Thread(target=self._keep_tail, name=f"{module} stderr", daemon=True)
        self._tail_reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """End it at once. May be called from any thread, and again."""
        self._process.kill()

    def close(self) -> str:
        """Ask it to end, insist after a few seconds, and tell how it ended."""
        self.wire.close()
        try:
            self._process.wait(_EXIT_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        status = self._process.wait()
        # A grandchild could hold the pipe open; the reader is a daemon and may be left behind.
        self._tail_reader.join(_EXIT_PATIENCE_S)
        return exit_in_words(status, bytes(self._tail))

    def _keep_tail(self) -> None:
        assert self._process.stderr is not None  # noqa: S101  (asked for with PIPE)
        with self._process.stderr as pipe:
            while data := os.read(pipe.fileno(), 4096):
                self._tail += data
                del self._tail[:-_TAIL_BYTES]


def exit_in_words(status: int, stderr: bytes) -> str:
    """How a process ended, as the end of a sentence: ``crashed (SIGSEGV)``. Adds its last line on standard error."""
    if status < 0:
        known = signal.Signals(-status) if -status in set(signal.Signals) else None
        words = _SIGNALS.get(known, f"was ended by {known.name}") if known else f"was ended by signal {-status}"
    else:
        words = "ended" if status == 0 else f"ended with exit code {status}"
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return f"{words}: {lines[-1][:300]}" if lines else words


def attach() -> Wire:
    """The worker's end, to be called first in its ``main``: gives up rights it does not need and finds the wire."""
    number, memory = int(sys.argv[1]), int(sys.argv[2])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold what people asked
    os.umask(0o077)  # what it keeps on the disk is for the box's user alone
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # When memory runs out the kernel is to end this process, which is started again, and not the box.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    os.set_inheritable(number, False)
    return Wire(socket.socket(fileno=number))


def inbox(wire: Wire) -> "queue.SimpleQueue[dict[str, Any]]":
    """The worker's incoming messages, read by a thread: it hears of a cancel, and of our end, while it works."""
    messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        try:
            while (message := wire.receive()) is not None:
                messages.put(message)
        except WireError:
            os._exit(70)
        os._exit(0)  # the box has closed or died: nobody is left to answer to

    threading.Thread(target=read, name="inbox", daemon=True).start()
    return messages


def error_to_message(error: FieldpostError) -> dict[str, str]:
    """An error of ours as an object for the wire."""
    return {"kind": type(error).__name__, "found": error.found, "needed": error.needed, "todo": error.todo}


def error_from_message(raw: object, *kinds: type[FieldpostError]) -> FieldpostError:
    """The error that a worker reports; one of ``kinds``, the first of them when it names another."""
    fields = raw if isinstance(raw, dict) else {}
    known = {kind.__name__: kind for kind in kinds}
    kind = known.get(str(fields.get("kind")), kinds[0])
    words = {name: str(fields.get(name, ""))[:1000] for name in ("found", "needed", "todo")}
    return kind(words["found"] or "The worker failed.", needed=words["needed"], todo=words["todo"])


def _environment(wanted: Mapping[str, str]) -> dict[str, str]:
    root = Path(__file__).resolve().parent.parent
    return {"PYTHONPATH": str(root), "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8", **wanted}
