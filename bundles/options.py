"""Options that several commands share, and the moment they stand for."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bundles.errors import RecipeError

PATH = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def passphrase_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--passphrase-file``."""
    return click.option(
        "--passphrase-file", type=PATH, help="Its first line is the passphrase; nobody else may read it."
    )(command)


def date_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--date``."""
    return click.option(
        "--date",
        metavar="DATE",
        help="Signing date, such as 2026-11-24 or 2026-11-24T08:00:00Z.  [default: SOURCE_DATE_EPOCH, or now]",
    )(command)


def signing_date(given: str | None) -> datetime:
    """The date that was given, else the environment's, else now.

    Raises:
        RecipeError: it is no date.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        if given is not None:
            date = datetime.fromisoformat(given)
            return date if date.tzinfo else date.replace(tzinfo=UTC)
        return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise RecipeError(f"{given or epoch!r} is no date: {error}.", todo="Write it as 2026-11-24.") from error
