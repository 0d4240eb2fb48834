"""The commands about keys: ``root``, ``rotate``, ``delegate``, ``revoke``, ``sign`` and ``key``."""

from collections.abc import Sequence
from pathlib import Path

import click

from bundles import contributors, passphrase, roots
from bundles.errors import SigningError
from bundles.format.digest import root_fingerprint
from bundles.keys import read_public
from bundles.options import FILE, FOLDER, PATH, date_option, passphrase_option, signing_date
from bundles.package import new_contributor, sign_package
from bundles.trust import newest_root, read_published

_KEYS = click.option("--keys", required=True, type=FOLDER, help="The signing folder.")
_ROOT_KEYS = click.option(
    "--root-key", "root_keys", multiple=True, type=FILE, help="A root key that signs at once; may be given again."
)


def register(main: click.Group) -> None:
    """Add these commands to ``fieldpost-bundle``."""
    for command in (root, rotate, delegate, revoke, sign, key):
        main.add_command(command)


@click.group()
def root() -> None:
    """The NGO's own keys, and the root that boxes trust."""


@root.command("init")
@click.option("--out", required=True, type=PATH, help="The new signing folder.")
@click.option("--root-keys", "count", default=1, show_default=True, type=click.IntRange(1, roots.MAX_KEYS))
@click.option(
    "--threshold", default=1, show_default=True, help="How many root keys it takes to change whom boxes trust."
)
@passphrase_option
@date_option
def root_init(out: Path, count: int, threshold: int, passphrase_file: Path | None, date: str | None) -> None:
    """Make a signing folder: root keys, a headquarters key, and the root that boxes will trust.

    \b
    fieldpost-bundle root init --out ~/keys
    fieldpost-bundle root init --out ~/keys --root-keys 3 --threshold 2
    fieldpost-bundle root init --out ~/keys --passphrase-file ~/.fieldpost-passphrase

    With several root keys, each belongs to another person, who types its passphrase here. Each passphrase is asked for
    twice; from a file or FIELDPOST_PASSPHRASE all keys get the same.
    """
    if out.exists() and any(out.iterdir()):
        raise SigningError(f"{out} already holds something.", needed="Keys are never overwritten.")
    names = [f"root-{number}.key" for number in range(1, count + 1)]
    phrases = [passphrase.obtain(f"Passphrase for {name}", passphrase_file, confirm=True) for name in names]
    hq = passphrase.obtain("Passphrase for hq.key", passphrase_file, confirm=True)
    fingerprint = roots.init_root(
        out, root_passphrases=phrases, hq_passphrase=hq, threshold=threshold, date=signing_date(date)
    )
    click.echo(f"Made {', '.join([*names, 'hq.key'])} and 1.root.json in {out}.")
    _show(out)
    click.echo(f"\nRoot fingerprint:  {fingerprint}\n")
    click.echo(
        "Write it down. Whoever installs a first stick compares it, so give it to them on paper or by telephone."
    )
    click.echo(f"Back up {out}: without it no box takes another bundle from you. Root keys may move to safes.")


@root.command("show")
@click.argument("keys", type=FOLDER)
def root_show(keys: Path) -> None:
    """Show the fingerprints of a signing folder's root and keys, as ssh-keygen -l shows them, and its contributors.

    \b
    fieldpost-bundle root show ~/keys
    """
    newest_root(keys)  # says so when this is no signing folder
    click.echo(f"Root fingerprint:  {root_fingerprint((keys / '1.root.json').read_bytes())}")
    _show(keys)
    known = contributors.read_contributors(keys)
    for name, contributor in sorted(known.by_name.items()):
        print_key = contributors.fingerprint(contributor)
        click.echo(f"  {name:<12} {print_key}  signs {', '.join(contributor.paths)}")
    for target, reason in sorted(known.revoked.items()):
        click.echo(f"  revoked: {target} ({reason})")


