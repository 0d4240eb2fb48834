"""The box's installer as sync sees it: ``HOME/installer.pyz``, a process on bare Python. It alone decides on trust."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from appliance.config import Home
from appliance.errors import SyncError, UpdateRefused

_LONGEST_S = 6 * 3600
"""Gigabytes are hashed several times on a slow card."""


class BoxInstaller:
    """See ``appliance.sync.download.Signatures`` and ``appliance.sync.update.Installer``."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def learn(self, folder: Path) -> bool:
        try:
            return bool(self._status("--from", str(folder))["newer"])
        except SyncError as error:
            raise UpdateRefused(error.found, needed=error.needed, todo=error.todo) from error

    def install(self, folder: Path) -> None:
        """Install what lies in ``folder``.

        Raises:
            SyncError: it was refused, and why; what is in use is as it was.
        """
        root = str(self._status()["root"])
        self._run("install", "--from", str(folder), "--fingerprint", root)

    def works(self) -> str:
        """Try what is installed now; empty when it works, else what does not."""
        command = [
            sys.executable,
            "-m",
            "appliance.cli",
            "doctor",
            "--look-only",
            "--home",
            str(self._home.root),
            "--json",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LONGEST_S)  # noqa: S603
        if done.returncode == 0:
            return ""
        try:
            findings = json.loads(done.stdout)
            return " ".join(f"{one['part']}: {one['found']}" for one in findings if one["state"] == "problem")[:500]
        except (ValueError, KeyError, TypeError):
            return f"doctor ended with {done.returncode}"

    def _status(self, *more: str) -> dict[str, Any]:
        told = self._run("status", "--json", *more)
        try:
            return dict(json.loads(told))
        except ValueError as error:
            raise SyncError(f"The installer said {told[:200]!r}.", todo="Install the newest stick.") from error

    def _run(self, command: str, *more: str) -> str:
        program = self._home.root / "installer.pyz"
        if not program.exists():
            raise SyncError(f"{program} is missing.", needed="It installs releases.", todo="Install from a stick once.")
        words = [sys.executable, "-I", "-S", str(program), command, "--home", str(self._home.root), *more]
        try:
            done = subprocess.run(  # noqa: S603
                words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=_LONGEST_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SyncError(f"The installer cannot be run: {error}.", todo="Install from a stick.") from error
        if done.returncode != 0:
            said = " ".join(done.stderr.replace("Error:", "").split())
            raise SyncError(f"The installer refuses: {said or done.returncode}", todo="Nothing was installed.")
        return done.stdout
