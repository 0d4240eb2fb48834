"""Releases that the hub gives out: bundles that headquarters signed, each in ``DIR/releases/ID``. It can sign none.

The id is the SHA-256 of the bundle's index. Boxes learn it from a receipt, so only they know what to ask for.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import HubError
from appliance.files import write_private
from appliance.sync.wire import RELEASE_FILE
from bundles.format.digest import root_fingerprint
from bundles.format.durable import sync_tree
from bundles.format.errors import BundleError, MissingFile
from bundles.format.kinds import STICK_FILES
from bundles.format.layout import blob_path, open_file
from bundles.format.manifest import Descriptor
from bundles.format.metadata import MAX_ROOT_BYTES
from bundles.format.verify import VerifiedBundle, verify_bundle

_CHUNK = 1 << 20
_DELTA = re.compile(r"[0-9a-f]{64}[0-9a-z.]{0,80}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A release that boxes can have."""

    id: str
    name: str
    """``clinic 1.2.0``."""
    folder: Path


class Releases:
    """What the hub in ``folder`` gives out."""

    def __init__(self, folder: Path) -> None:
        self._hub = folder
        self._folder = folder / "releases"

    def publish(self, bundle: Path, fingerprint: str | None) -> Published:
        """Take a bundle in: the folder that ``fieldpost-bundle build`` made, or, to add its deltas, an update of it.

        Args:
            fingerprint: of the organisation's root, compared the first time; afterwards the hub knows it.

        Raises:
            HubError: it is not signed by the organisation, or not whole; or the disk. Nothing is given out then.
        """
        try:
            root = self._root(bundle, fingerprint)
            verified = verify_bundle(bundle, root=root)
            id = verified.on_top["index.json"].digest.removeprefix("sha256:")
            folder = self._folder / id
            draft = folder.with_name(f"{id}.new")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700, parents=True)
            for name in (*verified.metadata, *STICK_FILES):
                _copy(bundle, name, draft)
            for blob in _blobs(verified):
                self._take(bundle, blob, draft)
            for delta in sorted(
                p for f in (bundle, folder) if (f / "deltas").is_dir() for p in (f / "deltas").iterdir()
            ):
                if _DELTA.fullmatch(delta.name):
                    _copy(delta.parent.parent, f"deltas/{delta.name}", draft)
            (draft / "name").write_text(f"{verified.index.name} {verified.index.version}", encoding="utf-8")
            sync_tree(draft)
            if not (self._hub / "1.root.json").exists():
                write_private(self._hub / "1.root.json", root)
            old = folder.with_name(f"{id}.old")
            shutil.rmtree(old, ignore_errors=True)
            if folder.exists():
                folder.rename(old)
            draft.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        except BundleError as error:
            raise HubError(f"{bundle} is not given out. {error.found}", needed=error.needed, todo=error.todo) from error
        except OSError as error:
            raise HubError(f"{bundle} cannot be taken in: {error}.", todo="Check the disks.") from error
        return self.find(id)

    def all(self) -> list[Published]:
        """Every release, by name."""
        found = []
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if re.fullmatch(r"[0-9a-f]{64}", folder.name):
                name = (folder / "name").read_text(encoding="utf-8")
                found.append(Published(id=folder.name, name=name, folder=folder))
        return sorted(found, key=lambda published: published.name)

    def find(self, wanted: str) -> Published:
        """A release by its id or by its name and version.

        Raises:
            HubError: there is none, or more than one.
        """
        found = [one for one in self.all() if wanted in (one.id, one.name)]
        if len(found) != 1:
            raise HubError(
                f"{len(found) or 'No'} releases here are called {wanted}.",
                needed=f"Here are: {', '.join(f'{one.name} ({one.id})' for one in self.all()) or 'none'}.",
                todo="Name one by its long id; fieldpost-hub publish BUNDLE --data DIR takes in another.",
            )
        return found[0]

    def files(self, id: str) -> dict[str, int] | None:
        """Files of a release and their sizes; None where there is none."""
        folder = self._folder / id
        if not folder.is_dir():
            return None
        paths = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())
        return {path: (folder / path).stat().st_size for path in paths if RELEASE_FILE.fullmatch(path)}

    def file(self, id: str, path: str) -> Path | None:
        """Where one of them lies."""
        found = self._folder / id / path
        return found if RELEASE_FILE.fullmatch(path) and found.is_file() else None

    def _root(self, bundle: Path, fingerprint: str | None) -> bytes:
        with open_file(bundle, "tuf/1.root.json") as file:
            found = file.read(MAX_ROOT_BYTES)
        known = self._hub / "1.root.json"
        if known.exists():
            return known.read_bytes()  # verify_bundle compares it
        if fingerprint is None or fingerprint.strip() != root_fingerprint(found):
            raise HubError(
                f"{bundle} has the fingerprint {root_fingerprint(found)}.",
                needed="The first time it is compared with the one that your headquarters wrote down.",
                todo="Add: --fingerprint SHA256:...",
            )
        return found

    def _take(self, bundle: Path, blob: Descriptor, draft: Path) -> None:
        """From the bundle, else from a release that has it already."""
        path = blob_path(blob.digest)
        target = draft / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open_file(bundle, path) as source, target.open("xb") as out:
                digest = hashlib.sha256()
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    out.write(chunk)
            if f"sha256:{digest.hexdigest()}" == blob.digest:
                return
            target.unlink()
        except MissingFile:
            target.unlink(missing_ok=True)
        except FileExistsError:
            return  # the same bytes twice in one bundle
        for other in self.all():
            if (other.folder / path).is_file():
                os.link(other.folder / path, target)
                return
        raise MissingFile(
            f"{path} is not there, or not whole.", todo="Publish the whole bundle first; an update adds its deltas."
        )


def _blobs(verified: VerifiedBundle) -> Iterator[Descriptor]:
    for entry in verified.index.entries:
        yield entry.blob
    for component in verified.components:
        yield from (layer.blob for layer in component.manifest.layers)


def _copy(bundle: Path, name: str, draft: Path) -> None:
    target = draft / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_file(bundle, name) as source, target.open("wb") as out:
        shutil.copyfileobj(source, out)
