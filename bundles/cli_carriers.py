"""The commands that carry bundles: through a registry, and what an update brings."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from bundles.carry import pull as pull_bundle
from bundles.carry import push as push_bundle
from bundles.carry import trust_file, trust_fingerprint
from bundles.registry import Registry, parse_reference
from bundles.telling import default_cache, size

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def register(group: click.Group) -> None:
    """Give the commands to ``fieldpost-bundle``."""
    for command in (push, pull):
        group.add_command(command)


@click.command()
@click.argument("bundle", type=_FOLDER)
@click.argument("place")
@click.option("--json", "as_json", is_flag=True, help="Print what is stored now as JSON.")
def push(bundle: Path, place: str, as_json: bool) -> None:
    """Store BUNDLE in an OCI registry, at PLACE.

    \b
    fieldpost-bundle push build/demo registry.example.org/relief/clinic:1.2.0
    FIELDPOST_REGISTRY_USER=me FIELDPOST_REGISTRY_PASSWORD=... fieldpost-bundle push build/demo localhost:5000/demo:1

    What the registry has already is not sent again. A login made with skopeo, podman or docker is used.
    """
    where = parse_reference(place)
    with Registry(where, cache=default_cache()) as registry:
        done = push_bundle(bundle, where, registry)
    if as_json:
        click.echo(json.dumps(asdict(done), indent=2, sort_keys=True))
        return
    click.echo(f"{done.place}: {done.bundle} {done.version}, index {done.index}")
    click.echo(f"Sent {done.sent_files} files, {size(done.sent_bytes)}; {done.kept_files} were there already.")


@click.command()
@click.argument("place")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The bundle's folder.")
@click.option("--trust", type=_FILE, help="The 1.root.json of the signing folder.")
@click.option("--fingerprint", metavar="SHA256:...", help="The root fingerprint, in its place.")
@click.option("--json", "as_json", is_flag=True, help="Print what was fetched as JSON.")
def pull(place: str, out: Path, trust: Path | None, fingerprint: str | None, as_json: bool) -> None:
    """Fetch the bundle at PLACE of an OCI registry and check every signature and byte of it.

    \b
    fieldpost-bundle pull registry.example.org/relief/clinic:1.2.0 --out build/clinic --trust ~/keys/1.root.json
    fieldpost-bundle pull localhost:5000/demo:1 --out build/demo --fingerprint SHA256:...

    Interrupted, it goes on where it stopped. An older bundle in the folder is replaced, and what it has is not
    fetched again.
    """
    if (trust is None) == (fingerprint is None):
        raise click.UsageError("Say whom you trust: --trust FILE or --fingerprint SHA256:...")
    trusted = trust_file(trust.read_bytes()) if trust else trust_fingerprint(fingerprint or "")
    where = parse_reference(place)
    with Registry(where, cache=default_cache()) as registry:
        checked = pull_bundle(where, out, registry, trusted=trusted)
    if as_json:
        click.echo(json.dumps({"verified": True, **asdict(checked)}, indent=2, sort_keys=True))
        return
    what = f"{checked.bundle} {checked.version}, {len(checked.paths)} files, {size(checked.bytes)}"
    click.echo(f"{out}: {what}, every byte checked")
    click.echo(f"Root fingerprint:  {checked.fingerprint}")
