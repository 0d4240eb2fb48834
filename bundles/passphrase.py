"""Where a passphrase comes from: a file only its owner can read, the environment, or a person typing unseen."""

import os
import sys
from pathlib import Path

import click

from bundles.errors import SigningError

ENVIRONMENT = "FIELDPOST_PASSPHRASE"


def obtain(prompt: str, file: Path | None, *, confirm: bool = False) -> str:
    """The passphrase: from ``file`` if given, else from the environment, else asked for.

    Raises:
        SigningError: the file is missing, empty or readable by others, or nobody is there to ask.
    """
    if file is not None:
        return _from_file(file)
    if ENVIRONMENT in os.environ:
        return os.environ[ENVIRONMENT]
    if not sys.stdin.isatty():
        raise SigningError(
            "No passphrase was given, and nobody is there to ask.",
            todo=f"Use a terminal, --passphrase-file FILE or {ENVIRONMENT}.",
        )
    try:
        return str(click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
    except click.Abort as error:
        raise SigningError("No passphrase was given.", todo="Type one.") from error


def _from_file(file: Path) -> str:
    try:
        mode = file.stat().st_mode
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SigningError(f"The passphrase file {file} cannot be read: {error}.") from error
    # Windows keeps its permissions elsewhere, and shows every file as readable by all.
    if mode & 0o077 and os.name != "nt":
        raise SigningError(f"{file} can be read by others (mode {mode & 0o777:04o}).", todo=f"Run: chmod 600 {file}")
    if not lines or not lines[0]:
        raise SigningError(f"The first line of {file} is empty.", needed="It is the passphrase.")
    return lines[0]
