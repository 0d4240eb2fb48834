"""The command that makes what a box runs: ``runtime``."""

import json
import platform as this_machine
import sys
from dataclasses import asdict
from pathlib import Path

import click

from bundles.format.runtime_archive import parse_platform
from bundles.options import FILE, PATH
from bundles.runtime import make_runtime
from bundles.telling import size

_HERE = f"linux-{this_machine.machine()}-cp3{sys.version_info.minor}"


def register(main: click.Group) -> None:
    """Add this command to ``fieldpost-bundle``."""
    main.add_command(runtime)


@click.command()
@click.option("--out", required=True, type=PATH, help="The tar to write; a recipe's [[runtime]] names it.")
@click.option("--requirements", required=True, type=FILE, help="Every package of a box, pinned and with hashes.")
@click.option("--wheel", "wheels", multiple=True, type=FILE, help="A wheel that no index has; again for more.")
@click.option("--platform", default=_HERE, help="System, processor and Python of the box.  [default: this machine's]")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def runtime(out: Path, requirements: Path, wheels: tuple[Path, ...], platform: str, as_json: bool) -> None:
    """Make the runtime of a box: all that it runs besides Python itself. The same wheels give the same bytes.

    \b
    fieldpost-bundle runtime --out runtime/linux-x86_64-cp311.tar --requirements requirements-box.lock \\
      --wheel dist/fieldpost-0.1.0-py3-none-any.whl --wheel "$(scripts/build-llama)"

    scripts/build --runtime does it with the right files.
    """
    made = make_runtime(out, parse_platform(platform), requirements=requirements, wheels=wheels)
    if as_json:
        click.echo(json.dumps({**asdict(made), "path": str(made.path)}, indent=2))
        return
    click.echo(f"{made.path}: {len(made.packages)} packages, {made.entries:,} entries, {size(made.bytes)}")
