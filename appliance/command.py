"""What our commands share: they end in three short sentences on standard error, never in a traceback, when refused."""

import sys
from pathlib import Path
from typing import Any

import click

from appliance.errors import FieldpostError

home_option = click.option(
    "--home",
    envvar="FIELDPOST_HOME",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the bundle was installed. The variable FIELDPOST_HOME works too.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")


class Speaks(click.Group):
    """A group whose commands say our own errors, and those of the disk, in words and then exit with 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FieldpostError as error:
            click.echo(f"Error: {error}", err=True)
        except OSError as error:
            place = f": {error.filename}" if error.filename else ""
            click.echo(f"Error: {error.strerror or error}{place}. Check the disk, and who owns the folder.", err=True)
        sys.exit(1)


def progress_bar(length: int, label: str) -> Any:
    """A bar with the time left on standard error; silent where that is no terminal."""
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())
