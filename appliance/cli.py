"""``fieldpost``, the box's command: serve, ask, status, bench, index, eval, log, sync, doctor, backup, restore.

Reads arguments, opens the box and prints; what is done is decided elsewhere. Heavy rooms are imported by the command
that needs them, so that ``status`` answers at once on a slow box.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from appliance.cli_bench import bench
from appliance.cli_care import backup, doctor, restore
from appliance.cli_documents import documents
from appliance.cli_eval import evaluate
from appliance.cli_keys import keys
from appliance.cli_log import log
from appliance.cli_people import people
from appliance.cli_serve import serve
from appliance.cli_weights import measure_perplexity, quantize_weights
from appliance.command import Speaks, home_option, json_option, progress_bar
from appliance.config import Config, Home, load_config
from appliance.exchange import Exchange


@click.group(cls=Speaks)
@click.version_option(package_name="fieldpost")
def main() -> None:
    """Fieldpost, the AI box for places without internet.

    \b
    Start the page:      fieldpost serve --home /srv/fieldpost
    Ask from here:       fieldpost ask "Maji yachemke kwa muda gani?" --lang sw --home /srv/fieldpost
    How is the box?      fieldpost status --home /srv/fieldpost
    Send the log home:   fieldpost sync run --home /srv/fieldpost
    Is all well with it? fieldpost doctor --home /srv/fieldpost
    """


@main.command()
@click.argument("text")
@home_option
@click.option("--lang", help="Your language, such as sw, or auto. Default: the bundle's first.")
@click.option("--adapter", help="Answer through this adapter of the bundle.")
@json_option
def ask(text: str, home: Path, lang: str | None, adapter: str | None, as_json: bool) -> None:
    """Ask one question and print the answer with its sources.

    \b
    fieldpost ask "For how long must the water boil?" --home /srv/fieldpost
    fieldpost ask "Maji yachemke kwa muda gani?" --lang sw --adapter steps --home /srv/fieldpost
    """
    from appliance.box import open_box
    from appliance.draft import Said
    from appliance.exchange import Question
    from appliance.pipeline import Finished

    if not text.strip():
        raise click.UsageError("The question is empty.")
    with open_box(Home(root=home)) as box:
        if box.quoting:
            click.echo(f"Note: The documents are quoted, and no model is asked: {box.quoting}", err=True)
        lang = lang or box.release.languages[0]
        box.check(lang=lang, adapter=adapter)
        shown = ""
        for event in box.pipeline.ask(Question(text=text, lang=lang, adapter=adapter)):
            if isinstance(event, Said) and not as_json and event.answer.startswith(shown):
                click.echo(event.answer[len(shown) :], nl=False)
                shown = event.answer
            if isinstance(event, Finished):
                if as_json:
                    click.echo(json.dumps(asdict(event.exchange), ensure_ascii=False))
                else:
                    whole = event.exchange.answer
                    click.echo(whole[len(shown) :] if whole.startswith(shown) else f"\n{whole}")
                    _print_sources(event.exchange)


@main.command()
@home_option
@json_option
def status(home: Path, as_json: bool) -> None:
    """Tell what is installed, what waits for the hub, and how the machine is doing.

    \b
    fieldpost status --home /srv/fieldpost
    """
    from appliance.box import documents_of
    from appliance.confine import available
    from appliance.log.store import Log
    from appliance.metrics import look, vitals
    from appliance.power import Standing, stand
    from appliance.release import load_release
    from appliance.sync.client import sync_state

    place = Home(root=home)
    config = load_config(place)  # a mistake in it is told here too: this is where one looks
    battery = Path(config.power.battery_file) if config.power.battery_file else None
    seen = vitals(battery)
    standing = stand(Standing(), seen, config.power, 0.0)
    upstream = _ask_upstream(config)
    release = load_release(place)
    passages, problems = documents_of(place, config, release)
    records = Log.count(place.log) if place.log.exists() else 0
    sync = sync_state(place)
    machine = look(home)
    if as_json:
        facts = {
            "bundle": release.bundle,
            "version": release.version,
            "release": release.number,
            "languages": release.languages,
            "components": [f"{c.kind} {c.name} {c.version}" for c in release.components],
            "revoked": dict(release.revoked),
            "passages": passages,
            "document_problems": problems,
            "records": records,
            "sync": asdict(sync),
            "machine": {**asdict(machine), **asdict(seen)},
            "mode": standing.mode.name.lower(),
            "upstream": upstream,
            "engine_confined": available(),
        }
        click.echo(json.dumps(facts, ensure_ascii=False, default=str))
        return
    gib = 1 << 30
    click.echo(f"Bundle      {release.bundle} {release.version} (release {release.number}): {release.title}")
    click.echo(f"Languages   {', '.join(release.languages)}")
    for component in release.components:
        click.echo(f"  {component.kind:<9} {component.name} {component.version}, {component.licence}")
    for target, reason in release.revoked.items():
        click.echo(f"  disabled  {target}: taken back by your organisation: {reason}")
    click.echo(f"Documents   {passages} passages" + "".join(f"\n  problem   {problem}" for problem in problems))
    click.echo(f"Engine      its process: {', '.join(available()) or 'not confined, this kernel is too old'}")
    if upstream is not None:
        click.echo(f"Upstream    {config.upstream.url} {upstream or 'answers'}")
    known = [f"battery {seen.battery:.0f} %{' charging' if seen.charging else ''}"] if seen.battery is not None else []
    known += [f"{seen.celsius:.0f} °C"] if seen.celsius is not None else []
    why = f" for its {standing.cause}" if standing.cause else ""
    click.echo(f"Mode        {standing.mode.name.lower()}{why}{': ' if known else ''}{', '.join(known)}")
    click.echo(f"Log         {records} records, {sync.pending} not yet at the hub")
    click.echo(f"Hub         {sync.hub or 'none: enrol with fieldpost sync enrol TOKEN'}")
    click.echo(f"Last sync   {sync.last_contact or 'never'}")
    click.echo(f"Memory      {machine.memory_available / gib:.1f} of {machine.memory_total / gib:.1f} GiB free")
    click.echo(f"Disk        {machine.disk_free / gib:.1f} of {machine.disk_total / gib:.1f} GiB free")


def _ask_upstream(config: Config) -> str | None:
    """What ails the site's server; empty when it answers, None where there is none."""
    from appliance.box import upstream_of

    server = upstream_of(config) if config.upstream.url else None
    if server is None:
        return None
    try:
        return server.ails()
    finally:
        server.close()


