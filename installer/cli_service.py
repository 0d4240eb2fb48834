"""``installer.pyz start | begin | keep | rollback | update | service | wifi``: what keeps an installed box up."""

import argparse
import os
import pwd
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from installer import launcher, trial
from installer.errors import HomeRefused
from installer.garbage import collect_after_trial
from installer.units import UPDATER, USER, units
from installer.wifi import profile

Installs = Callable[[Path, Path], int]
"""Installs from a stick into HOME: the command's exit code."""

_ETC = Path("/")


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", install: Installs) -> None:
    """Register them; ``install`` is what ``update`` does with a stick that it found."""

    def add(name: str, says: str, example: str) -> argparse.ArgumentParser:
        parser = commands.add_parser(
            name,
            help=says,
            description=f"{says[0].upper()}{says[1:]}.",
            epilog=f"examples:\n  {example}\n",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.add_argument("--home", type=Path, required=True, help="where it was installed")
        return parser

    box = "python3 /srv/fieldpost/installer.pyz"
    start = add(
        "start",
        "start the box, keep it up, and go back to the release before when a new one does not last",
        f"{box} start --home /srv/fieldpost --host 0.0.0.0",
    )
    _add_address(start)
    start.set_defaults(run=_start)

    begin = add(
        "begin",
        "count a start of a new release, or go back when it has none left; the service does it",
        f"{box} begin --home /srv/fieldpost",
    )
    begin.set_defaults(run=_begin)

    keep = add(
        "keep",
        "say that the release in use works; the service does it",
        f"{box} keep --home /srv/fieldpost --after 60",
    )
    keep.add_argument("--after", type=float, default=0.0, metavar="SECONDS", help="only after this time")
    keep.set_defaults(run=_keep)

    rollback = add("rollback", "put the release before in use again", f"{box} rollback --home /srv/fieldpost")
    rollback.set_defaults(run=_roll_back)

    update = add(
        "update",
        "install from whatever mounted stick has a bundle that this box trusts",
        f"{box} update --home /srv/fieldpost",
    )
    update.set_defaults(run=lambda options: _update(options, install))

    service = add(
        "service",
        "make the box a service of systemd that starts with the machine; needs root",
        f"sudo {box} service --home /srv/fieldpost --host 0.0.0.0",
    )
    _add_address(service)
    service.add_argument("--print", dest="only_print", action="store_true", help="show the units; change nothing")
    service.set_defaults(run=_service, as_owner=False)  # root hands the box over

    wifi = commands.add_parser(
        "wifi",
        help="print a Wi-Fi access point for NetworkManager",
        description="Print a profile that lets phones reach the box over its own Wi-Fi, without any other network.",
        epilog=f'examples:\n  {box} wifi --name "Clinic"\n',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    wifi.add_argument("--name", required=True, help="the name that phones see")
    wifi.add_argument("--device", default="wlan0", help="the Wi-Fi device (default: wlan0)")
    wifi.set_defaults(run=_wifi)


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets phones on the Wi-Fi in")
    parser.add_argument("--port", type=int, default=7860)


def _start(options: argparse.Namespace) -> int:
    words = ["--host", options.host, "--port", str(options.port)]
    return launcher.run(options.home, words, tell=lambda line: print(line, flush=True))


def _begin(options: argparse.Namespace) -> int:
    begun = trial.begin(options.home)
    if begun.trial and begun.trial.failed:
        print(f"Release {begun.trial.release} never lasted; release {begun.release} is in use again.", file=sys.stderr)
    return 0


def _keep(options: argparse.Namespace) -> int:
    time.sleep(options.after)  # the service ends this process when the box ends before
    if trial.keep(options.home):
        print("The release in use has proved itself.")
    if told := collect_after_trial(options.home):
        print(told)
    return 0


def _roll_back(options: argparse.Namespace) -> int:
    print(f"Release {trial.roll_back(options.home)} is in use again. Start the box anew.")
    return 0


def _update(options: argparse.Namespace, install: Installs) -> int:
    sticks = list(_sticks())
    if not sticks:
        raise HomeRefused(
            "No stick with a bundle is mounted.", todo="Put the stick in, and look for it below /media or /mnt."
        )
    codes = [install(stick, options.home) for stick in sticks]
    return min(codes)  # one that this box trusts is enough


def _sticks() -> Iterator[Path]:
    """Where something with a bundle on it is mounted, apart from the machine's own disks."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        place = Path(line.split()[1].encode("latin-1", "replace").decode("unicode_escape"))
        if place.parts[1:2] in (("media",), ("mnt",), ("run",)) and (place / "tuf" / "1.root.json").is_file():
            yield place


def _service(options: argparse.Namespace) -> int:
    home = options.home.resolve()
    made = units(home, Path(sys.executable), {"--host": options.host, "--port": str(options.port)})
    if options.only_print:
        for unit in made:
            print(f"# /{unit.path}\n{unit.text}")
        return 0
    if os.geteuid() != 0:
        raise HomeRefused("Only root may add a service.", todo="Put sudo in front.")
    for unit in made:
        path = _ETC / unit.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(unit.text, encoding="utf-8")
    _do("systemd-sysusers")
    _hand_over(home)
    _do("systemctl", "daemon-reload")
    _do("systemctl", "enable", "--now", "fieldpost.service", "fieldpost-update.path")
    print(f"The box starts with the machine from now on. It belongs to {USER} and {UPDATER}.")
    print("Look at it: systemctl status fieldpost    its words: journalctl -u fieldpost")
    return 0


def _hand_over(home: Path) -> None:
    """HOME to whoever installs, ``data`` to whoever serves. Links are not followed."""
    for place, dirs, files in os.walk(home):
        owner = pwd.getpwnam(USER if Path(place).is_relative_to(home / "data") else UPDATER)
        for name in (".", *dirs, *files):
            os.chown(Path(place, name), owner.pw_uid, owner.pw_gid, follow_symlinks=False)


def _do(*words: str) -> None:
    try:
        done = subprocess.run(words, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise HomeRefused(
            f"This machine has no {words[0]}: it does not run systemd.",
            todo=f"Let the machine start this at boot: {sys.executable} {sys.argv[0]} start --home HOME",
        ) from error
    if done.returncode != 0:
        raise HomeRefused(f"{' '.join(words)} failed.", todo="Read its words above.")


def _wifi(options: argparse.Namespace) -> int:
    print(profile(options.name, options.device, _password()), end="")
    return 0


def _password() -> str:
    """12 letters and digits that are not taken for one another: 58 bits, and easy to read out."""
    return "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(12))
