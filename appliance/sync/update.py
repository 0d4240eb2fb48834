"""The release that the hub wants here: remembered, fetched, installed, tried, and told of. Each step survives a cut.

What the hub wants comes with its receipts and is kept in ``data/desired.json``. What the box says of it goes into the
metric stream: ``{"event": "release", "release": ID, "works": true, "why": ""}``.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from appliance.config import Home
from appliance.errors import SyncError, UpdateRefused
from appliance.files import write_private
from appliance.sync.budget import Budget
from appliance.sync.download import AT_ONCE, Incoming, Signatures, Source
from appliance.sync.enrol import load_enrolment
from appliance.sync.installer import BoxInstaller
from appliance.sync.transport import HubLink
from appliance.sync.wire import SHA256_NAME

INSTALL, FETCH, NEVER = "install", "fetch", "never"
"""What a site lets the hub do: install releases, only bring them, or neither."""
MOST_TRIES = 5
"""Installations of one release that may fail, for want of space or by a delta that misled, before the hub is told."""
_SLICE = 4 * AT_ONCE

Record = Callable[[str, Mapping[str, object]], object]
"""Writes into the log: a stream and a body."""


class Installer(Signatures, Protocol):
    """The installer, and how a release is tried; see ``appliance.sync.installer``."""

    def install(self, folder: Path) -> None:
        """Raises SyncError: it could not; what is in use is as it was."""

    def works(self) -> str:
        """Empty when what is installed works, else what does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What the hub wants here, and how far it is."""

    release: str = ""
    """Its id; empty for nothing."""
    left: int | None = None
    """Bytes still to come; None while that is not known."""
    tries: int = 0
    settled: bool = False
    """Nothing is left to do: it is installed or was refused, and the log says so."""
    problem: str = ""
    """Why it was refused, or what does not work."""


def load_desired(home: Home) -> Desired:
    """What the hub wanted last. A file that cannot be read counts as nothing: the next receipt says it again."""
    try:
        desired = Desired(**json.loads(_file(home).read_bytes()))
    except (OSError, ValueError, TypeError):
        return Desired()
    return desired if SHA256_NAME.fullmatch(desired.release) else Desired()


def note_desired(home: Home, release: str) -> None:
    """Keep what a receipt said; the same again changes nothing.

    Raises:
        OSError: the disk.
    """
    if release != load_desired(home).release:
        _save(home, Desired(release=release))


def update_over_http(
    home: Home, record: Record, *, manner: str, daily: int, between: Callable[[], object] = lambda: None
) -> Desired:
    """Fetch and install what the hub wants here, as far as today's bytes go.

    Args:
        record: writes what came of it into the log.
        manner: ``INSTALL``, ``FETCH`` or ``NEVER``.
        daily: bytes a day that may come; 0 means no bound.
        between: called after each megabyte, so that the log may go first.

    Raises:
        SyncError: the hub is away, or installing failed: it is tried again.
    """
    enrolment, desired = load_enrolment(home), load_desired(home)
    if enrolment is None or not enrolment.url or not desired.release or desired.settled:
        return desired
    if not os.access(home.root, os.W_OK):
        return desired  # as a service, who serves may write no release: sticks bring them
    with HubLink(enrolment.url) as link:
        budget = Budget(home.data / "incoming.json", daily)
        before: int | None = -1
        while True:
            desired = update(home, link, BoxInstaller(home), record, manner=manner, budget=budget, most=_SLICE)
            # The same as before: nothing came, so today's bytes are spent.
            if desired.settled or desired.left in (0, before) or manner == NEVER:
                return desired
            between()
            before = desired.left


def update(
    home: Home, source: Source, installer: Installer, record: Record, *, manner: str, budget: Budget, most: int | None
) -> Desired:
    """Take the desired release one step further: ``most`` bytes, or to its end; see ``update_over_http``."""
    desired = load_desired(home)
    if manner == NEVER or not desired.release or desired.settled:
        return desired
    incoming = Incoming(home, desired.release)
    try:
        fetched = incoming.fetch(source, installer, budget, most=most)
        desired = replace(desired, left=fetched.left)
        if not fetched.whole or (fetched.newer and manner == FETCH):
            _save(home, desired)
            return desired
        if fetched.newer:
            _install(home, incoming, installer, desired)
        problem = installer.works()
    except UpdateRefused as error:
        problem = str(error)
    record("metric", {"v": 1, "event": "release", "release": desired.release, "works": not problem, "why": problem})
    settled = replace(desired, left=0, settled=True, problem=problem)
    _save(home, settled)
    incoming.drop()
    return settled


def _install(home: Home, incoming: Incoming, installer: Installer, desired: Desired) -> None:
    try:
        installer.install(incoming.folder)
    except SyncError as error:
        tries = desired.tries + 1
        if tries >= MOST_TRIES:
            raise UpdateRefused(error.found, needed=error.needed, todo=error.todo) from error
        incoming.without_deltas()
        _save(home, replace(desired, tries=tries, left=None))
        raise


def _file(home: Home) -> Path:
    return home.data / "desired.json"


def _save(home: Home, desired: Desired) -> None:
    write_private(_file(home), json.dumps(asdict(desired)).encode())
