"""``fieldpost log``: verify, show, export, erase."""

import csv
import json
import os
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from appliance.command import Speaks, home_option, json_option
from appliance.config import Home
from appliance.errors import LogError
from appliance.log.chain import STREAMS, Record

if TYPE_CHECKING:
    from appliance.log.store import Log

_stream = click.option(
    "--stream", "streams", multiple=True, type=click.Choice(STREAMS), help="Only this stream; may be given again."
)


@click.group(cls=Speaks)
def log() -> None:
    """The record of every exchange, redacted and chained."""


@log.command()
@home_option
@json_option
def verify(home: Path, as_json: bool) -> None:
    """Recompute every hash of the log; exit 1 and name the first bad record if one was changed.

    \b
    fieldpost log verify --home /srv/fieldpost
    """
    with _reading(home) as opened:
        report = opened.verify()
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        for stream, number in report.records.items():
            click.echo(f"{stream:<9} {number} records")
        click.echo(f"The log is whole: {sum(report.records.values())} records." if report.ok else report.problem)
    if not report.ok:
        sys.exit(1)


@log.command()
@home_option
@_stream
@click.option("--last", default=20, show_default=True, type=click.IntRange(1), help="How many records a stream.")
@click.option("--containing", metavar="TEXT", help="Only records with this text in them.")
@json_option
def show(home: Path, streams: tuple[str, ...], last: int, containing: str | None, as_json: bool) -> None:
    """Print the newest records, oldest first. Texts are as they were stored: redacted.

    \b
    fieldpost log show --home /srv/fieldpost
    fieldpost log show --stream chat --containing malaria --home /srv/fieldpost
    """
    with _reading(home) as opened:
        for stream in streams or STREAMS:
            for record in deque(filter(_holds(containing), opened.records([stream])), last):
                facts = _facts(record)
                if as_json:
                    click.echo(json.dumps(facts, ensure_ascii=False))
                else:
                    body = record.body.decode("utf-8") if record.body is not None else "(erased)"
                    click.echo(f"{facts['wall']}  {stream} {record.seq}  {body}")


@log.command()
@home_option
@_stream
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A .jsonl or .csv file.")
def export(home: Path, streams: tuple[str, ...], out: Path) -> None:
    """Write the log into a file for other programs, readable by you only. Its ending says how: .jsonl or .csv.

    \b
    fieldpost log export --out log.jsonl --home /srv/fieldpost
    fieldpost log export --stream chat --out chat.csv --home /srv/fieldpost
    """
    writers: dict[str, Callable[[IO[str], Iterator[Record]], int]] = {".jsonl": _write_jsonl, ".csv": _write_csv}
    if out.suffix not in writers:
        raise click.UsageError(f"{out.name} ends in {out.suffix or 'nothing'}; .jsonl or .csv is needed.")
    with _reading(home) as opened:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            os.fchmod(descriptor, 0o600)
            count = writers[out.suffix](file, opened.records(streams or STREAMS))
    click.echo(f"{out}: {count} records")


@log.command()
@home_option
@click.option("--containing", metavar="TEXT", help="Every exchange and feedback with this text in it.")
@click.option("--id", "exchange", metavar="ID", help="The exchange with this id, and what was said of it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(home: Path, containing: str | None, exchange: str | None, yes: bool) -> None:
    """Take what somebody wrote out of the log for good, here and, at the next contact, at the hub.

    \b
    fieldpost log erase --containing "Amina Odhiambo" --home /srv/fieldpost
    fieldpost log erase --id 3f2a... --home /srv/fieldpost

    The records' places and hashes stay, so that the log still verifies. What was erased cannot be brought back.
    """
    from appliance.log.store import Log
    from appliance.sync.erase import erase as erase_everywhere
    from appliance.sync.identity import load_or_make_identity

    if bool(containing) == bool(exchange):
        raise click.UsageError("Name either --containing TEXT or --id ID.")
    holds = _holds(containing) if containing else _is_of(str(exchange))
    places: dict[str, list[int]] = defaultdict(list)
    with _reading(home) as opened:
        for record in opened.records(("safety", "feedback", "chat")):
            if record.body is not None and holds(record):
                places[record.stream].append(record.seq)
                if not yes:
                    click.echo(f"{record.stream} {record.seq}  {record.body.decode('utf-8')[:200]}")
    if not places:
        raise LogError("No record of the log holds that.", needed="Nothing was erased.")
    if not yes:
        click.confirm(f"Erase these {sum(map(len, places.values()))} records for good?", abort=True)
    place = Home(root=home)
    with Log.open(place.log, load_or_make_identity(place).box) as writing:
        click.echo(f"{erase_everywhere(place, writing, places)} records erased. The hub is asked at the next contact.")


@contextmanager
def _reading(home: Path) -> Iterator["Log"]:
    from appliance.log.store import Log
    from appliance.sync.identity import load_or_make_identity

    place = Home(root=home)
    if not place.log.exists():
        raise LogError(f"There is no log in {home} yet.", todo="Ask a question first, or name the right folder.")
    with Log.open_to_read(place.log, load_or_make_identity(place).box) as opened:
        yield opened


def _holds(text: str | None) -> Callable[[Record], bool]:
    """Whether a record holds a text, whatever the case of its letters; every record does for no text."""
    if text is None:
        return lambda record: True
    # As it stands in JSON: a quote or a line break is written with a backslash there.
    wanted = json.dumps(text, ensure_ascii=False)[1:-1].casefold()
    return lambda record: record.body is not None and wanted in record.body.decode("utf-8").casefold()


def _is_of(exchange: str) -> Callable[[Record], bool]:
    def holds(record: Record) -> bool:
        body = json.loads(record.body or b"{}")
        return exchange in (body.get("id"), body.get("exchange"))

    return holds


def _facts(record: Record) -> dict[str, Any]:
    return {
        "stream": record.stream,
        "seq": record.seq,
        "boot": record.boot,
        "mono_ms": record.mono_ms,
        "wall": _wall(record.wall_ms),
        "egress": record.egress,
        "body": None if record.body is None else json.loads(record.body),
        "hash": record.hash.hex(),
    }


def _wall(ms: int) -> str:
    """By the box's own clock, which may be far off; also before 1970 and beyond the year 9999."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def _write_jsonl(file: IO[str], records: Iterator[Record]) -> int:
    count = 0
    for record in records:
        file.write(json.dumps(_facts(record), ensure_ascii=False) + "\n")
        count += 1
    return count


def _write_csv(file: IO[str], records: Iterator[Record]) -> int:
    """One column for each name at the top of a body; what is deeper stays JSON.

    Two ways through would need the whole log twice, so the columns are those of the exchanges; the rest is ``body``.
    """
    writer = csv.writer(file)
    writer.writerow(["stream", "seq", "boot", "mono_ms", "wall", "egress", *_TEXTS, "body", "hash"])
    count = 0
    for record in records:
        facts = _facts(record)
        body = facts["body"] or {}
        texts = [_harmless(str(body.pop(name, ""))) for name in _TEXTS]
        rest = json.dumps(body, ensure_ascii=False) if record.body is not None else ""
        plain = [facts[name] for name in ("stream", "seq", "boot", "mono_ms", "wall", "egress")]
        writer.writerow([*plain, *texts, rest, facts["hash"]])
        count += 1
    return count


_TEXTS = ("id", "lang", "question", "question_working", "answer", "answer_working")


def _harmless(text: str) -> str:
    """A spreadsheet runs a cell that begins like a formula; whoever asked a question decides how it begins."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