@click.group()
def rotate() -> None:
    """Replace a key of the NGO: boxes follow from one root to the next by themselves."""


@rotate.command("hq")
@_KEYS
@_ROOT_KEYS
@passphrase_option
@date_option
def rotate_hq(keys: Path, root_keys: Sequence[Path], passphrase_file: Path | None, date: str | None) -> None:
    """Replace the headquarters' key: after a theft, or when whoever knew its passphrase leaves.

    \b
    fieldpost-bundle rotate hq --keys ~/keys --root-key /media/safe/root-1.key

    The next bundle carries the new root and is signed by the new key. With a threshold above 1, others sign the draft
    with: fieldpost-bundle sign.
    """
    phrase = passphrase.obtain("Passphrase for the new headquarters' key", passphrase_file, confirm=True)
    draft = roots.rotate_hq(keys, phrase, date=signing_date(date))
    _sign_draft(draft, root_keys, passphrase_file)


@rotate.command("root")
@_KEYS
@click.option("--retire", type=FILE, help="The .pub file of the root key that shall count no more; else one is added.")
@click.option("--threshold", type=click.IntRange(1, roots.MAX_KEYS), help="A new threshold.")
@_ROOT_KEYS
@passphrase_option
@date_option
def rotate_root(
    keys: Path,
    retire: Path | None,
    threshold: int | None,
    root_keys: Sequence[Path],
    passphrase_file: Path | None,
    date: str | None,
) -> None:
    """Replace or add a root key, or change how many of them it takes.

    \b
    fieldpost-bundle rotate root --keys ~/keys --retire ~/keys/root-1.pub --root-key /media/safe/root-1.key
    fieldpost-bundle rotate root --keys ~/keys --threshold 2 --root-key /media/safe/root-1.key
    """
    phrase = passphrase.obtain("Passphrase for the new root key", passphrase_file, confirm=True)
    draft = roots.rotate_root(keys, phrase, retire=retire, threshold=threshold, date=signing_date(date))
    _sign_draft(draft, root_keys, passphrase_file)


@click.command()
@click.argument("contributor")
@click.option("--paths", required=True, multiple=True, help="What they may sign, such as 'adapters/amina/*'.")
@click.option("--key", "key_file", required=True, type=FILE, help="Their public key, a file that ends in .pub.")
@_KEYS
def delegate(contributor: str, paths: Sequence[str], key_file: Path, keys: Path) -> None:
    """Let CONTRIBUTOR sign packages of their own, under their own name and nowhere else.

    \b
    fieldpost-bundle delegate amina --paths 'adapters/amina/*' --key amina.pub --keys ~/keys
    fieldpost-bundle delegate amina --paths 'adapters/amina/*' --paths 'langpacks/amina/*' --key amina.pub --keys ~/keys

    Compare the fingerprint with them by telephone. It takes effect with the next bundle. Again for the same
    contributor, it replaces their paths and key: name all paths every time.
    """
    public = read_public(key_file)
    last = read_published(keys)
    before = contributors.read_contributors(keys)
    known = contributors.delegate(before, contributor, public, paths, publishers=last.publishers if last else ())
    contributors.write_contributors(keys, known)
    now = known.by_name[contributor].paths
    click.echo(f"{contributor} may sign {', '.join(now)} from the next bundle on.")
    if contributor in before.by_name:
        gone = [path for path in before.by_name[contributor].paths if path not in now]
        if gone:
            click.echo(f"  No longer: {', '.join(gone)}. To keep them, name all paths in one command.")
    click.echo(f"Their key:  {public.fingerprint}")


