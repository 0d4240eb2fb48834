"""``fieldpost-hub publish``, ``group`` and ``rollout``: which release boxes should have, and who tries it first."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from appliance.command import json_option

data_option = click.option(
    "--data",
    envvar="FIELDPOST_HUB_DATA",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The hub's folder; made on first use. The variable FIELDPOST_HUB_DATA works too.",
)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@data_option
@click.option("--fingerprint", help="Of your organisation's root; asked for the first time only.")
def publish(bundle: Path, data: Path, fingerprint: str | None) -> None:
    """Take in BUNDLE, which headquarters signed, so that boxes can have it. The hub signs nothing.

    \b
    fieldpost-hub publish build/clinic --data /srv/hub --fingerprint SHA256:...
    fieldpost-hub publish build/clinic-1.2-to-1.3 --data /srv/hub     (an update: adds its deltas to 1.3)
    No box takes it before: fieldpost-hub rollout
    """
    from appliance.hub.ingest import Hub
    from appliance.hub.releases import Releases

    with Hub.open(data, make=False):
        published = Releases(data).publish(bundle, fingerprint)
    click.echo(f"{published.name} can be given out: {published.id}")


@click.command()
@click.argument("box")
@click.argument("group")
@data_option
def group(box: str, group: str, data: Path) -> None:
    """Make BOX one of GROUP; boxes that were put into none are in the group "all".

    \b
    fieldpost-hub group box-abcdefgh23456789 clinics --data /srv/hub
    """
    from appliance.hub.ingest import Hub
    from appliance.hub.wishes import put_in_group

    with Hub.open(data, make=False) as hub:
        put_in_group(data, hub.storage, box, group)
    click.echo(f"{box} is in the group {group}.")


@click.command()
@click.argument("release", required=False)
@data_option
@click.option("--group", default="all", show_default=True, help="Whose boxes should have it.")
@click.option("--canary", "canaries", multiple=True, metavar="BOX", help="Tries it first; may be given more than once.")
@click.option("--tolerate", default=0, show_default=True, type=click.IntRange(0), help="Other boxes it may fail on.")
@json_option
def rollout(
    release: str | None, data: Path, group: str, canaries: tuple[str, ...], tolerate: int, as_json: bool
) -> None:
    """Have the boxes of a group take RELEASE, the canaries first; without RELEASE, tell how far each group is.

    \b
    fieldpost-hub rollout "clinic 1.3.0" --canary box-abcdefgh23456789 --group clinics --data /srv/hub
    fieldpost-hub rollout --data /srv/hub
    Once each canary says that it works there, the others follow. Where it does not work on a canary, or on more of the
    others than --tolerate, no further box gets it, and this command says so.
    """
    from appliance.hub.ingest import Hub
    from appliance.hub.releases import Releases
    from appliance.hub.wishes import begin, standing

    with Hub.open(data, make=False) as hub:
        if release is not None:
            begin(data, hub.storage, release, group=group, canaries=canaries, tolerate=tolerate)
        stands = standing(data, hub.storage)
        names = {one.id: one.name for one in Releases(data).all()}
    if as_json:
        told = {name: {**asdict(wish), **asdict(now)} for name, (wish, now) in stands.items()}
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    for name, (wish, now) in stands.items():
        click.echo(f"{name}: {names.get(wish.release, wish.release)}, {now.stage}")
        click.echo(f"  works on {len(now.works)}, failed on {', '.join(now.failed) or 'none'}")
        if now.waiting and not now.failed:
            click.echo(f"  waits for {', '.join(now.waiting)}")
    if not stands:
        click.echo("No release is being rolled out.")
