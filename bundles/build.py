"""From a locked recipe to a signed bundle: the central act, on one page.

Each step's work is its own module's; this one knows the order, and that a bundle appears under its name only when it
is whole. What a bundle is, is said in bundles/README.md.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from bundles.components import GatheredFile, PreparedComponent, prepare
from bundles.contributed import Contributed, prepare_contributed, with_packages
from bundles.contributors import Accepted, accept_packages
from bundles.errors import LockError
from bundles.fetch import fetch
from bundles.format.errors import BundleError
from bundles.format.kinds import STICK_FILES
from bundles.format.verify import verify_bundle
from bundles.indexer import Indexer, fieldpost_index
from bundles.licences import check_licences
from bundles.lock import LockedFile, read_lock
from bundles.notices import notices, without_text
from bundles.placing import growing_folder, put_in_place, refuse_foreign
from bundles.recipe import Recipe, load_recipe
from bundles.recipe_table import HubSource
from bundles.sbom import bill_of_materials
from bundles.start_here import INSTALL_SH, start_here
from bundles.trust import Signer, publish
from bundles.write import write_components


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A finished bundle."""

    folder: Path
    version: int
    """Of its TUF metadata."""
    components: tuple[PreparedComponent, ...]
    fingerprint: str
    warnings: tuple[str, ...] = ()
    """Sentences for whoever builds: nothing that is refused, and nothing that a licence forgives."""


def build(
    recipe_path: Path,
    *,
    out: Path,
    signer: Signer,
    installer: Path,
    cache: Path,
    date: datetime,
    indexer: Indexer = fieldpost_index,
) -> Built:
    """Make the signed bundle ``out``, replacing an older bundle there.

    Raises:
        BundleError: one of its kinds, for the step that refused; ``out`` is then as it was.
    """
    out = out.resolve()
    refuse_foreign(out)
    # 1. The recipe and its lock agree on every file.
    recipe = load_recipe(recipe_path)
    locked = read_lock(recipe)
    # Contributors' packages are whole, and signed by whom headquarters lets sign them.
    accepted = accept_packages(signer.folder, (recipe.folder / folder for folder in recipe.packages))
    recipe, contributed = with_packages(recipe, accepted, locked)
    # 2. Everything in it may be passed on: before gigabytes are fetched.
    check_licences(recipe)
    # 3. Every file is on this machine.
    gathered = gather(recipe, locked, cache)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fieldpost-", dir=out.parent) as work:
        # 4. Every file is what it should be; packages are unpacked and documents indexed, here and not on a box.
        components = look_into(recipe, gathered, contributed, Path(work), indexer)
        # 5. Written, signed, checked as a box will check it, and only then given its name.
        sources = {file.sha256: file.where for file in locked if isinstance(file.source, HubSource)}
        version = assemble(
            recipe,
            components,
            out=out,
            signer=signer,
            installer=installer,
            date=date,
            accepted=accepted,
            sources=sources,
        )
    return Built(
        folder=out,
        version=version,
        components=components,
        fingerprint=signer.fingerprint,
        warnings=without_text(out),
    )


def gather(recipe: Recipe, locked: Sequence[LockedFile], cache: Path) -> tuple[GatheredFile, ...]:
    """Every locked file on this machine, fetched where need be.

    Raises:
        LockError, FetchError: a file has changed, or cannot be had.
    """
    return tuple(GatheredFile(locked=file, here=_gather(recipe, file, cache)) for file in locked)


def look_into(
    recipe: Recipe,
    gathered: Sequence[GatheredFile],
    contributed: Mapping[str, Contributed],
    work: Path,
    indexer: Indexer,
) -> tuple[PreparedComponent, ...]:
    """Every component of the recipe and its packages, scanned and ready to be written, in the recipe's order.

    Raises:
        ScanRefused, LockError, IndexFailed: see ``components.prepare`` and ``contributed.prepare_contributed``.
    """
    own = replace(recipe, components=tuple(c for c in recipe.components if c.label not in contributed))
    prepared = {f"{c.kind}/{c.name}": c for c in prepare(own, gathered, work / "own", indexer)}
    for component in recipe.components:
        if component.label in contributed:
            folder = work / "contributed" / component.label
            folder.mkdir(parents=True)
            base = prepared.get(f"model/{component.base}")
            prepared[component.label] = prepare_contributed(contributed[component.label], base, folder, indexer)
    return tuple(prepared[component.label] for component in recipe.components)


def assemble(
    recipe: Recipe,
    components: Sequence[PreparedComponent],
    *,
    out: Path,
    signer: Signer,
    installer: Path,
    date: datetime,
    accepted: Accepted = Accepted(),  # noqa: B008 a value without state
    sources: Mapping[str, str] | None = None,
) -> int:
    """Write and sign a bundle of prepared components; returns the version of its metadata.

    ``accepted`` are the contributors whose own signatures go with it; all else is signed by headquarters. ``sources``
    says where files came from, by SHA-256; it is told in NOTICES.txt and in the bill of materials.
    """
    if not installer.is_file():
        raise BundleError(f"There is no installer {installer}.", todo="Make it with scripts/build, or name one.")
    out = out.resolve()
    growing = growing_folder(out)
    shutil.rmtree(growing, ignore_errors=True)
    targets = write_components(recipe, components, growing, signed_by_others=accepted.roles.keys())
    targets |= _write_field_files(recipe, growing, installer, sources or {}, date)
    told = f"{recipe.name} {recipe.version}"
    version = publish(signer, targets, growing / "tuf", bundle=told, date=date, accepted=accepted)
    verify_bundle(growing, root=(growing / "tuf" / "1.root.json").read_bytes())
    put_in_place(out, growing)
    return version


def _write_field_files(
    recipe: Recipe, root: Path, installer: Path, sources: Mapping[str, str], date: datetime
) -> dict[str, tuple[int, str]]:
    """What a person opens or runs on the stick; signed too, as ``stick/...``."""
    texts = {
        "START-HERE.txt": start_here(
            title=recipe.title, name=recipe.name, version=recipe.version, languages=recipe.languages
        ),
        "NOTICES.txt": notices(root, sources),
        "bom.cdx.json": bill_of_materials(root, sources, date=date),
        "install.sh": INSTALL_SH,
        "installer.pyz": installer.read_bytes(),
    }
    for name, data in texts.items():
        (root / name).write_bytes(data)
    signed = {name: (root / name).read_bytes() for name in STICK_FILES}
    return {f"stick/{name}": (len(data), hashlib.sha256(data).hexdigest()) for name, data in signed.items()}


def _gather(recipe: Recipe, file: LockedFile, cache: Path) -> Path:
    """Where the file's bytes are. Their digest is compared with the lock when they are copied."""
    source = file.source
    if isinstance(source, HubSource):
        if source.revision is None:
            raise LockError(
                f"The lock names no revision of {file.where}.", todo=f"Run: fieldpost-bundle lock {recipe.path}"
            )
        return fetch(source.repo, source.revision, source.file, size=file.size, sha256=file.sha256, cache=cache)
    path = recipe.folder / source.file
    if path.stat().st_size != file.size:
        raise LockError(
            f"{file.where} of {file.component} has changed since it was locked.",
            needed=f"It had {file.size:,} bytes and has {path.stat().st_size:,}.",
            todo=f"Restore it, or run: fieldpost-bundle lock {recipe.path}",
        )
    return path