@click.command()
@click.argument("what")
@click.option("--reason", required=True, help="In a few plain words; boxes show it.")
@_KEYS
def revoke(what: str, reason: str, keys: Path) -> None:
    """Take back a contributor, or one package by its signed name.

    \b
    fieldpost-bundle revoke amina --reason "her laptop was stolen" --keys ~/keys
    fieldpost-bundle revoke adapters/amina/steps-1.0.0 --reason "wrong doses" --keys ~/keys

    It takes effect with the next bundle: a box that has it installed disables it as soon as it sees that stick.
    Of a contributor, everything that was ever given out is revoked.
    """
    known = contributors.read_contributors(keys)
    if "/" in what:
        after = contributors.revoke_component(known, what, reason)
    else:
        after = contributors.revoke_contributor(keys, known, what, reason)
    contributors.write_contributors(keys, after)
    for target in sorted(after.revoked.keys() - known.revoked.keys()):
        click.echo(f"Revoked from the next bundle on: {target}")
        if target not in contributors.given_out_targets(keys):
            click.echo("  Compare every letter with what verify shows: boxes disable exactly this name.")
    if "/" not in what:
        click.echo(f"{what} can sign nothing from the next bundle on.")


@click.command()
@click.argument("what", type=click.Path(path_type=Path, exists=True))
@click.option("--key", "key_file", required=True, type=FILE, help="The private key that signs.")
@click.option("--version", default=1, type=click.IntRange(1), help="For a contributor who lost count: at least this.")
@passphrase_option
@date_option
def sign(what: Path, key_file: Path, version: int, passphrase_file: Path | None, date: str | None) -> None:
    """Sign a package as its contributor, or the draft of a root as one who holds a root key.

    \b
    fieldpost-bundle sign steps-1.0.0 --key ~/amina/amina.key
    fieldpost-bundle sign ~/keys/2.root.draft.json --key /media/safe/root-2.key
    """
    phrase = passphrase.obtain(f"Passphrase for {key_file.name}", passphrase_file)
    if what.is_file():
        _tell_draft(roots.sign_root(what, key_file, phrase))
        return
    signed = sign_package(what, key_file, phrase, date=signing_date(date), version=version)
    click.echo(f"{what}: signed by {signed.contributor}, {signed.fingerprint}, version {signed.version}")
    for target in signed.targets:
        click.echo(f"  {target}")


@click.group()
def key() -> None:
    """A contributor's key."""


@key.command("new")
@click.argument("contributor")
@click.option("--out", required=True, type=PATH, help="The folder for the key.")
@passphrase_option
def key_new(contributor: str, out: Path, passphrase_file: Path | None) -> None:
    """Make a contributor's key: CONTRIBUTOR.key stays with them, CONTRIBUTOR.pub goes to the NGO.

    \b
    fieldpost-bundle key new amina --out ~/amina
    """
    contributors.check_name(contributor)
    phrase = passphrase.obtain(f"Passphrase for {contributor}.key", passphrase_file, confirm=True)
    fingerprint = new_contributor(out, contributor, phrase)
    click.echo(f"Made {out / f'{contributor}.key'}. Back it up, and give it to nobody.")
    click.echo(f"Send {out / f'{contributor}.pub'} to the NGO, and compare with them by telephone:\n\n  {fingerprint}")


def _sign_draft(draft: roots.RootDraft, root_keys: Sequence[Path], passphrase_file: Path | None) -> None:
    for root_key in root_keys:
        if not draft.counts:
            phrase = passphrase.obtain(f"Passphrase for {root_key.name}", passphrase_file)
            draft = roots.sign_root(draft.path, root_key, phrase)
    _tell_draft(draft)


def _tell_draft(draft: roots.RootDraft) -> None:
    if draft.counts:
        click.echo(f"Root {draft.number} counts from the next bundle on. Boxes follow by themselves.")
        return
    click.echo(f"{draft.path} lacks {draft.lacks_old} signatures by the old root's keys, {draft.lacks_new} by its own.")
    click.echo(f"Next: fieldpost-bundle sign {draft.path} --key ROOT.key")


def _show(keys: Path) -> None:
    for name, shown in roots.key_fingerprints(keys).items():
        click.echo(f"  {name:<12} {shown}")
