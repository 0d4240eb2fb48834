"""Releases and the box's memory of what it trusts: ``releases/N``, ``current``, ``trust`` and ``state.json``.

A release is hard links into the blob store and a ``release.json``; the appliance reads nothing else. ``state.json``
keeps the root's fingerprint and the version floor apart from TUF's own files, which a power cut can empty.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bundles.format.durable import replace_file, switch, sync_folder, sync_tree
from bundles.format.metadata import Versions, versions_from
from bundles.format.verify import VerifiedBundle, copy_trust
from installer.errors import HomeRefused
from installer.store import Store

FORMAT = 1
RUNTIME = "runtime"
"""In a release's folder, the link to the runtime that runs it; absent where the bundle brought none."""
_OWN = {"number": 0, "why": ""}
"""What two releases of the same bundle may differ in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What this box trusts. Empty before the first install."""

    root: str = ""
    """Fingerprint of the trusted 1.root.json."""
    floor: Versions = field(default_factory=Versions)
    """The newest that this box has seen; nothing older is taken."""
    installed: Versions = field(default_factory=Versions)
    """Of the release in use."""
    previous: int | None = None
    """The release before the current one."""


class Releases:
    """The releases of one HOME."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "releases"
        self._folder.mkdir(exist_ok=True)

    @property
    def current(self) -> int | None:
        """Number of the release in use.

        Raises:
            HomeRefused: ``current`` is there and is not the link that the installer makes.
        """
        path = self._home / "current"
        try:
            return int(path.readlink().name)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise HomeRefused(
                f"{path} is not the installer's link to a release.", todo="Move it away, then install again."
            ) from error

    def describe(self, number: int) -> dict[str, Any]:
        """The release's release.json.

        Raises:
            HomeRefused: it is missing or is no JSON.
        """
        path = self._folder / str(number) / "release.json"
        try:
            raw = json.loads(path.read_bytes())
            if not isinstance(raw, dict):
                raise ValueError("no object")
        except (FileNotFoundError, ValueError) as error:
            raise HomeRefused(
                f"{path} cannot be read.", needed="It says what is installed.", todo="Install the stick again."
            ) from error
        return raw

    def find(self, facts: Mapping[str, Any], store: Store) -> int | None:
        """The release that already is what ``facts`` describe, number aside, and links to the store's whole blobs."""
        for folder in self._folder.iterdir():
            if folder.name.isdigit():
                try:
                    found = self.describe(int(folder.name))
                except HomeRefused:
                    continue  # a release that rotted is no use, and no reason not to make a new one
                if {**found, **_OWN} == {**facts, **_OWN} and _is_linked(folder, found, store):
                    return int(folder.name)
        return None

    def make(self, facts: Mapping[str, Any], store: Store) -> int:
        """Make a new release of blobs that are all in the store; not yet in use."""
        for leftover in self._folder.glob("*.tmp"):
            shutil.rmtree(leftover)
        number = max((int(p.name) for p in self._folder.iterdir() if p.name.isdigit()), default=0) + 1
        draft = self._folder / f"{number}.tmp"
        draft.mkdir()
        for component in facts["components"]:
            for file in component["files"]:
                path = draft / component["folder"] / file["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.hardlink_to(store.path(file["digest"]))
            if component["kind"] == "runtime":
                (draft / RUNTIME).symlink_to(_runtime(component))
        _write_json(draft / "release.json", {**facts, "number": number})
        sync_tree(draft)
        draft.rename(self._folder / str(number))
        sync_folder(self._folder)
        return number

    def folder(self, number: int) -> Path:
        """Where release ``number`` lies."""
        return self._folder / str(number)

    def activate(self, number: int) -> None:
        """Put a release in use, in one step."""
        switch(self._home / "current", f"releases/{number}")

    def read_state(self) -> State:
        """What this box trusts.

        Raises:
            HomeRefused: the file is there and cannot be read. Starting anew would trust whatever stick comes next.
        """
        path = self._home / "state.json"
        try:
            raw = json.loads(path.read_bytes())
            if raw["format"] != FORMAT or not isinstance(raw["root"], str):
                raise ValueError(f"format {raw['format']}")
            return State(
                root=raw["root"],
                floor=versions_from(raw["floor"]),
                installed=versions_from(raw.get("installed", raw["floor"])),
                previous=raw["previous"],
            )
        except FileNotFoundError:
            if (self._home / "trust").exists() or self.current is not None:
                raise HomeRefused(
                    f"{path} is missing though something is installed.",
                    needed="It says whom this box trusts.",
                    todo="Restore it from a backup, or install into an empty folder.",
                ) from None
            return State()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HomeRefused(
                f"{path} cannot be read: {error!r}.",
                needed="It says whom this box trusts.",
                todo="Restore it from a backup, or install into an empty folder.",
            ) from error

    def draft_trust(self) -> Path:
        """A copy of the trusted metadata to verify against; the original is not touched."""
        folder = self._home / "trusts"
        folder.mkdir(exist_ok=True)
        draft = folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        copy_trust(self._home / "trust" / "metadata", draft / "metadata")
        return draft

    def commit(self, draft: Path, root: bytes, bundle: VerifiedBundle, number: int) -> None:
        """From now on trust what the draft trusts, and nothing older; release ``number`` is about to be used."""
        (draft / "1.root.json").write_bytes(root)
        sync_tree(draft)
        old = self._home / "trust"
        named = draft.with_name(str(int(old.readlink().name) + 1 if old.is_symlink() else 1))
        shutil.rmtree(named, ignore_errors=True)
        draft.rename(named)
        sync_folder(named.parent)
        # The floor first: should the power fail between the two, the older metadata stands above no floor of its own.
        previous = self.read_state().previous if number == self.current else self.current
        versions = bundle.versions
        self._write_state(State(root=bundle.fingerprint, floor=versions, installed=versions, previous=previous))
        switch(old, f"trusts/{named.name}")
        for folder in named.parent.iterdir():
            if folder.name != named.name:
                shutil.rmtree(folder)

    def raise_floor(self, versions: Versions) -> None:
        """From now on take nothing older than ``versions``, which were verified against the present floor."""
        state = self.read_state()
        if state.floor != versions:
            self._write_state(replace(state, floor=versions))

    def _write_state(self, state: State) -> None:
        _write_json(self._home / "state.json", {"format": FORMAT, **asdict(state)})


def _write_json(path: Path, value: Any) -> None:
    replace_file(path, (json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode())


def _is_linked(folder: Path, facts: Mapping[str, Any], store: Store) -> bool:
    """False when a blob was replaced since: the release still holds the old, rotten one."""
    try:
        runtimes = [_runtime(component) for component in facts["components"] if component["kind"] == "runtime"]
        return all(str((folder / RUNTIME).readlink()) == there for there in runtimes) and all(
            (folder / component["folder"] / file["path"]).samefile(store.path(file["digest"]))
            for component in facts["components"]
            for file in component["files"]
        )
    except FileNotFoundError:
        return False


def _runtime(component: Mapping[str, Any]) -> str:
    """Where a runtime lies unpacked, as seen from a release's folder."""
    tar = next(file for file in component["files"] if file["path"].endswith(".tar"))
    return f"../../runtimes/{tar['digest'].removeprefix('sha256:')}"


def release_facts(bundle: VerifiedBundle, why: str = "") -> dict[str, Any]:
    """What release.json says about a bundle; its shape is a contract with the appliance.

    Args:
        why: why this model was chosen, in a sentence.
    """
    return {
        "format": FORMAT,
        "number": 0,
        "bundle": bundle.index.name,
        "version": bundle.index.version,
        "title": bundle.index.title,
        "languages": list(bundle.index.languages),
        "why": why,
        "components": [
            {
                "kind": component.manifest.kind,
                "name": component.manifest.name,
                "publisher": component.manifest.publisher,
                "version": component.manifest.version,
                "licence": component.manifest.licence,
                "manifest": component.digest,
                "annotations": dict(component.manifest.annotations),
                "folder": component.manifest.folder,
                "files": [
                    {"path": layer.path, "digest": layer.blob.digest, "size": layer.blob.size}
                    for layer in component.manifest.layers
                ],
            }
            for component in bundle.components
        ],
    }
