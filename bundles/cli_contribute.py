"""The commands of the contributor's kit: ``new``, ``check``, ``pack``, ``publish``."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from bundles import contribute, contribute_check, passphrase
from bundles.contribute_check import BAD, TO_DO, Finding, changed, looked_into, try_out
from bundles.contribute_pack import files_for_hub
from bundles.contribute_pack import pack as pack_folder
from bundles.fetch import publish as give_to_hub
from bundles.format.errors import BundleError
from bundles.options import FILE, FOLDER, PATH, date_option, passphrase_option, signing_date
from bundles.telling import default_cache, table

_FOLDER = click.argument("folder", type=FOLDER)
_CACHE = click.option("--cache", type=PATH, help="Where fetched files are kept.  [default: ~/.cache/fieldpost]")
INSTALLER = Path(__file__).parents[1] / "dist" / "installer.pyz"


def register(main: click.Group) -> None:
    """Add these commands to ``fieldpost-bundle``."""
    for command in (new, check, pack, publish):
        main.add_command(command)


@click.command()
@click.argument("kind", type=click.Choice(contribute.NEW_KINDS))
@click.argument("name")
@click.option("--publisher", required=True, help="You: the name under which headquarters lets you sign.")
@click.option("--language", default="en", show_default=True, help="A tag such as sw.")
@click.option("--licence", default="CC-BY-4.0", show_default=True, help="Of what you make; an SPDX name.")
@click.option("--base", type=FILE, help="For an adapter: the .gguf of the model it is for.")
@click.option("--base-licence", help="For an adapter: that model's licence, an SPDX name from its page.")
@click.option("--out", type=PATH, help="The new folder.  [default: NAME, here]")
def new(
    kind: str,
    name: str,
    publisher: str,
    language: str,
    licence: str,
    base: Path | None,
    base_licence: str | None,
    out: Path | None,
) -> None:
    """Make a working folder for something of your own, with all that belongs to it.

    \b
    fieldpost-bundle new adapter amina-steps --publisher amina --base answers.gguf --base-licence Apache-2.0
    fieldpost-bundle new langpack en-so-health --publisher amina --language so
    fieldpost-bundle new docpack kisumu-guides --publisher amina --language en
    fieldpost-bundle new dataset swahili-questions --publisher amina --language sw

    The folder passes its own check at once, and the check says what is still to be written.
    """
    if (base is None) is not (base_licence is None):
        raise click.UsageError("--base and --base-licence belong together.")
    folder = out or Path(name)
    made = contribute.new_folder(
        folder,
        contribute.Beginning(
            kind=kind,
            name=name,
            publisher=publisher,
            language=language,
            licence=licence,
            base=contribute.Base(file=base, licence=base_licence) if base and base_licence else None,
        ),
    )
    click.echo(f"Made {folder}:")
    for path in made:
        click.echo(f"  {path.as_posix()}")
    click.echo(f"Next: fieldpost-bundle check {folder}")


@click.command()
@_FOLDER
@_CACHE
@click.option(
    "--installer", type=PATH, default=INSTALLER, show_default="dist/installer.pyz", help="From scripts/build."
)
@click.option("--no-eval", is_flag=True, help="Do not install it for a moment and ask it.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(folder: Path, cache: Path | None, installer: Path, no_eval: bool, as_json: bool) -> None:
    """Check a working folder as headquarters will, and ask its questions with and without it.

    \b
    fieldpost-bundle check amina-steps
    fieldpost-bundle check amina-steps --no-eval

    Exit code 1 where something is bad; what is only still to do is told.
    """
    findings: list[Finding] = []
    compared: list[contribute_check.Compared] = []
    try:
        with looked_into(folder, cache=cache or default_cache(), to_try=not no_eval) as looked:
            findings += looked.findings
            if not no_eval:
                compared = try_out(looked, installer=installer, tell=lambda line: click.echo(line, err=True))
    except BundleError as error:
        findings.append(contribute_check.refusal(error))
    bad = any(finding.outcome == BAD for finding in findings)
    if as_json:
        told = {"findings": [asdict(f) for f in findings], "compared": [asdict(c) for c in compared]}
        click.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        rows = [(finding.check, finding.outcome, finding.words) for finding in findings]
        click.echo(table(("check", "outcome", "found"), rows))
        for one in compared:
            title = f"{one.set_name}, base -> through {one.adapter}" if one.adapter else one.set_name
            click.echo(f"\n{title}; each figure with its 95 % interval and the number of its cases\n")
            click.echo("\n".join(changed(one)))
        left = sum(finding.outcome == TO_DO for finding in findings)
        verdict = "Not good yet." if bad else f"Good. Still to do: {left}." if left else "Good, and ready to pack."
        click.echo(f"\n{verdict}")
    if bad:
        click.get_current_context().exit(1)


@click.command()
@_FOLDER
@click.option("--key", "key_file", required=True, type=FILE, help="Your private key, from: fieldpost-bundle key new")
@click.option("--out", type=PATH, help="The package's folder.  [default: NAME-VERSION beside FOLDER]")
@_CACHE
@passphrase_option
@date_option
def pack(
    folder: Path, key_file: Path, out: Path | None, cache: Path | None, passphrase_file: Path | None, date: str | None
) -> None:
    """Make the signed package of a checked working folder, for headquarters to take into a recipe.

    \b
    fieldpost-bundle pack amina-steps --key ~/amina/amina.key
    fieldpost-bundle pack amina-steps --key ~/amina/amina.key --out amina-steps-1.0.0

    What bears your name as publisher goes into it. Nothing is sent: give them the whole folder, on a stick or zipped.
    """
    with looked_into(folder, cache=cache or default_cache()) as looked:
        recipe = looked.recipe
        target = out or folder.resolve().parent / f"{recipe.name}-{recipe.version}"
        phrase = passphrase.obtain(f"Passphrase for {key_file.name}", passphrase_file)
        signed = pack_folder(looked, target, key=key_file, passphrase=phrase, date=signing_date(date))
    click.echo(f"{target}: signed by {signed.contributor}, {signed.fingerprint}, version {signed.version}")
    for name in signed.targets:
        click.echo(f"  {name}")
    click.echo('Give this folder to headquarters. In a recipe it is: [[package]] and folder = "..."')


@click.command()
@_FOLDER
@click.option("--repo", required=True, help="On the Hugging Face Hub: you/name. Made if it is not there.")
@_CACHE
def publish(folder: Path, repo: str, cache: Path | None) -> None:
    """Put a checked working folder on the Hugging Face Hub, for others to use.

    \b
    HF_TOKEN=hf_your_token fieldpost-bundle publish amina-steps --repo amina/steps

    The card, the adapter as PEFT and as GGUF, words, documents, questions, data; nothing that is here only to try with.
    Boxes take nothing from there: for them it is the package that counts.
    """
    with looked_into(folder, cache=cache or default_cache()) as looked:
        files = files_for_hub(looked)
        dataset = all(component.kind in ("dataset", "evalset") for component in looked.own)
        message = f"{looked.recipe.name} {looked.recipe.version}"
        where = give_to_hub(repo, files, dataset=dataset, message=message)
    for name in files:
        click.echo(f"  {name}")
    click.echo(f"{repo}: {where}")
