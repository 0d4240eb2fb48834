"""From a checked working folder to a contributor's signed package: what headquarters can take into a recipe."""

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bundles.contribute_check import TO_DO, Looked
from bundles.errors import PackageRefused
from bundles.package import SignedPackage, sign_package
from bundles.write import write_components

KNOWN = frozenset({"oci-layout", "index.json", "blobs", "tuf"})
"""What lies in a package; a folder that holds anything else is not ours to replace."""


def pack(looked: Looked, out: Path, *, key: Path, passphrase: str, date: datetime) -> SignedPackage:
    """Write and sign the package ``out``, replacing an older package there.

    Raises:
        PackageRefused: something is still to be written, or ``out`` is no package.
        SigningError: the key does not open.
    """
    _refuse_unfinished(looked)
    if out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - KNOWN):
        raise PackageRefused(
            f"{out} is no package.", needed="Only packages are replaced.", todo="Choose another --out."
        )
    growing = out.with_name(out.name + ".tmp")
    shutil.rmtree(growing, ignore_errors=True)
    growing.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_components(replace(looked.recipe, ram_mb=None, why=None), looked.own, growing)
        signed = sign_package(growing, key, passphrase, date=date)
        shutil.rmtree(out, ignore_errors=True)
        growing.rename(out)
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return signed


def files_for_hub(looked: Looked) -> dict[str, Path]:
    """What is published of a folder: path in the repository to where it lies. PEFT wants its files on top.

    Raises:
        PackageRefused: something is still to be written, or two files would get one name.
    """
    _refuse_unfinished(looked)
    own = {(component.kind, component.name) for component in looked.own}
    files: dict[str, Path] = {}
    for prepared in looked.own:
        for layer in prepared.layers:
            if layer.path.endswith(".sqlite"):
                continue  # made anew by whoever builds
            folder = _FOLDERS.get(prepared.kind, "") if layer.path != "README.md" else ""
            _put(files, folder + layer.path, layer.here)
    for component in looked.recipe.components:
        if (component.kind, component.name) in own:
            for part in component.parts:
                if part.role == "peft":
                    _put(files, part.source.name, looked.recipe.folder / part.source.file)
    return dict(sorted(files.items()))


_FOLDERS = {"docpack": "docs/", "evalset": "evalset/", "dataset": "data/"}


def _put(files: dict[str, Path], name: str, here: Path) -> None:
    if name in files:
        raise PackageRefused(f"Two files would be {name} on the Hub.", todo="Publish them from two folders.")
    files[name] = here


def _refuse_unfinished(looked: Looked) -> None:
    left = [finding for finding in looked.findings if finding.outcome == TO_DO and finding.check != "files"]
    if left:
        raise PackageRefused(
            f"Still to be done: {'; '.join(finding.words for finding in left)}.",
            needed="Whoever gets it reads what it says of itself.",
            todo="Run: fieldpost-bundle check",
        )
