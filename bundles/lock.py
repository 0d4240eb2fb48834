"""The lock: every file of a recipe with its size, SHA-256 and source, so that a build is the same everywhere.

``make_lock`` asks the disk and the Hugging Face Hub; ``read_lock`` compares what was written with the recipe as it is
now. Nothing is fetched here: the Hub knows the digests of its large files.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

from bundles.errors import LockError, RecipeError
from bundles.fetch import HubListing
from bundles.format.digest import digest_of_file
from bundles.format.durable import replace_file
from bundles.format.manifest import safe_path
from bundles.progress import byte_bar
from bundles.recipe import Part, Recipe
from bundles.recipe_table import SHA256, FileSource, HubSource, Source

FORMAT = 1

Lister = Callable[[str, str | None], HubListing]
"""``bundles.fetch.list_repository``: repository and revision to its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """One file, exactly."""

    component: str
    """``model/answers``."""
    role: str
    path: str
    """Its path in the component; of an Argos package, the archive's name."""
    size: int
    sha256: str
    source: Source
    """With its sha256, and for the Hub its revision, filled in."""

    @property
    def where(self) -> str:
        """The source in words."""
        if isinstance(self.source, FileSource):
            return self.source.file
        return f"{self.source.repo}/{self.source.file} at {self.source.revision}"


def make_lock(recipe: Recipe, lister: Lister) -> tuple[LockedFile, ...]:
    """Resolve every file of the recipe.

    Raises:
        RecipeError: a file is missing, a pattern finds nothing, or two files would get one name.
        LockError: a file is not the one whose sha256 the recipe names.
        FetchError: the Hub cannot be asked.
    """
    locked = []
    listings: dict[tuple[str, str | None], HubListing] = {}
    for label, part, path in _resolve(recipe):
        source = part.source
        if isinstance(source, FileSource):
            size, sha256 = measure(recipe.folder / source.file, path)
            _agree(source.sha256, sha256, f"{recipe.path}: {source.file}")
            kept: Source = FileSource(file=source.file, sha256=sha256)
        else:
            key = (source.repo, source.revision)
            listing = listings.get(key) or listings.setdefault(key, lister(*key))
            size, sha256 = _in_listing(listing, source)
            kept = HubSource(repo=source.repo, file=source.file, revision=listing.revision, sha256=sha256)
        locked.append(LockedFile(component=label, role=part.role, path=path, size=size, sha256=sha256, source=kept))
    return tuple(locked)


