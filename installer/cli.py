"""``installer.pyz``: the words around ``install``. Speaks to a technician with a stick and no second chance."""

import argparse
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bundles.format.errors import BundleError
from bundles.format.kinds import component_target
from installer import __version__, trial
from installer.cli_service import add_commands
from installer.errors import Finding, NotConfirmed
from installer.install import INSTALLER, install
from installer.owner import act_as_owner
from installer.releases import Releases
from installer.revocations import learn, read_revoked

_INSTALL_EXAMPLES = """  the first time, from the stick:
    python3 installer.pyz install --from /media/usb --home /srv/fieldpost
    python3 installer.pyz install --from /media/usb --home /srv/fieldpost --fingerprint SHA256:...
  an update, with the installer that the box has already:
    python3 /srv/fieldpost/installer.pyz install --from /media/usb --home /srv/fieldpost
"""
_STATUS_EXAMPLES = """  what is installed:
    python3 /srv/fieldpost/installer.pyz status --home /srv/fieldpost
    python3 /srv/fieldpost/installer.pyz status --home /srv/fieldpost --json
  what a stick would bring, and what it takes back, without installing it:
    python3 /srv/fieldpost/installer.pyz status --home /srv/fieldpost --from /media/usb
"""
CONFIRMED_BY = 8
"""Characters of the fingerprint that a person types: enough to make them look at it."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 1 when it refused, 2 for a mistake in the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a title in Amharic must not stop a terminal of 1990
    options = command_line().parse_args(arguments)
    kept = "What was copied is kept. " if options.run is _install else ""
    try:
        if getattr(options, "as_owner", True) and "home" in options:
            act_as_owner(options.home)
        code: int = options.run(options)
        return code
    except BundleError as error:
        print(f"\nError: {error}", file=sys.stderr)
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        print(f"\nError: {error.strerror or error}{place}. {kept}Mend this and run the same again.", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"\nStopped. {kept}Run the same again.", file=sys.stderr)
    return 1


def command_line() -> argparse.ArgumentParser:
    """What may be typed; the documentation is tested against it."""
    parser = argparse.ArgumentParser(
        prog="installer.pyz",
        description="Install a Fieldpost bundle from a stick. Needs only Python 3.11 or newer, and no network.",
        epilog=f"examples:\n{_INSTALL_EXAMPLES}{_STATUS_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    add = commands.add_parser(
        "install",
        help="install or update from a stick",
        epilog=f"examples:\n{_INSTALL_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add.add_argument("--from", dest="stick", type=Path, required=True, help="the stick's folder")
    add.add_argument("--home", type=Path, required=True, help="where to install")
    add.add_argument("--fingerprint", help="the fingerprint on the paper from your organisation; else you are asked")
    add.add_argument("--serve", action="store_true", help="then start the page, and stay until Ctrl-C")
    add.set_defaults(run=_install)
    tell = commands.add_parser(
        "status",
        help="tell what is installed",
        epilog=f"examples:\n{_STATUS_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    tell.add_argument("--home", type=Path, required=True, help="where it was installed")
    tell.add_argument("--from", dest="stick", type=Path, help="also take note of what this stick, or a hub, has signed")
    tell.add_argument("--json", action="store_true", help="one JSON object, for scripts")
    tell.set_defaults(run=_status)
    add_commands(commands, _install_from)
    return parser


def _install_from(stick: Path, home: Path) -> int:
    """As ``install`` does, from a stick that was found; one that this box does not trust is told and left alone."""
    print(f"Found a bundle at {stick}.")
    try:
        return _install(argparse.Namespace(stick=stick, home=home, fingerprint=None, serve=False))
    except BundleError as error:
        print(f"Not used: {error}", file=sys.stderr)
        return 1


def _install(options: argparse.Namespace) -> int:
    if not options.stick.is_dir():
        print(f"Error: {options.stick} is no folder. Name the folder where the stick is mounted.", file=sys.stderr)
        return 1
    show, finish = _bar()
    confirm = _confirm(options.fingerprint)
    done = install(options.stick, options.home, confirm=confirm, progress=show, tell=_note)
    finish()
    state = "is now in use" if done.changed else "was in use already; nothing to do, nothing copied"
    print(f"{done.bundle} {done.version} {state} (release {done.release} in {options.home}).")
    for words in filter(None, (done.why, done.tested)):
        print(words)
    home = shlex.quote(str(options.home))
    start = [sys.executable, "-I", str(options.home / INSTALLER), "start", "--home", str(options.home)]
    if options.serve and done.command:
        sys.stdout.flush()
        os.execv(sys.executable, start)  # noqa: S606 the installer that was just verified and kept
    begin = f"python3 {home}/{INSTALLER} start" if done.command else "fieldpost serve"
    print(f"Start the page with: {begin} --home {home}")
    print(f"Update with: python3 {home}/{INSTALLER} install --from STICK --home {home}")
    return 0


def _note(finding: Finding) -> None:
    print(f"Note: {finding}", flush=True)


def _confirm(given: str | None) -> Callable[[str, bool], None]:
    def confirm(found: str, known: bool) -> None:
        if not known:
            print(f"This stick's fingerprint is\n\n    {found}\n", flush=True)
        if given is not None:
            if given.strip() != found:
                raise NotConfirmed(
                    f"tuf/1.root.json on this stick has the fingerprint {found}.",
                    needed=f"{given} was expected.",
                    todo="Do not install this stick; ask your organisation.",
                )
            return
        if known:
            return
        if not sys.stdin.isatty():
            raise NotConfirmed(
                f"Nobody is here to confirm the fingerprint {found}.",
                needed="It must be the one that your organisation gave you.",
                todo="Add: --fingerprint SHA256:... (from your paper)",
            )
        print("Compare it with the one that your organisation gave you on paper or by telephone.")
        try:
            typed = input(f"If they are the same, type its last {CONFIRMED_BY} characters: ").strip()
        except EOFError:
            typed = ""
        if typed != found[-CONFIRMED_BY:]:
            raise NotConfirmed("That is not the end of the fingerprint.", todo="Nothing was installed. Try again.")

    return confirm


def _status(options: argparse.Namespace) -> int:
    if not (options.home / "current").exists():
        print(f"Error: Nothing is installed in {options.home}.", file=sys.stderr)
        return 1
    releases = Releases(options.home)
    number = releases.current or 0
    learned = learn(options.stick, options.home) if options.stick is not None else None
    facts = releases.describe(number)
    state = releases.read_state()
    disabled = {target: why for target, why in read_revoked(options.home).items() if target in _targets(facts)}
    if options.json:
        told = {"release": number, "previous": state.previous, "root": state.root, "revoked": disabled}
        news = {"published": learned.published, "newer": learned.newer} if learned is not None else {}
        print(json.dumps({**told, **news, "bundle": facts["bundle"], "version": facts["version"]}))
    else:
        print(f"{facts['bundle']} {facts['version']}, release {number}: {facts['title']}")
        if facts.get("why"):
            print(facts["why"])
        if going := trial.read(options.home):
            print(_in_words(going, number))
        print(f"Trusts {state.root}")
        for target, why in disabled.items():
            print(f"Disabled: {target} was taken back by your organisation: {why}")
        if disabled:
            print("An adapter is refused from now on, all else when the page is started again: fieldpost serve")
        if learned is not None:
            update = "an update waits there" if learned.newer else "it is what is installed"
            print(f"{options.stick} was signed on {learned.published[:10] or 'an unknown day'}; {update}.")
    return 0


def _in_words(going: trial.Trial, number: int) -> str:
    if going.failed:
        return f"Release {going.release} did not last, or was put aside; release {going.previous} came back."
    if going.release == number:
        return f"It is on trial: {going.tries} starts are left before release {going.previous} comes back."
    return f"Release {going.release} was not switched to. Install its stick again."


def _targets(facts: Mapping[str, Any]) -> set[str]:
    """The signed names of a release's components."""
    return {component_target(c["kind"], c["publisher"], c["name"], c["version"]) for c in facts["components"]}


def _bar() -> tuple[Callable[[str, int, int], None], Callable[[], None]]:
    """A line that grows, on a terminal only."""
    if not sys.stderr.isatty():
        return (lambda _what, _done, _total: None), (lambda: None)

    def show(what: str, done: int, total: int) -> None:
        part = min(1.0, done / total) if total else 1.0
        print(f"\r{what:<22} [{'#' * round(30 * part):<30}] {part:4.0%}", end="", file=sys.stderr, flush=True)

    return show, lambda: print(file=sys.stderr)