@main.command()
@home_option
@click.argument("name", required=False)
def cards(home: Path, name: str | None) -> None:
    """Show what the makers of the installed parts say of them; of all, or of the one called NAME.

    \b
    fieldpost cards --home /srv/fieldpost
    fieldpost cards steps --home /srv/fieldpost
    """
    from appliance.errors import ReleaseError
    from appliance.release import load_release

    components = load_release(Home(root=home)).components
    shown = [c for c in components if name in (None, c.name)]
    if not shown:
        raise ReleaseError(f"Nothing here is called {name}.", needed=", ".join(c.name for c in components) + ".")
    for component in shown:
        click.echo(f"== {component.kind} {component.name} {component.version}, {component.licence}, "
                   f"by {component.publisher}\n\n{component.card or '(no card)'}\n")  # fmt: skip


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--docpack", required=True, help="Name of the docpack; part of every passage's id.")
@click.option("--language", required=True, help="Language of the documents, such as en.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The index to write, an SQLite file.")
@click.option(
    "--embed",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A GGUF model that embeds: passages are then found by meaning too.",
)
def index(files: tuple[Path, ...], docpack: str, language: str, out: Path, embed: Path | None) -> None:
    """Index documents for search. The bundler calls this; the same files give the same bytes.

    Read are Markdown, text, HTML, PDF, Word, OpenDocument, EPUB, CSV and workbooks. What is worth knowing about them
    (copies, pages without text) is said on standard error.

    \b
    fieldpost index guides/*.md --docpack field-guides --language en --out index.sqlite
    """
    from appliance.engine.embedding import open_embedder
    from appliance.knowledge.index import build_index

    with open_embedder(embed) as embedder:
        build_index(
            files,
            docpack=docpack,
            language=language,
            out=out,
            note=lambda words: click.echo(f"Note: {words}", err=True),
            embedder=embedder,
        )


main.add_command(quantize_weights)
main.add_command(measure_perplexity)
main.add_command(bench)
main.add_command(documents)
main.add_command(evaluate)
main.add_command(log)
main.add_command(keys)
main.add_command(doctor)
main.add_command(backup)
main.add_command(restore)
main.add_command(people)
main.add_command(serve)


