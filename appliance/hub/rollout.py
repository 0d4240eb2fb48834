"""Which release a box should run: decided from what people want and what boxes have said. Values in, values out.

Canaries come first. The others follow once every canary has said that the release works there; one canary that says it
does not, or more of the others than are tolerated, and nobody else gets it, until people begin another.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.log.chain import Record
from appliance.sync.wire import SHA256_NAME

CANARIES, EVERYBODY, HALTED = "canaries", "everybody", "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What people want of one group of boxes."""

    release: str
    """Its id: the SHA-256 of its index, in hex."""
    before: str
    """The release that a box keeps to until its turn comes; empty for whatever it has."""
    canaries: tuple[str, ...]
    """Boxes that try it first; none means everybody at once."""
    tolerate: int
    """Boxes beyond the canaries on which it may fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one box said of a release, once it had it."""

    box: str
    works: bool
    at: tuple[int, int]
    """Epoch and seq of the record that says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rollout has come."""

    stage: str
    works: tuple[str, ...]
    """Boxes whose last word is that it works."""
    failed: tuple[str, ...]
    """Boxes that ever said it does not: what is mended later halts no less."""
    waiting: tuple[str, ...]
    """Canaries that have not said it works."""


def read_told(record: Record) -> tuple[str, bool] | None:
    """The release that a record speaks of, and whether it works; None for any other record."""
    if record.stream != "metric" or record.body is None:
        return None
    try:
        raw = json.loads(record.body)
        release, works = raw["release"], raw["works"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    fits = raw.get("event") == "release" and isinstance(release, str) and SHA256_NAME.fullmatch(release)
    return (release, works) if fits and isinstance(works, bool) else None


def progress(rollout: Rollout, told: Sequence[Told]) -> Progress:
    """Where a rollout stands after what boxes have said of its release."""
    last = {word.box: word.works for word in sorted(told, key=lambda word: word.at)}
    failed = {word.box for word in told if not word.works}
    waiting = tuple(box for box in rollout.canaries if not last.get(box))
    if failed & set(rollout.canaries) or len(failed) > rollout.tolerate:
        stage = HALTED
    else:
        stage = CANARIES if waiting else EVERYBODY
    works = tuple(sorted(box for box, good in last.items() if good))
    return Progress(stage=stage, works=works, failed=tuple(sorted(failed)), waiting=waiting)


def wanted(rollout: Rollout, now: Progress, box: str) -> str:
    """The release that this box should have; empty to leave it as it is."""
    if now.stage == EVERYBODY or (now.stage == CANARIES and box in rollout.canaries):
        return rollout.release
    # It has the new one already: no box goes back to an older one at a hub's word.
    return "" if box in now.works or box in now.failed else rollout.before


def following(rollout: Rollout | None, now: Progress | None) -> str:
    """What boxes keep to while the next rollout has not reached them: this one's release, if it got to everybody."""
    if rollout is None or now is None:
        return ""
    return rollout.release if now.stage == EVERYBODY else rollout.before
