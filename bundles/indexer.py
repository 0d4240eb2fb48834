"""Document indexes, made by the box's own command as a process, so that bundler and box never import each other."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import click

from bundles.errors import IndexFailed

_TIMEOUT_S = 3600


class Indexer(Protocol):
    """Makes the index of a docpack's documents; the same documents give the same bytes."""

    def __call__(self, files: Sequence[Path], *, docpack: str, language: str, out: Path) -> None: ...


def fieldpost_index(files: Sequence[Path], *, docpack: str, language: str, out: Path) -> None:
    """Run ``fieldpost index FILE... --docpack NAME --language LANG --out PATH``; its notes go to standard error.

    Raises:
        IndexFailed: the command is missing, failed, or wrote nothing.
    """
    # Beside our own Python first: the same environment as this bundler, whatever PATH says.
    beside = Path(sys.executable).with_name("fieldpost")
    command = [str(beside)] if beside.exists() else [sys.executable, "-m", "appliance.cli"]
    command += ["index", *map(str, files), "--docpack", docpack, "--language", language, "--out", str(out)]
    try:
        child = subprocess.run(  # noqa: S603 our own command, no shell
            command, capture_output=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise IndexFailed(f"docpack/{docpack}: fieldpost index did not run: {error}.", todo=_TODO) from error
    if child.returncode != 0 or not out.is_file():
        said = (child.stderr or child.stdout).decode("utf-8", "replace").strip().splitlines()
        raise IndexFailed(
            f"docpack/{docpack}: fieldpost index ended with {child.returncode}: {' '.join(said[-20:]) or 'no words'}.",
            todo=_TODO,
        )
    for note in child.stderr.decode("utf-8", "replace").strip().splitlines():
        click.echo(f"docpack/{docpack}: {note}", err=True)


_TODO = "Run scripts/setup, and look at the documents it names."
