"""``fieldpost-hub``, the other end's command: serve, enrol, revoke, import, status, database, rebuild."""

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from appliance.command import Speaks, json_option
from appliance.errors import BatchRefused
from appliance.hub.cli_rollout import data_option as _data
from appliance.hub.cli_rollout import group, publish, rollout
from appliance.log.chain import STREAMS

if TYPE_CHECKING:
    from appliance.hub.rebuild import Rebuilt

T = TypeVar("T")


@click.group(cls=Speaks)
@click.version_option(package_name="fieldpost")
def main() -> None:
    """The hub: collects the logs of Fieldpost boxes, over a link or from sticks.

    \b
    Let a box in:        fieldpost-hub enrol --data /srv/hub --name "Kisumu clinic" --url https://hub.example.org
    Listen for boxes:    fieldpost-hub serve --data /srv/hub
    Read a stick:        fieldpost-hub import /media/usb --data /srv/hub
    Who has reported?    fieldpost-hub status --data /srv/hub
    Shut a box out:      fieldpost-hub revoke BOX --data /srv/hub
    Use PostgreSQL:      fieldpost-hub database postgresql://fieldpost@db.example.org/fieldpost --data /srv/hub
    """


@main.command()
@_data
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 listens on every network.")
@click.option("--port", default=8470, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 64), help="That answer side by side.")
def serve(data: Path, host: str, port: int, processes: int) -> None:
    """Listen for boxes until Ctrl-C or SIGTERM.

    \b
    fieldpost-hub serve --data /srv/hub
    fieldpost-hub serve --data /srv/hub --host 0.0.0.0 --port 8470
    fieldpost-hub serve --data /srv/hub --processes 4
    Batches are signed and sealed by the boxes themselves. TLS, where wanted, is a reverse proxy's in front of it.
    """
    from appliance import serving
    from appliance.hub.app import create_app
    from appliance.hub.ingest import Hub
    from appliance.hub.processes import side_by_side

    with serving.listen(host, port) as listener:

        def answer(number: int) -> None:
            # uvicorn ends its work at these signals and then raises them again: by then there is nothing left to do.
            for signal_number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signal_number, lambda *_: sys.exit(0))
            where = serving.address(listener)
            ready = (lambda: click.echo(f"Fieldpost hub is at {where}")) if number == 0 else (lambda: None)
            with Hub.open(data) as hub:
                serving.serve(create_app(hub), listener, ready=ready)

        if processes == 1:
            answer(0)
        else:
            Hub.open(data).__exit__()  # whatever is wrong is told once, and a new database is made by one
            side_by_side(processes, answer)


@main.command()
@_data
@click.option("--name", required=True, help="The site's name, for people.")
@click.option("--url", default="", help="Where the box finds this hub. Without it the box uses sticks only.")
@click.option("--recovery", multiple=True, metavar="AGE1...", help="One more age recipient that can open its batches.")
def enrol(data: Path, name: str, url: str, recovery: tuple[str, ...]) -> None:
    """Make a token that lets one box in; print it on standard output.

    \b
    fieldpost-hub enrol --data /srv/hub --name "Kisumu clinic" --url https://hub.example.org
    fieldpost-hub enrol --data /srv/hub --name "Island school"        (sticks only)
    """
    from appliance.hub.enrol import issue_token
    from appliance.hub.ingest import Hub

    with Hub.open(data) as hub:
        token = issue_token(hub.storage, hub.keys, site=name, url=url, recovery=recovery)
    click.echo(f"A token for one box, {name}. It works once; treat it like a password. At the box:", err=True)
    click.echo("    fieldpost sync enrol TOKEN --home /srv/fieldpost", err=True)
    click.echo(token)


@main.command()
@click.argument("box")
@_data
def revoke(box: str, data: Path) -> None:
    """Take nothing more from BOX, which was stolen or lost. What it sent before stays.

    
    fieldpost-hub revoke box-abcdefgh23456789 --data /srv/hub
    Its name is what status shows in brackets. A box in good hands again is let in with a new token.
    """
    from appliance.hub.ingest import Hub

    with Hub.open(data, make=False) as hub:
        hub.revoke(box)
    click.echo(f"{box} is shut out.")


@main.command()
@click.argument("url")
@_data
@json_option
def database(url: str, data: Path, as_json: bool) -> None:
    """Keep the hub's data in the database at URL from now on; what it has already goes there. Stop the hub first.

    \b
    fieldpost-hub database postgresql://fieldpost@db.example.org/fieldpost --data /srv/hub
    fieldpost-hub database sqlite --data /srv/hub          (back into DIR/hub.sqlite)
    A new hub can begin with it. Leave the password out of URL: PostgreSQL's own ~/.pgpass is read. The user needs the
    right to create schemas there. Keys, the archive and what is on its way stay in DIR.
    """
    from appliance.hub.rebuild import rebuild as make_anew

    _tell(make_anew(data, database=url, progress=_with_bar), as_json)