def write_lock(recipe: Recipe, files: tuple[LockedFile, ...]) -> Path:
    """Write the lock beside the recipe; the same files give the same bytes."""
    raw = {"format": FORMAT, "bundle": recipe.name, "version": recipe.version, "files": [_to_json(f) for f in files]}
    text = json.dumps(raw, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    replace_file(recipe.lock_path, text.encode())
    return recipe.lock_path


def read_lock(recipe: Recipe) -> tuple[LockedFile, ...]:
    """The lock, if it still lists exactly the recipe's files. Their contents are checked where they are read.

    Raises:
        LockError: there is none, it cannot be read, or recipe or folder have changed since.
    """
    todo = f"Run: fieldpost-bundle lock {recipe.path}"
    try:
        raw = json.loads(recipe.lock_path.read_bytes())
        if raw["format"] != FORMAT:
            raise ValueError(f"format {raw['format']}, needed {FORMAT}")
        head = (raw["bundle"], raw["version"])
        locked = tuple(_from_json(entry) for entry in raw["files"])
    except FileNotFoundError as error:
        raise LockError(f"{recipe.path} has no lock.", needed="A build takes exact files.", todo=todo) from error
    except (ValueError, KeyError, TypeError) as error:
        raise LockError(f"{recipe.lock_path} cannot be read: {error!r}.", todo=todo) from error
    if head != (recipe.name, recipe.version):
        raise LockError(
            f"{recipe.lock_path} is for {head[0]} {head[1]}.", needed=f"{recipe.name} {recipe.version}.", todo=todo
        )
    wanted = {(label, part.role, path): part.source for label, part, path in _resolve(recipe)}
    present = {(f.component, f.role, f.path): f.source for f in locked}
    for label, _, path in sorted(wanted.keys() ^ present.keys()):
        state = "is not in the lock" if (label, _, path) in wanted else "is in the lock and not in the recipe"
        raise LockError(f"{path} of {label} {state}.", needed="Recipe and lock must agree.", todo=todo)
    for key, source in wanted.items():
        if not _same_source(source, present[key]):
            raise LockError(f"{key[2]} of {key[0]} has another source in the lock.", needed="They agree.", todo=todo)
    return locked


def measure(path: Path, label: str) -> tuple[int, str]:
    """Size and SHA-256 of a file as a lock writes them, with a bar for large ones."""
    with byte_bar(label, path.stat().st_size) as bar:
        digest, size = digest_of_file(path, bar.update)
    return size, digest.removeprefix("sha256:")


def _resolve(recipe: Recipe) -> Iterator[tuple[str, Part, str]]:
    """Every single file: patterns expanded and sorted, paths made relative to the recipe, names given and unique."""
    for folder in recipe.packages:
        # Its index names every other file of a package by digest.
        for source in _expand(recipe, "a package", FileSource(file=f"{folder.rstrip('/')}/index.json")):
            yield "package", Part(role="package", source=source), source.file
    for component in recipe.components:
        taken = {"index.sqlite"} if component.kind == "docpack" else set()
        for part in component.parts:
            for source in _expand(recipe, component.label, part.source):
                path = safe_path(_path_in_component(part.role, source.name))
                if path in taken:
                    raise RecipeError(
                        f"{recipe.path}: {component.label} would hold two files called {path}.", todo="Rename one."
                    )
                taken.add(path)
                yield component.label, Part(role=part.role, source=source), path


def _expand(recipe: Recipe, label: str, source: Source) -> list[Source]:
    if isinstance(source, HubSource):
        return [source]
    where = f"{recipe.path}: {label}"
    # A lock holds no absolute path, so that it means the same on another machine.
    relative = (
        os.path.relpath(source.file, recipe.folder.absolute()) if Path(source.file).is_absolute() else source.file
    )
    if has_magic(source.file):
        found = sorted(p for p in recipe.folder.glob(relative) if p.is_file())
        if not found:
            raise RecipeError(f"{where}: {source.file} matches no file.", needed="At least one is needed.")
        return [FileSource(file=os.path.relpath(p, recipe.folder)) for p in found]
    if not (recipe.folder / relative).is_file():
        raise RecipeError(
            f"{where} names {source.file}, which is not there.", todo="Paths are relative to the recipe's folder."
        )
    return [FileSource(file=relative, sha256=source.sha256)]


def _path_in_component(role: str, name: str) -> str:
    fixed = {
        "card": "README.md",
        "glossary": "glossary.csv",
        "strings": f"strings/{name}",
        "thresholds": f"thresholds/{name}",
    }
    return fixed.get(role, name)


def _in_listing(listing: HubListing, source: HubSource) -> tuple[int, str]:
    where = f"{source.repo} at {listing.revision}"
    if source.file not in listing.files:
        near = ", ".join(sorted(name for name in listing.files if name.endswith(".gguf"))[:8])
        raise LockError(f"{where} has no {source.file}.", needed=f"It has {near or 'no GGUF files'}.")
    found = listing.files[source.file]
    sha256 = found.sha256 or source.sha256
    if sha256 is None:
        raise LockError(
            f"The Hub keeps no SHA-256 of {source.file} in {where}, because it is small.",
            todo='Add sha256 = "..." to the recipe.',
        )
    _agree(source.sha256, sha256, f"{where}: {source.file}")
    return found.size, sha256


def _agree(wanted: str | None, found: str, where: str) -> None:
    if wanted is not None and wanted != found:
        raise LockError(
            f"{where} has SHA-256 {found}.",
            needed=f"The recipe says {wanted}.",
            todo="Find out why it changed before you change the recipe.",
        )


def _same_source(wanted: Source, locked: Source) -> bool:
    """Whether the lock's source is the recipe's; where the recipe leaves revision or sha256 open, the lock decides."""
    if wanted.sha256 not in (None, locked.sha256) or wanted.file != locked.file:
        return False
    if isinstance(wanted, HubSource) and isinstance(locked, HubSource):
        return wanted.repo == locked.repo and wanted.revision in (None, locked.revision)
    return type(wanted) is type(locked)


def _to_json(locked: LockedFile) -> dict[str, Any]:
    source = locked.source
    place: dict[str, Any] = {"file": source.file}
    if isinstance(source, HubSource):
        place |= {"hub": source.repo, "revision": source.revision}
    return {
        "component": locked.component,
        "role": locked.role,
        "path": locked.path,
        "size": locked.size,
        "sha256": locked.sha256,
        "source": place,
    }


def _from_json(raw: dict[str, Any]) -> LockedFile:
    sha256, place = raw["sha256"], raw["source"]
    if not SHA256.fullmatch(sha256) or type(raw["size"]) is not int or raw["size"] < 0:
        raise ValueError(f"an ill-formed size or digest at {raw['path']}")
    source: Source
    if "hub" in place:
        source = HubSource(repo=place["hub"], file=place["file"], revision=place["revision"], sha256=sha256)
    else:
        source = FileSource(file=place["file"], sha256=sha256)
    return LockedFile(
        component=raw["component"], role=raw["role"], path=raw["path"], size=raw["size"], sha256=sha256, source=source
    )
