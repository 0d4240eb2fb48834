"""``fieldpost-bundle``: the workstation's command. Each command parses words, calls one module, tells what came."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bundles import cli_carriers, cli_choose, cli_contribute, cli_keys, cli_runtime, passphrase
from bundles.add_langpack import add_langpack as add_packages
from bundles.build import build as build_bundle
from bundles.check import check_bundle, root_named
from bundles.fetch import list_repository
from bundles.format.errors import BundleError
from bundles.inspection import BundleFacts, inspect_bundle
from bundles.lock import make_lock, write_lock
from bundles.options import FILE, FOLDER, PATH, date_option, passphrase_option, signing_date
from bundles.recipe import load_recipe
from bundles.stick import FAT_LIMIT, write_stick
from bundles.telling import default_cache, one_line, plain, size, table
from bundles.trust import open_signer

DEFAULT_INSTALLER = Path(__file__).parents[1] / "dist" / "installer.pyz"


class _Speaking(click.Group):
    """Says our own errors, and those of the disk, in words and with exit code 1; a bug keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (BundleError, OSError) as error:
            click.echo(plain(str(error)), err=True)
            ctx.exit(1)


@click.group(
    "fieldpost-bundle",
    cls=_Speaking,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def main() -> None:
    """Make signed bundles and sticks from recipes.

    \b
    The whole way, once:
      fieldpost-bundle root init --out ~/keys
      fieldpost-bundle lock bundles/demo/recipe.toml
      fieldpost-bundle build bundles/demo/recipe.toml --out build/demo --keys ~/keys
      fieldpost-bundle verify build/demo --trust ~/keys/1.root.json
      fieldpost-bundle stick build/demo --out /media/stick
    """


@main.command()
@click.argument("recipe", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print what was locked as JSON.")
def lock(recipe: Path, as_json: bool) -> None:
    """Write down every file of RECIPE with its size and SHA-256, beside it as <name>.lock.json.

    \b
    fieldpost-bundle lock bundles/recipes/pocket.toml

    Files from the Hugging Face Hub are asked for there and not fetched. Commit the lock with the recipe.
    """
    loaded = load_recipe(recipe)
    files = make_lock(loaded, list_repository)
    path = write_lock(loaded, files)
    if as_json:
        click.echo(path.read_text(encoding="utf-8"), nl=False)
    else:
        click.echo(f"{path}: {len(files)} files, {size(sum(file.size for file in files))}")


@main.command("add-langpack")
@click.argument("recipe", type=FILE)
@click.argument("packages", nargs=-1, required=True, type=FILE)
@click.option("--name", required=True, help="Of the language pack, such as en-sw.")
@click.option("--version", default="1.0.0", show_default=True)
@click.option("--licence", required=True, help="An SPDX name, as the packages' page says.")
def add_langpack(recipe: Path, packages: tuple[Path, ...], name: str, version: str, licence: str) -> None:
    """Add published Argos PACKAGES to RECIPE, freed of Stanza data, which no box takes.

    \b
    fieldpost-bundle add-langpack clinic.toml translate-en_sw-1_9.argosmodel --name en-sw --licence CC0-1.0

    They are checked, copied into langpacks/ beside the recipe, and written into it. Then lock it again.
    """
    for one in add_packages(recipe, packages, name=name, version=version, licence=licence):
        left = f"; left out {one.left_out} files of Stanza data" if one.left_out else ""
        click.echo(f"{one.file}: {one.pair}{left}\n  sha256 {one.sha256}")
    click.echo(f"Next: fieldpost-bundle lock {recipe}")


@main.command()
@click.argument("recipe", type=PATH)
@click.option("--out", required=True, type=PATH, help="The bundle's folder; an older bundle there is replaced.")
@click.option("--keys", required=True, type=PATH, help="The signing folder.")
@click.option(
    "--installer", type=PATH, default=DEFAULT_INSTALLER, show_default="dist/installer.pyz", help="From scripts/build."
)
@click.option("--cache", type=PATH, help="Where fetched files are kept.  [default: ~/.cache/fieldpost]")
@passphrase_option
@date_option
@click.option("--json", "as_json", is_flag=True, help="Print what was built as JSON.")
def build(
    recipe: Path,
    out: Path,
    keys: Path,
    installer: Path,
    cache: Path | None,
    passphrase_file: Path | None,
    date: str | None,
    as_json: bool,
) -> None:
    """Make the signed bundle of a locked RECIPE.

    \b
    fieldpost-bundle build bundles/demo/recipe.toml --out build/demo --keys ~/keys
    HF_ENDPOINT=https://mirror.example fieldpost-bundle build pocket.toml --out build/pocket --keys ~/keys

    Interrupted downloads go on where they stopped. The same lock, keys and date give the same bytes.
    """
    signed_on = signing_date(date)
    load_recipe(recipe)  # a slip in the recipe is told before a passphrase is asked for
    signer = open_signer(keys, passphrase.obtain("Passphrase for hq.key", passphrase_file))
    built = build_bundle(
        recipe, out=out, signer=signer, installer=installer, cache=cache or default_cache(), date=signed_on
    )
    for warning in built.warnings:
        click.echo(f"Warning: {warning}", err=True)
    facts = inspect_bundle(built.folder)
    if as_json:
        click.echo(_json(facts, folder=str(built.folder)))
    else:
        click.echo(f"{built.folder}: {_headline(facts)}, metadata version {built.version}")
        click.echo(f"Root fingerprint:  {built.fingerprint}")


@main.command()
@click.argument("bundle", type=FOLDER)
@click.option("--cards", is_flag=True, help="Also print what the makers say of each part.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, cards and all.")
def inspect(bundle: Path, cards: bool, as_json: bool) -> None:
    """Tell what BUNDLE says it holds. Nothing is verified.

    \b
    fieldpost-bundle inspect build/demo
    fieldpost-bundle inspect /media/stick --cards
    fieldpost-bundle inspect /media/stick --json
    """
    facts = inspect_bundle(bundle)
    if as_json:
        click.echo(_json(facts, verified=False))
        return
    click.echo("Not verified: this is what the bundle says of itself.\n")
    click.echo(f"{_headline(facts)}\nLanguages: {', '.join(facts.languages)}")
    if facts.ram_mb is not None:
        click.echo(f"Memory:    {facts.ram_mb:,} MB")
    if facts.why:
        click.echo(f"\n{plain(facts.why)}")
    rows = [
        (f"{c.kind}/{c.name}", c.version, c.licence, size(c.bytes), str(c.files), c.title) for c in facts.components
    ]
    click.echo("\n" + table(("component", "version", "licence", "size", "files", "card"), rows) + "\n")
    click.echo(f"Root fingerprint:  {facts.fingerprint}")
    for c in facts.components if cards else ():
        click.echo(f"\n== {c.kind}/{c.name}, by {c.publisher}\n\n{plain(c.card).strip() or '(no card)'}")


@main.command()
@click.argument("bundle", type=FOLDER)
@click.option("--trust", type=FILE, help="The 1.root.json of the signing folder.")
@click.option("--fingerprint", help="In its place: the root fingerprint, as it stands on paper.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def verify(bundle: Path, trust: Path | None, fingerprint: str | None, as_json: bool) -> None:
    """Check every signature and every byte of BUNDLE against a root that you trust.

    \b
    fieldpost-bundle verify build/demo --trust ~/keys/1.root.json
    fieldpost-bundle verify /media/stick --fingerprint SHA256:...

    Exit code 1 names the first bad file.
    """
    if (trust is None) is (fingerprint is None):
        raise click.UsageError("Say whom you trust: --trust 1.root.json, or --fingerprint SHA256:... from your paper.")
    checked = check_bundle(bundle, trust.read_bytes() if trust else root_named(bundle, fingerprint or ""))
    if as_json:
        click.echo(json.dumps({"verified": True, **asdict(checked)}, indent=2, sort_keys=True))
        return
    rows = [(c.target, str(c.files), size(c.bytes), "good") for c in checked.components]
    click.echo(table(("signed as", "files", "size", "checked"), rows))
    click.echo(f"\nVerified: {checked.bundle} {checked.version}, {len(checked.paths)} files, {size(checked.bytes)}")
    if checked.absent:
        click.echo(f"A partial bundle: {checked.absent} files come from the older bundle that a box has.")
    click.echo(f"Root fingerprint:  {checked.fingerprint}")


@main.command()
@click.argument("bundle", type=FOLDER)
@click.option("--out", required=True, type=FOLDER, help="The mounted stick, or a folder in its place.")
@click.option("--split", is_flag=True, help="In pieces below 4 GiB, for a FAT32 stick; found out by itself on Linux.")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON.")
def stick(bundle: Path, out: Path, split: bool, as_json: bool) -> None:
    """Copy BUNDLE onto a stick, read everything back from it and print a receipt.

    \b
    fieldpost-bundle stick build/demo --out /media/stick

    What lies there already is not copied again. Other files on the stick are left alone.
    """
    receipt = write_stick(bundle, out, largest=FAT_LIMIT if split else None)
    if as_json:
        click.echo(json.dumps(asdict(receipt), indent=2, sort_keys=True))
        return
    click.echo(
        f"{out}: {receipt.bundle} {receipt.version}, {receipt.files} files, {size(receipt.bytes)}, all read back"
    )
    click.echo(f"Copied {receipt.copied_files} files, {size(receipt.copied_bytes)}; removed {receipt.removed_files}.")
    click.echo(f"Root fingerprint:  {receipt.fingerprint}")
    click.echo(f"installer.pyz:     sha256 {receipt.installer_sha256}")


def _headline(facts: BundleFacts) -> str:
    return f"{facts.bundle} {facts.version} ({one_line(facts.title)}), {size(facts.total_bytes)}"


def _json(facts: BundleFacts, **more: object) -> str:
    return json.dumps({**asdict(facts), **more}, indent=2, sort_keys=True, ensure_ascii=False)


cli_keys.register(main)
cli_choose.register(main)
cli_contribute.register(main)
cli_carriers.register(main)
cli_runtime.register(main)


if __name__ == "__main__":
    main()
