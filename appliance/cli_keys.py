"""``fieldpost keys``: who may use the API."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from appliance.accounts.keys import Keys
from appliance.command import Speaks, home_option, json_option
from appliance.config import Home


@click.group(cls=Speaks)
def keys() -> None:
    """Keys for other programs on the site's network. Without any, the API is off.

    \b
    fieldpost keys new spreadsheet --home /srv/fieldpost
    Then: base URL http://fieldpost.local:7860/v1, and the key that was printed.
    """


@keys.command()
@click.argument("name")
@home_option
def new(name: str, home: Path) -> None:
    """Make a key called NAME and print it, once.

    \b
    fieldpost keys new spreadsheet --home /srv/fieldpost
    """
    secret = _keys(home).make(name)
    click.echo("The key, told this once. Whoever has it may use the model:", err=True)
    click.echo(secret)


@keys.command("list")
@home_option
@json_option
def list_(home: Path, as_json: bool) -> None:
    """Name every key and when it was made.

    \b
    fieldpost keys list --home /srv/fieldpost
    """
    known = _keys(home).all()
    if as_json:
        click.echo(json.dumps([asdict(key) for key in known]))
        return
    for key in known:
        click.echo(f"{key.name:<24} made {datetime.fromtimestamp(key.made_s, UTC):%Y-%m-%d %H:%M} UTC")
    if not known:
        click.echo("No keys: the API is off.")


@keys.command()
@click.argument("name")
@home_option
def revoke(name: str, home: Path) -> None:
    """Refuse whoever holds the key called NAME from now on.

    \b
    fieldpost keys revoke spreadsheet --home /srv/fieldpost
    """
    _keys(home).revoke(name)
    click.echo(f"The key {name} is revoked.")


def _keys(home: Path) -> Keys:
    place = Home(root=home)
    place.prepare_data()
    return Keys(place.api_keys)