@main.command()
@_data
@json_option
def rebuild(data: Path, as_json: bool) -> None:
    """Make the database anew from the batches as they came, when it is damaged or lost. Stop the hub first.

    \b
    fieldpost-hub rebuild --data /srv/hub
    """
    from appliance.hub.rebuild import rebuild as make_anew

    _tell(make_anew(data, progress=_with_bar), as_json)


def _tell(rebuilt: "Rebuilt", as_json: bool) -> None:
    for sentence in rebuilt.refused:
        click.echo(f"Left alone: {sentence}", err=True)
    if as_json:
        click.echo(json.dumps(asdict(rebuilt), ensure_ascii=False))
        return
    click.echo(f"Made anew from {rebuilt.boxes} boxes and {rebuilt.batches} batches.")
    if rebuilt.before:
        click.echo(f"The old database is kept in {rebuilt.before}.")
    click.echo("Tokens that no box has used yet are gone: make new ones with fieldpost-hub enrol.")


@main.command("import")
@click.argument("stick", type=click.Path(path_type=Path, exists=True, file_okay=False))
@_data
@json_option
def import_(stick: Path, data: Path, as_json: bool) -> None:
    """Take in what boxes sent on STICK, and write the hub's receipts onto it.

    \b
    fieldpost-hub import /media/usb --data /srv/hub
    Carry the stick back: fieldpost sync import --stick /media/usb --home /srv/fieldpost
    Ends with 1 when a file was left alone; all others were taken in nevertheless.
    """
    from appliance.hub.ingest import Hub
    from appliance.hub.stick import import_stick

    with Hub.open(data, make=False) as hub:
        imported = import_stick(hub, stick, progress=_with_bar)
    for sentence in imported.refused:
        click.echo(f"Left alone: {sentence}", err=True)
    if as_json:
        facts = {
            "batches": imported.batches,
            "enrolled": imported.enrolled,
            "receipts": imported.receipts,
            "refused": imported.refused,
        }
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        click.echo(f"Batches     {imported.batches}, {len(imported.refused)} files left alone")
        click.echo(f"Enrolled    {', '.join(imported.enrolled) or 'none'}")
        click.echo(f"Receipts    {', '.join(imported.receipts) or 'none'}")
    if imported.refused:
        raise BatchRefused(
            f"{len(imported.refused)} files of {stick} were left alone, as told above.",
            needed="Whole batches of boxes that are enrolled here are needed.",
            todo="All others were taken in.",
        )


@main.command()
@_data
@json_option
def status(data: Path, as_json: bool) -> None:
    """Tell which boxes have reported, when, and how many records of each stream are here.

    \b
    fieldpost-hub status --data /srv/hub
    fieldpost-hub status --data /srv/hub --json
    """
    from appliance.hub.ingest import Hub

    with Hub.open(data, make=False) as hub:
        boxes = hub.storage.boxes()
    totals = {stream: sum(box.records[stream] for box in boxes) for stream in STREAMS}
    if as_json:
        listed = [
            {
                "box": b.box,
                "name": b.site,
                "last_contact": _iso(b.last_contact_ms),
                "records": b.records,
                "revoked": b.revoked_ms and _iso(b.revoked_ms),
            }
            for b in boxes
        ]
        click.echo(json.dumps({"boxes": listed, "records": totals}, ensure_ascii=False))
        return
    for box in boxes:
        shut = f", shut out {_iso(box.revoked_ms)}" if box.revoked_ms else ""
        click.echo(f"{box.site}  ({box.box}), last heard of {_iso(box.last_contact_ms)}{shut}")
        click.echo("  " + ", ".join(f"{number} {stream}" for stream, number in box.records.items()))
    click.echo(
        f"{len(boxes)} {'box' if len(boxes) == 1 else 'boxes'}: "
        + ", ".join(f"{number} {stream}" for stream, number in totals.items())
    )


@main.command()
@_data
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A .jsonl file; made anew.")
@click.option("--box", "boxes", multiple=True, help="Only this box; may be given again.")
@click.option("--stream", "streams", multiple=True, type=click.Choice(STREAMS), help="Only this stream.")
def export(data: Path, out: Path, boxes: tuple[str, ...], streams: tuple[str, ...]) -> None:
    """Write what boxes sent to OUT, a record a line, each with the interval in which it was made.

    \b
    fieldpost-hub export --out chat.jsonl --stream chat --data /srv/hub
    The interval (made_from, made_until) holds also for boxes whose clock is wrong; made_from is null where nothing
    bounds it. Bodies are as redacted at the site; withheld and erased ones are null.
    """
    from appliance.hub.export import exported, write_lines
    from appliance.hub.ingest import Hub

    with Hub.open(data, make=False) as hub:
        written = write_lines(out, exported(hub.storage, boxes=boxes, streams=streams or STREAMS))
    click.echo(f"{written} records are in {out}.")


for _command in (publish, group, rollout):
    main.add_command(_command)


def _with_bar(names: list[T]) -> Iterator[T]:
    """The names, with a bar on standard error while a person looks on."""
    with click.progressbar(names, label="Batches", file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
        yield from shown


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    main()
