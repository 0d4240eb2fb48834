"""What the hub's people want on the boxes: groups and rollouts, in ``DIR/wishes.json``, and what follows for a box.

Kept beside the database, so that it outlives a rebuild; what boxes say of a release comes with their logs.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from appliance.errors import HubError
from appliance.files import write_private
from appliance.hub.releases import Releases
from appliance.hub.rollout import Progress, Rollout, following, progress, wanted
from appliance.hub.storage import Storage

EVERY = "all"
"""The group of boxes that were put into none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What people want."""

    groups: dict[str, str] = field(default_factory=dict)
    """Box to the name of its group."""
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    """Group to its newest rollout."""

    def group(self, box: str) -> str:
        return self.groups.get(box, EVERY)


def load(folder: Path) -> Wishes:
    """What was wanted last; nothing at first.

    Raises:
        HubError: the file cannot be read.
    """
    path = folder / "wishes.json"
    try:
        raw = json.loads(path.read_bytes())
        rollouts = {
            group: Rollout(**{**one, "canaries": tuple(one["canaries"])}) for group, one in raw["rollouts"].items()
        }
        return Wishes(groups=dict(raw["groups"]), rollouts=rollouts)
    except FileNotFoundError:
        return Wishes()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HubError(
            f"{path} cannot be read: {error}.",
            needed="It says which release boxes should have.",
            todo="Bring it back from a backup, or move it away and begin the rollout again.",
        ) from error


def desired(folder: Path, storage: Storage, box: str) -> str:
    """The id of the release that a box should have; empty to leave it as it is.

    Raises:
        HubError: the wishes or the database cannot be read.
    """
    wishes = load(folder)
    rollout = wishes.rollouts.get(wishes.group(box))
    return wanted(rollout, progress(rollout, storage.told(rollout.release)), box) if rollout else ""


def put_in_group(folder: Path, storage: Storage, box: str, group: str) -> None:
    """Make a box one of a group.

    Raises:
        HubError: there is no such box, the name cannot be used, or the disk.
    """
    if storage.admitted(box) is None:
        raise _no_box(box)
    if not 1 <= len(group) <= 60 or not group.isprintable():
        raise HubError(f"The group's name is {group!r}.", needed="1 to 60 letters that can be printed are needed.")
    wishes = load(folder)
    _save(folder, replace(wishes, groups={**wishes.groups, box: group}))


def begin(
    folder: Path, storage: Storage, release: str, *, group: str, canaries: tuple[str, ...], tolerate: int
) -> Rollout:
    """From now on a group should have a release, the canaries first.

    Raises:
        HubError: the release is not published, a canary is no box of the group, or the disk.
    """
    release = Releases(folder).find(release).id
    wishes = load(folder)
    for box in canaries:
        if storage.admitted(box) is None:
            raise _no_box(box)
        if wishes.group(box) != group:
            raise HubError(
                f"{box} is of the group {wishes.group(box)}.",
                needed=f"Canaries are of the group {group} themselves.",
                todo=f"fieldpost-hub group {box} {group} --data DIR",
            )
    old = wishes.rollouts.get(group)
    before = following(old, progress(old, storage.told(old.release)) if old else None)
    rollout = Rollout(release=release, before="" if before == release else before, canaries=canaries, tolerate=tolerate)
    _save(folder, replace(wishes, rollouts={**wishes.rollouts, group: rollout}))
    return rollout


def standing(folder: Path, storage: Storage) -> dict[str, tuple[Rollout, Progress]]:
    """Each group's rollout and how far it has come."""
    rollouts = load(folder).rollouts
    return {group: (one, progress(one, storage.told(one.release))) for group, one in sorted(rollouts.items())}


def _no_box(box: str) -> HubError:
    return HubError(f"There is no box {box} here.", todo="Look for its name: fieldpost-hub status --data DIR")


def _save(folder: Path, wishes: Wishes) -> None:
    raw = {"groups": wishes.groups, "rollouts": {group: asdict(one) for group, one in wishes.rollouts.items()}}
    path = folder / "wishes.json"
    try:
        write_private(path, json.dumps(raw, ensure_ascii=False, indent=1).encode())
    except OSError as error:
        raise HubError(f"{path} cannot be written: {error.strerror}.", todo="Free space on the disk.") from error
