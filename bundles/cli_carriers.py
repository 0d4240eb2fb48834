"""The commands that carry bundles: through a registry, and what an update brings."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from bundles.carry import pull as pull_bundle
from bundles.carry import push as push_bundle
from bundles.carry import trust_file, trust_fingerprint
from bundles.options import FILE, FOLDER, PATH
from bundles.registry import Registry, parse_reference
from bundles.telling import default_cache, size, table
from bundles.update import Update, compare, write_update


def register(group: click.Group) -> None:
    """Give the commands to ``fieldpost-bundle``."""
    for command in (push, pull, diff, update):
        group.add_command(command)


@click.command()
@click.argument("bundle", type=FOLDER)
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
@click.option("--out", required=True, type=PATH, help="The bundle's folder.")
@click.option("--trust", type=FILE, help="The 1.root.json of the signing folder.")
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


@click.command()
@click.argument("old", type=FOLDER)
@click.argument("new", type=FOLDER)
@click.option("--files", is_flag=True, help="Every file, not only the components.")
@click.option("--json", "as_json", is_flag=True, help="Print every file as JSON.")
def diff(old: Path, new: Path, files: bool, as_json: bool) -> None:
    """Tell what a site that has the bundle OLD receives to have NEW.

    \b
    fieldpost-bundle diff build/clinic-1.1 build/clinic-1.2
    fieldpost-bundle diff build/clinic-1.1 build/clinic-1.2 --files

    Deltas are really made, so it takes minutes for gigabytes that changed.
    """
    _tell(compare(old, new), files=files, as_json=as_json)


@click.command()
@click.argument("old", type=FOLDER)
@click.argument("new", type=FOLDER)
@click.option("--out", required=True, type=PATH, help="The partial bundle's folder.")
@click.option("--files", is_flag=True, help="Tell every file, not only the components.")
@click.option("--json", "as_json", is_flag=True, help="Print every file as JSON.")
def update(old: Path, new: Path, out: Path, files: bool, as_json: bool) -> None:
    """Write the part of the bundle NEW that a site with OLD lacks: a partial bundle, for a stick or a thin line.

    \b
    fieldpost-bundle update build/clinic-1.1 build/clinic-1.2 --out build/update
    fieldpost-bundle stick build/update --out /media/stick

    Files that changed a little come as deltas. A box that has not the old bundle refuses it and says so.
    """
    _tell(write_update(old, new, out), files=files, as_json=as_json)


def _tell(found: Update, *, files: bool, as_json: bool) -> None:
    if as_json:
        told = {**asdict(found), "size": found.size, "sent": found.sent}
        click.echo(json.dumps(told, indent=2, sort_keys=True))
        return
    rows = []
    for component in dict.fromkeys(part.component for part in found.parts):
        parts = [part for part in found.parts if part.component == component]
        hows = ", ".join(
            f"{count} {how}"
            for how in ("there", "delta", "packed", "whole")
            if (count := sum(part.how == how for part in parts))
        )
        whole, sent = sum(part.size for part in parts), sum(part.sent for part in parts)
        rows.append((component or "signatures and the rest", _mb(whole), _mb(sent), hows))
        if files and component:
            rows += [(f"  {part.path}", _mb(part.size), _mb(part.sent), part.how) for part in parts]
    click.echo(f"From {found.old} to {found.new}\n")
    click.echo(table(("part", "MB", "MB sent", "files"), rows))
    share = 100 * found.sent / found.size
    click.echo(f"\nA site receives {_mb(found.sent)} MB of {_mb(found.size)} MB ({share:.2g} %).")


def _mb(count: int) -> str:
    return f"{count / 1e6:,.3f}"