@main.group(cls=Speaks)
def sync() -> None:
    """Bring the log to the hub, over a link or on a stick.

    \b
    fieldpost sync enrol TOKEN --home /srv/fieldpost
    fieldpost sync run --home /srv/fieldpost
    fieldpost sync export --stick /media/usb --home /srv/fieldpost
    """


@sync.command()
@click.argument("token")
@home_option
def enrol(token: str, home: Path) -> None:
    """Join the hub that issued TOKEN. The box makes its own key; the token works once.

    \b
    On the hub:   fieldpost-hub enrol --data /srv/hub --name "Kisumu clinic" --url https://hub.example.org
    On the box:   fieldpost sync enrol TOKEN --home /srv/fieldpost
    """
    from appliance.sync import enrol as enrolment

    place = Home(root=home)
    place.prepare_data()
    hub = enrolment.enrol(place, token)
    click.echo(f"This box belongs to the hub {hub.url or '(stick only)'} now. It says so at the next contact.")


@sync.command("run")
@home_option
@json_option
def run_sync(home: Path, as_json: bool) -> None:
    """Send everything that waits to the hub over the network, now.

    \b
    fieldpost sync run --home /srv/fieldpost
    """
    from appliance.sync.client import sync_over_http, sync_state

    place = Home(root=home)
    with progress_bar(sync_state(place).pending, "Sending") as bar:
        report = sync_over_http(place, progress=bar.update)
    _print_report(asdict(report), as_json)


@sync.command("update")
@home_option
@json_option
def update_from_hub(home: Path, as_json: bool) -> None:
    """Fetch and install the release that the hub wants here, as far as today's bytes go. A serving box does it itself.

    \b
    fieldpost sync update --home /srv/fieldpost
    """
    from appliance.config import load_config
    from appliance.log.chain import LEAVES
    from appliance.log.store import Log
    from appliance.sync.identity import load_or_make_identity
    from appliance.sync.update import update_over_http

    place = Home(root=home)
    config = load_config(place)
    leaves = LEAVES[config.safety.share]
    with Log.open(place.log, load_or_make_identity(place).box, leaves) as log:
        desired = update_over_http(place, log.append, manner=config.sync.updates, daily=config.sync.down_mb * 1_000_000)
    if as_json:
        click.echo(json.dumps(asdict(desired), ensure_ascii=False))
        return
    left = "an unknown number of" if desired.left is None else f"{desired.left:,}"
    told = f"Settled. {desired.problem}".strip() if desired.settled else f"{left} bytes are still to come."
    click.echo(told if desired.release else "The hub wants no other release here.")


@sync.command("export")
@home_option
@click.option("--stick", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@json_option
def export_stick(home: Path, stick: Path, as_json: bool) -> None:
    """Write everything that the hub has not acknowledged onto a stick, sealed for the hub only.

    \b
    fieldpost sync export --stick /media/usb --home /srv/fieldpost
    """
    from appliance.sync.client import export_to_stick

    _print_report(asdict(export_to_stick(Home(root=home), stick)), as_json)


@sync.command("import")
@home_option
@click.option("--stick", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@json_option
def import_stick(home: Path, stick: Path, as_json: bool) -> None:
    """Take the hub's receipts from a stick that came back.

    \b
    fieldpost sync import --stick /media/usb --home /srv/fieldpost
    """
    from appliance.sync.client import import_from_stick

    _print_report(asdict(import_from_stick(Home(root=home), stick)), as_json)


def _print_report(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False, default=str))
        return
    for name, value in report.items():
        click.echo(f"{name.replace('_', ' '):<22} {value}")


def _print_sources(exchange: Exchange) -> None:
    if exchange.lang != exchange.working_lang:
        click.echo(f"\nUnderstood as: {exchange.question_working}\nOriginal: {exchange.answer_working}")
    for number in exchange.cited:
        passage = exchange.passages[number - 1]
        page = f", page {passage.page}" if passage.page else ""
        click.echo(f"[{number}] {passage.title} > {passage.heading} ({passage.document}{page}, characters "
                   f"{passage.start}-{passage.end})")  # fmt: skip
    for claim in exchange.claims:
        if not claim.supported:
            click.echo(f"Not in the documents: {claim.text_working.strip()}", err=True)
    for flag in exchange.flags:
        click.echo(f"Note: {flag.replace('-', ' ')}.", err=True)


if __name__ == "__main__":
    main()
