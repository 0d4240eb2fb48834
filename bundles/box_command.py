"""Runs the box's own command as a process, so that bundler and box never import each other."""

import subprocess
import sys
from pathlib import Path


def run_box(*words: str | Path, timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    """Run ``fieldpost WORDS`` to its end; its output is kept and its exit status not judged.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it took longer, and was ended.
    """
    # Beside our own Python first: the same environment as this bundler, whatever PATH says.
    beside = Path(sys.executable).with_name("fieldpost")
    command = [str(beside)] if beside.exists() else [sys.executable, "-m", "appliance.cli"]
    return subprocess.run(  # noqa: S603 our own command, no shell
        [*command, *map(str, words)], capture_output=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL
    )


def last_words(child: subprocess.CompletedProcess[bytes]) -> str:
    """The last line that it said, on standard error or else on standard output."""
    said = (child.stderr or child.stdout).decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else "no words"
