"""The box as a service of systemd: what its units say. Values in, texts out; written by ``installer.pyz service``.

Two users share the work. ``fieldpost`` serves the page and may write ``HOME/data`` and nothing else, so no code that it
runs. ``fieldpost-update`` owns the rest of HOME: it installs, counts the starts of a new release, and switches. Whoever
uses the page may ask for an update by a file whose content nobody reads. Root only starts the two.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from installer.errors import HomeRefused
from installer.launcher import LASTING_S, SILENCE_S, START_S

USER = "fieldpost"
UPDATER = "fieldpost-update"
REQUEST = "update-wanted"
"""In ``HOME/data``: its appearance asks for an update from whatever trusted stick is mounted."""
_PLAIN = re.compile(r"/[A-Za-z0-9_./-]+")

_HARDENED = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
UMask=0077
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
"""

_WEB = """\
# Written by: installer.pyz service. The page, its API and its workers.
[Unit]
Description=Fieldpost, the AI box of this site
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
User={user}
Group={user}
# The first counts the starts of a new release, and goes back to the one before when they are spent.
ExecStartPre=+/sbin/runuser -u {updater} -- {python} -I {home}/installer.pyz begin --home {home}
ExecStartPre=+/usr/bin/install -d -o {user} -g {user} -m 0700 {home}/data
ExecStart={home}/fieldpost serve --home {home} {arguments}
ExecStartPost=+/sbin/runuser -u {updater} -- {python} -I {home}/installer.pyz keep --home {home} --after {lasting:.0f}
Restart=always
RestartSec=2
TimeoutStartSec={start:.0f}
TimeoutStopSec=20
WatchdogSec={silence:.0f}
ReadWritePaths={home}/data
# Where sticks are: the log goes home on them.
ReadWritePaths=-/media -/mnt
{hardened}MemoryDenyWriteExecute=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @mount @swap @reboot @obsolete @cpu-emulation @debug @raw-io @clock @module
# The engine and the translator give up more by themselves: their sockets, all files but the model's, other programs.
SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp
SystemCallFilter=setrlimit prlimit64 sched_setaffinity setpriority

[Install]
WantedBy=multi-user.target
"""

_UPDATE = """\
# Written by: installer.pyz service. Installs from a trusted stick that is mounted, when the page asks for it.
[Unit]
Description=Fieldpost, an update from a stick
RequiresMountsFor={home}

[Service]
Type=oneshot
User={updater}
Group={updater}
ExecStart={python} -I {home}/installer.pyz update --home {home}
ExecStartPost=+/bin/systemctl try-restart fieldpost.service
ExecStopPost=+/bin/rm -f {home}/data/{request}
ReadWritePaths={home}
{hardened}MemoryDenyWriteExecute=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @mount @swap @reboot @obsolete @cpu-emulation @debug @raw-io @clock @module
SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp
SystemCallFilter=setrlimit prlimit64 sched_setaffinity setpriority
"""

_PATH = """\
# Written by: installer.pyz service. Waits for the page to ask for an update.
[Unit]
Description=Fieldpost, somebody asks for an update

[Path]
PathExists={home}/data/{request}

[Install]
WantedBy=multi-user.target
"""

_SYSUSERS = """\
# Written by: installer.pyz service.
u {user} - "Fieldpost" {home}
u {updater} - "Fieldpost, its updates" {home}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A file for systemd, and where it belongs."""

    path: Path
    text: str


def units(home: Path, python: Path, arguments: Mapping[str, str]) -> list[Unit]:
    """The units of the box in ``home``.

    Args:
        python: the interpreter that runs the installer.
        arguments: options of ``fieldpost serve`` and their values.

    Raises:
        HomeRefused: HOME has letters in its name that units treat specially, or lies where a service cannot see it.
    """
    if not _PLAIN.fullmatch(str(home)):
        raise HomeRefused(f"{home} has a space or a sign in it.", needed="A path of plain letters is needed.")
    if home.is_relative_to("/home") or home.is_relative_to("/root") or home.is_relative_to("/tmp"):  # noqa: S108
        raise HomeRefused(
            f"{home} lies where a service sees nothing.", todo="Install into /srv/fieldpost, then run this again."
        )
    facts = {
        "home": home,
        "python": python,
        "user": USER,
        "updater": UPDATER,
        "request": REQUEST,
        "arguments": shlex.join(word for pair in arguments.items() for word in pair),
        "lasting": LASTING_S,
        "start": START_S,
        "silence": SILENCE_S,
    }
    system = Path("etc/systemd/system")
    return [
        Unit(path=system / "fieldpost.service", text=_WEB.format(hardened=_HARDENED, **facts)),
        Unit(path=system / "fieldpost-update.service", text=_UPDATE.format(hardened=_HARDENED, **facts)),
        Unit(path=system / "fieldpost-update.path", text=_PATH.format(**facts)),
        Unit(path=Path("etc/sysusers.d/fieldpost.conf"), text=_SYSUSERS.format(**facts)),
    ]
