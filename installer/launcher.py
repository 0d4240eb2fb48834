"""Starts the box and keeps it up where no systemd does: ``installer.pyz start``. It lies outside the releases.

The box speaks as it would to systemd, sd_notify(3): READY=1 once it answers, WATCHDOG=1 while it still does. A box that
ends, or falls silent, is started again, each start after a longer wait; a release on trial pays a try for each.
"""

import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from installer.errors import HomeRefused
from installer.garbage import collect_after_trial
from installer.trial import Begun, begin, keep

LASTING_S = 60.0
"""Seconds that a release must have answered for before it is believed."""
START_S = 900.0
"""Seconds from the start to the first answer; loading a model from a card takes minutes."""
SILENCE_S = 60.0
"""Seconds without a sign of life after which the box is ended and started again."""
STOP_S = 20.0
WAITS_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Before each further start; the last one goes on for ever. A start that lasted begins anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the launcher waits for what; in seconds."""

    lasting: float = LASTING_S
    start: float = START_S
    silence: float = SILENCE_S
    waits: tuple[float, ...] = WAITS_S


def run(
    home: Path,
    arguments: Sequence[str],
    *,
    tell: Callable[[str], None],
    patience: Patience = Patience(),
) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit code of the last start.

    Args:
        arguments: for ``fieldpost serve``.
        tell: gets a line for people whenever something happens.

    Raises:
        HomeRefused: nothing is installed, or there are no programs to run it.
    """
    starts = 0
    with _stopping() as stop:
        while True:
            begun = begin(home)
            _tell_trial(begun, tell)
            code, lasted = _once(home, arguments, begun, stop, tell, patience)
            if stop.asked:
                return 0
            starts = 0 if lasted else starts + 1
            wait = patience.waits[min(starts, len(patience.waits) - 1)]
            tell(f"The box ended (exit code {code}). It is started again in {wait:.0f} s.")
            if stop.wait(wait):
                return 0


def command(home: Path, arguments: Sequence[str]) -> list[str]:
    """What starts the release in use: with its own runtime, or with the Fieldpost that this machine has.

    Raises:
        HomeRefused: there is neither.
    """
    python = (home / "current" / "runtime").resolve() / "bin" / "python"
    words = ["serve", "--home", str(home), *arguments]
    if python.exists():
        return [str(python), "-I", "-m", "appliance.cli", *words]
    found = shutil.which("fieldpost") or shutil.which("fieldpost", path=str(Path(sys.executable).parent))
    if found is None:
        raise HomeRefused(
            "The release in use brought no programs, and this machine has none.",
            needed="A bundle with a runtime for this machine is needed.",
            todo="Ask your organisation for one.",
        )
    return [found, *words]


class _Stop:
    """Whether somebody wants the box to stop; can be waited for."""

    def __init__(self) -> None:
        self.asked = False
        self.reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)

    def ask(self, *_: object) -> None:
        self.asked = True
        self._writing.send(b"x")

    def wait(self, seconds: float) -> bool:
        """Wait that long at most; whether the stop was asked for."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.reading, selectors.EVENT_READ)
            if not self.asked:
                selector.select(seconds)
        return self.asked

    def close(self) -> None:
        self.reading.close()
        self._writing.close()


@contextmanager
def _stopping() -> Iterator[_Stop]:
    stop = _Stop()
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def _once(
    home: Path,
    arguments: Sequence[str],
    begun: Begun,
    stop: _Stop,
    tell: Callable[[str], None],
    patience: Patience,
) -> tuple[int, bool]:
    """One start to its end: (exit code, whether it lasted)."""
    with _notices() as (notices, address):
        environment = {**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(int(patience.silence * 1e6))}
        # A session of its own, so that Ctrl-C reaches the launcher alone, which then asks the box to stop.
        process = subprocess.Popen(command(home, arguments), env=environment, start_new_session=True)  # noqa: S603
        try:
            lasted = _watch(process, home, notices, begun, stop, tell, patience)
        finally:
            _end(process)
        return process.returncode, lasted


def _watch(
    process: "subprocess.Popen[bytes]",
    home: Path,
    notices: socket.socket,
    begun: Begun,
    stop: _Stop,
    tell: Callable[[str], None],
    patience: Patience,
) -> bool:
    """Until the process ends, must be ended, or the stop is asked for; whether the release lasted."""
    now = time.monotonic()
    ready = lasted = False
    proved = now + patience.start  # when it has lasted, once it is ready
    silent = now + patience.start
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            for source in (ended, notices, stop.reading):
                selector.register(source, selectors.EVENT_READ)
            while not stop.asked:
                limit = silent if lasted or not ready else min(silent, proved)
                happened = {key.fileobj for key, _ in selector.select(max(0.0, limit - time.monotonic()))}
                if ended in happened:
                    break
                now = time.monotonic()
                if notices in happened:
                    said = notices.recv(4096).split(b"\n")
                    silent = now + (patience.silence if ready or b"READY=1" in said else patience.start)
                    if b"READY=1" in said and not ready:
                        ready, proved = True, now + patience.lasting
                if ready and not lasted and now >= proved:
                    lasted = True
                    if keep(home):
                        tell(f"Release {begun.release} has proved itself.")
                    # Beside the watching, which must not wait for a slow card; ended half-way, it is done next time.
                    threading.Thread(target=_collect, args=(home, tell), daemon=True).start()
                if now >= silent:
                    tell("The box gave no sign of life and is ended.")
                    process.kill()
                    break
    finally:
        os.close(ended)
    return lasted


def _collect(home: Path, tell: Callable[[str], None]) -> None:
    if told := collect_after_trial(home):
        tell(told)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _notices() -> Iterator[tuple[socket.socket, str]]:
    """A socket for the box's signs of life, and its address."""
    with (
        tempfile.TemporaryDirectory(prefix="fieldpost-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices,
    ):
        address = str(Path(folder) / "notify")
        notices.bind(address)
        yield notices, address


def _tell_trial(begun: Begun, tell: Callable[[str], None]) -> None:
    trial = begun.trial
    if trial is None:
        tell(f"Starting release {begun.release}.")
    elif trial.failed:
        tell(f"Release {trial.release} never lasted; release {begun.release} is in use again.")
    else:
        tell(f"Starting release {begun.release}, which is new. {trial.tries} tries are left after this one.")
