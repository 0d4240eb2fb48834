"""Document indexes, made by the box's own command as a process, so that bundler and box never import each other."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import click

from bundles.box_command import run_box
from bundles.errors import IndexFailed

_TIMEOUT_S = 3600


class Indexer(Protocol):
    """Makes the index of a docpack's documents; the same documents give the same bytes."""

    def __call__(
        self, files: Sequence[Path], *, docpack: str, language: str, out: Path, embed: Path | None = None
    ) -> None: ...


def fieldpost_index(
    files: Sequence[Path], *, docpack: str, language: str, out: Path, embed: Path | None = None
) -> None:
    """Run ``fieldpost index FILE... --docpack NAME --language LANG --out PATH``; its notes go to standard error.

    Args:
        embed: the weights of the bundle's embedding model, if it has one.

    Raises:
        IndexFailed: the command is missing, failed, or wrote nothing.
    """
    words: tuple[str | Path, ...] = ("index", *files, "--docpack", docpack, "--language", language, "--out", out)
    words += ("--embed", embed) if embed is not None else ()
    try:
        child = run_box(*words, timeout_s=_TIMEOUT_S)
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
