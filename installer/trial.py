"""A release that is new in use is on trial: so many starts, and without one that lasts, the release before comes back.

``HOME/trial.json`` is there only meanwhile. Counted are starts, because a box may have no clock. The file is the
installer's: whoever serves the page cannot write it, nor switch a release.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bundles.format.durable import replace_file, sync_folder
from installer.errors import HomeRefused
from installer.releases import Releases

FORMAT = 1
TRIES = 3
_FILE = "trial.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A release on trial, or one that has failed it."""

    release: int
    previous: int
    """The release that comes back."""
    tries: int
    """Starts that are left."""
    failed: bool = False
    """Whether ``previous`` is in use again because of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What a start begins with."""

    release: int
    trial: Trial | None
    """The trial that this start belongs to, or that it has just ended as failed."""


def read(home: Path) -> Trial | None:
    """The trial that goes on, or the last that failed; None when the release in use has proved itself.

    Raises:
        HomeRefused: the file cannot be read.
    """
    path = home / _FILE
    try:
        raw: dict[str, Any] = json.loads(path.read_bytes())
        if raw.pop("format") != FORMAT:
            raise ValueError("of another format")
        trial = Trial(**raw)
        if (
            not all(type(n) is int for n in (trial.release, trial.previous, trial.tries))
            or type(trial.failed) is not bool
        ):
            raise ValueError("not numbers")
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise HomeRefused(
            f"{path} cannot be read: {error}.",
            needed="It counts the starts of a new release.",
            todo="Remove it: the release in use stays.",
        ) from error
    return trial


def put_on_trial(home: Path, release: int, previous: int) -> None:
    """Called before the switch to ``release``: should the power fail between the two, nothing is counted."""
    _write(home, Trial(release=release, previous=previous, tries=TRIES))


def begin(home: Path) -> Begun:
    """Called before each start of the box: spends a try; with none left, puts the release before in use again.

    Raises:
        HomeRefused: nothing is installed, or trial.json cannot be read.
    """
    releases = Releases(home)
    current = releases.current
    if current is None:
        raise HomeRefused(f"Nothing is installed in {home}.", todo="Install a stick first.")
    trial = read(home)
    if trial is None or trial.failed or trial.release != current:
        return Begun(release=current, trial=None)
    if trial.tries == 0:
        ended = Trial(release=trial.release, previous=trial.previous, tries=0, failed=True)
        # The switch first: a power cut between the two repeats it, and the other order would forget it.
        releases.activate(trial.previous)
        _write(home, ended)
        return Begun(release=trial.previous, trial=ended)
    spent = Trial(release=trial.release, previous=trial.previous, tries=trial.tries - 1)
    _write(home, spent)
    return Begun(release=current, trial=spent)


def keep(home: Path) -> bool:
    """The release in use has proved itself; whether it was on trial."""
    trial = read(home)
    if trial is None or trial.failed or trial.release != Releases(home).current:
        return False
    if trial.tries == TRIES:
        return False  # it was installed while the one before ran, and has not been started yet
    (home / _FILE).unlink()
    sync_folder(home)
    return True


def roll_back(home: Path) -> int:
    """Put the release before in use, because a person wants it; its number.

    Raises:
        HomeRefused: there is none.
    """
    releases = Releases(home)
    current, trial, previous = releases.current, read(home), releases.read_state().previous
    if trial is not None and trial.release == current:
        previous = trial.previous
    if current is None or previous is None or previous == current or not releases.folder(previous).is_dir():
        raise HomeRefused(f"There is no release before the one in use in {home}.", todo="Install another stick.")
    releases.describe(previous)
    releases.activate(previous)
    _write(home, Trial(release=current, previous=previous, tries=0, failed=True))
    return previous


def _write(home: Path, trial: Trial) -> None:
    replace_file(home / _FILE, (json.dumps({"format": FORMAT, **asdict(trial)}, sort_keys=True) + "\n").encode())
