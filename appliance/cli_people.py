"""``fieldpost people``: who may sign in, for when nobody can do it on the page any more."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any

import click

from appliance.accounts.people import SETTINGS, People, Role
from appliance.command import Speaks, home_option, json_option
from appliance.config import Home


@click.group(cls=Speaks)
def people() -> None:
    """People who sign in to the page. The administration page does the same.

    \b
    fieldpost people add "Amina Otieno" --home /srv/fieldpost
    fieldpost people reset "Amina Otieno" --home /srv/fieldpost
    fieldpost people list --home /srv/fieldpost
    """


def _opened(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, given the open accounts in place of HOME."""

    @wraps(command)
    def opened(home: Path, **arguments: Any) -> Any:
        place = Home(root=home)
        place.prepare_data()
        with People(place.accounts) as known:
            return command(known, **arguments)

    return home_option(opened)


@people.command()
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), default="worker", show_default=True)
@click.option("--pictures", is_flag=True, help="Three pictures in place of a PIN, for who does not read.")
@_opened
def add(known: People, name: str, role: str, pictures: bool) -> None:
    """Add a person called NAME and print their PIN or pictures, once.

    \b
    fieldpost people add "Amina Otieno" --home /srv/fieldpost
    fieldpost people add "Juma" --pictures --home /srv/fieldpost
    """
    _, secret = known.add(name, Role(role), "pictures" if pictures else "pin")
    click.echo("Told this once; it can be changed after signing in:", err=True)
    click.echo(secret)


@people.command()
@click.argument("name")
@click.option("--pictures", is_flag=True, help="Three pictures in place of a PIN.")
@_opened
def reset(known: People, name: str, pictures: bool) -> None:
    """Give NAME another PIN or other pictures, and print them, once. Signs them out everywhere.

    \b
    fieldpost people reset "Amina Otieno" --home /srv/fieldpost
    """
    click.echo(known.reset(known.named(name).id, "pictures" if pictures else "pin"))


@people.command("shut-out")
@click.argument("name")
@_opened
def shut_out(known: People, name: str) -> None:
    """Let NAME in no more, and end their sessions.

    \b
    fieldpost people shut-out "Amina Otieno" --home /srv/fieldpost
    """
    known.shut_out(known.named(name).id)
    click.echo(f"{name} is shut out.")


@people.command("let-in")
@click.argument("name")
@_opened
def let_in(known: People, name: str) -> None:
    """Let NAME in again, after shut-out or too many wrong tries.

    \b
    fieldpost people let-in "Amina Otieno" --home /srv/fieldpost
    """
    known.let_in(known.named(name).id)
    click.echo(f"{name} may sign in.")


@people.command()
@click.argument("name")
@_opened
def remove(known: People, name: str) -> None:
    """Forget NAME, with sessions and history.

    \b
    fieldpost people remove "Amina Otieno" --home /srv/fieldpost
    """
    known.remove(known.named(name).id)
    click.echo(f"{name} is removed.")


@people.command("list")
@json_option
@_opened
def list_people(known: People, as_json: bool) -> None:
    """Name everybody, with role and state.

    \b
    fieldpost people list --home /srv/fieldpost
    """
    everybody = known.all()
    if as_json:
        click.echo(json.dumps([asdict(person) for person in everybody], ensure_ascii=False))
        return
    for person in everybody:
        state = "shut out" if not person.active else "closed by wrong tries" if person.closed else ""
        click.echo(f"{person.name:<32} {person.role:<11} {person.kind:<9} {state}".rstrip())
    if not everybody:
        click.echo("Nobody yet. fieldpost serve prints the code for the first administrator.")


@people.command("setting")
@click.argument("name", type=click.Choice(list(SETTINGS)))
@click.argument("value", required=False)
@_opened
def setting(known: People, name: str, value: str | None) -> None:
    """Show or change what holds for the whole site.

    \b
    entry      people: everybody signs in; code: whoever knows the access code may ask too
    transport  https: pages travel encrypted; http: they do not
    \b
    fieldpost people setting entry code --home /srv/fieldpost
    """
    if value is not None:
        known.decide(name, value)
    click.echo(getattr(known, name))
