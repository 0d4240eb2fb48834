"""What headquarters has taken back: ``HOME/revoked.json``. The box loads nothing that stands in it.

It is written as soon as a stick's metadata are verified, before anything is copied: a revocation holds also when the
installation fails, and for the release that a box goes back to. The newest metadata's list counts, and never an older
one's. Metadata alone are enough, so that a hub can pass them on; the box then takes nothing older than these any more.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundles.format.digest import root_fingerprint
from bundles.format.durable import replace_file
from bundles.format.layout import open_file
from bundles.format.metadata import MAX_ROOT_BYTES, Versions, read_folder
from bundles.format.verify import copy_trust
from installer.errors import HomeRefused
from installer.preflight import locked
from installer.releases import Releases

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What metadata said."""

    published: str
    """When they were signed."""
    newer: bool
    """Whether they are newer than what is installed, so that an update waits there."""


def note_revoked(home: Path, versions: Versions, revoked: Mapping[str, str]) -> None:
    """Keep what verified metadata revoke, unless newer ones were seen before."""
    # A new root may begin the versions of the others anew, so it counts first.
    now = [versions.root, versions.targets]
    if now >= _read(home)["seen"]:
        raw = {"format": FORMAT, "seen": now, "revoked": dict(sorted(revoked.items()))}
        text = json.dumps(raw, ensure_ascii=False, sort_keys=True, indent=1) + "\n"
        replace_file(home / "revoked.json", text.encode())


def read_revoked(home: Path) -> dict[str, str]:
    """Signed name of a component to the reason why this box may not use it.

    Raises:
        HomeRefused: the file is there and cannot be read.
    """
    return dict(_read(home)["revoked"])


def learn(folder: Path, home: Path) -> Learned:
    """Take note of what the metadata in ``folder/tuf`` revoke, and install nothing.

    Raises:
        HomeRefused: nothing is installed, the box trusts another organisation, or an installer is at work.
        TrustRefused, DamagedFile, MissingFile: they are not newer metadata of whom this box trusts.
    """
    with locked(home):
        return _learn(folder, home)


def _learn(folder: Path, home: Path) -> Learned:
    releases = Releases(home)
    state = releases.read_state()
    with open_file(folder, "tuf/1.root.json") as file:
        root = file.read(MAX_ROOT_BYTES + 1)
    if root_fingerprint(root) != state.root:
        raise HomeRefused(
            f"tuf/1.root.json in {folder} has the fingerprint {root_fingerprint(root)}.",
            needed=f"This box trusts {state.root or 'nobody yet'}.",
            todo="Use what comes from the organisation that set up this box.",
        )
    with tempfile.TemporaryDirectory(prefix="fieldpost-trust-") as scratch:
        copy_trust(home / "trust" / "metadata", Path(scratch) / "metadata")
        signed = read_folder(folder, root, Path(scratch) / "metadata")
        signed.check_floor(state.floor)
    note_revoked(home, signed.versions, signed.revoked)
    releases.raise_floor(signed.versions)
    return Learned(published=signed.published, newer=signed.versions != state.installed)


def _read(home: Path) -> dict[str, Any]:
    path = home / "revoked.json"
    try:
        raw = json.loads(path.read_bytes())
        seen, revoked = raw["seen"], raw["revoked"]
        if raw["format"] != FORMAT or len(seen) != 2 or not all(type(version) is int for version in seen):
            raise ValueError("of another format")
        if not all(isinstance(reason, str) for reason in revoked.values()):
            raise ValueError("a reason is no text")
        return {"seen": seen, "revoked": revoked}
    except FileNotFoundError:
        return {"seen": [0, 0], "revoked": {}}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HomeRefused(
            f"{path} cannot be read: {error}.",
            needed="It says what this box may not use any more.",
            todo="Move it away and install the newest stick again.",
        ) from error
