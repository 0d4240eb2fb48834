"""``fieldpost doctor``, ``backup`` and ``restore``: what a technician does for a box, beside serving."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.command import home_option, json_option
from appliance.config import Home

if TYPE_CHECKING:
    from appliance.doctor import Finding


@click.command()
@home_option
@click.option("--look-only", is_flag=True, help="Change nothing.")
@click.option("--without-model", is_flag=True, help="Do not load the model: on a small box that is serving now.")
@json_option
def doctor(home: Path, look_only: bool, without_model: bool, as_json: bool) -> None:
    """Look the whole box over, mend what is safe to mend, and say what needs a person. Exit 1 if anything does.

    \b
    fieldpost doctor --home /srv/fieldpost
    fieldpost doctor --look-only --without-model --home /srv/fieldpost
    """
    from appliance.doctor import PROBLEM, examine

    def tell(finding: "Finding") -> None:
        if not as_json:
            click.echo(f"{finding.state:<8} {finding.part:<10} {finding.found}")
            if finding.todo:
                click.echo(f"{'':19} -> {finding.todo}")

    findings = examine(Home(root=home), mend=not look_only, model=not without_model, tell=tell)
    problems = sum(finding.state == PROBLEM for finding in findings)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
    else:
        click.echo(f"\n{problems} of these need a person." if problems else "\nNothing here needs a person.")
    if problems:
        sys.exit(1)


@click.command()
@click.option(
    "--to",
    "stick",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The stick's folder.",
)
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="AGE1...",
    help="Public half of a recovery key. Default: those that the hub's token brought.",
)
@home_option
@json_option
def backup(stick: Path, recipients: tuple[str, ...], home: Path, as_json: bool) -> None:
    """Write the box's data onto a stick, sealed: only your organisation's recovery key opens it. It may run meanwhile.

    \b
    fieldpost backup --to /media/usb --home /srv/fieldpost
    fieldpost backup --to /media/usb --recipient age1... --home /srv/fieldpost

    What the hub has not heard yet goes onto the stick too, as with "fieldpost sync export".
    """
    from appliance.backup import back_up
    from appliance.sync.client import export_to_stick
    from appliance.sync.enrol import load_enrolment

    place = Home(root=home)
    saved = back_up(place, stick, recipients=recipients)
    waiting = export_to_stick(place, stick).waiting if load_enrolment(place) else 0
    if as_json:
        click.echo(json.dumps({**asdict(saved), "waiting": waiting}, default=str))
        return
    click.echo(f"{saved.path}: {saved.files} files of {saved.box}, {saved.bytes} bytes, read back.")
    if waiting:
        click.echo(f"{waiting} records that the hub does not have yet are on the stick too; bring it there.")


@click.command()
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="The stick's folder, or the file itself.",
)
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with the recovery key's secret half, as age-keygen writes it.",
)
@click.option("--box", default="", metavar="BOX", help="The box to restore, if the stick holds several.")
@home_option
def restore(source: Path, key: Path, box: str, home: Path) -> None:
    """Bring a backup back, on this machine or another. Install from a stick first; nothing is ever overwritten.

    \b
    fieldpost restore --from /media/usb --key recovery-key.txt --home /srv/fieldpost

    The box goes on under its name; what it writes from now on is a new history, so that nothing is counted twice.
    """
    from appliance.backup import restore as bring_back

    restored = bring_back(Home(root=home), source, key, box=box)
    click.echo(f"{restored} is restored in {home}. Start it again: fieldpost serve --home {home}")
    click.echo(f"If the old machine still runs, stop it. Its log until the backup is in {home}/data/history.")
