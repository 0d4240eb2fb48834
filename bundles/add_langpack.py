"""Published Argos packages added to a recipe, in one act: freed of what no box may open, checked, pinned, written down.

Their publisher names no digests, so whoever adds a package decides once that it is the right one; from then on the
lock pins it by SHA-256, and ``build`` refuses another.
"""

import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bundles.argos_package import MAX_BYTES, MAX_ENTRIES, explode
from bundles.errors import RecipeError
from bundles.format.digest import digest_of_file
from bundles.format.durable import replace_file
from bundles.format.errors import ScanRefused
from bundles.licences import check_licences
from bundles.recipe import load_recipe

FOLDER = "langpacks"
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """One package as it now stands beside the recipe."""

    file: Path
    pair: str
    """``en>sw``."""
    sha256: str
    left_out: int
    """Files of Stanza data that were left out."""


def add_langpack(recipe: Path, packages: Sequence[Path], *, name: str, version: str, licence: str) -> list[Added]:
    """Copy packages beside ``recipe`` without Stanza data, and add a ``[[langpack]]`` of them to it.

    Raises:
        RecipeError: the recipe has one of that name, or a file of that name lies there; nothing was changed.
        ScanRefused: a package is not sound; nothing was changed.
        LicenceRefused: it may not be passed on; nothing was changed.
    """
    before = recipe.read_bytes()
    if any(component.label == f"langpack/{name}" for component in load_recipe(recipe).components):
        raise RecipeError(f"{recipe} has a langpack {name} already.", todo="Choose another --name, or edit the recipe.")
    with tempfile.TemporaryDirectory(prefix="fieldpost-langpack-") as work:
        made = []
        for number, package in enumerate(packages):
            target = recipe.parent / FOLDER / package.name
            if target.exists():
                raise RecipeError(f"{target} is there already.", todo="Move it away, or edit the recipe yourself.")
            freed = Path(work) / str(number) / package.name
            freed.parent.mkdir()
            left_out = without_stanza(package, freed)
            pair = explode(freed, Path(work) / "unpacked").pair
            made.append((freed, target, pair, left_out))
        # JSON's strings are TOML's as well.
        named = {"name": name, "version": version, "licence": licence}
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in named.items()]
        argos = json.dumps([f"{FOLDER}/{target.name}" for _, target, _, _ in made], ensure_ascii=False)
        table = "\n".join(("", "[[langpack]]", *lines, f"argos = {argos}", ""))
        (recipe.parent / FOLDER).mkdir(exist_ok=True)
        try:
            for freed, target, _, _ in made:
                shutil.copyfile(freed, target)
            replace_file(recipe, before.rstrip(b"\n") + b"\n" + table.encode(), mode=0o644)
            check_licences(load_recipe(recipe))
        except BaseException:
            replace_file(recipe, before, mode=0o644)
            for _, target, _, _ in made:
                target.unlink(missing_ok=True)
            raise
    return [
        Added(file=target, pair=pair, sha256=digest_of_file(target)[0].removeprefix("sha256:"), left_out=left_out)
        for _, target, pair, left_out in made
    ]


def without_stanza(package: Path, out: Path) -> int:
    """Copy a package without its ``stanza`` folder, the same bytes for the same package; how many files were left out.

    Raises:
        ScanRefused: it is no zip archive, or too large to be a package.
    """
    try:
        with zipfile.ZipFile(package) as source, zipfile.ZipFile(out, "w") as target:
            entries = [info for info in source.infolist() if not info.is_dir()]
            kept = [info for info in entries if "stanza" not in PurePosixPath(info.filename).parts[1:2]]
            if len(kept) > MAX_ENTRIES or sum(info.file_size for info in kept) > MAX_BYTES:
                raise ScanRefused(f"{package.name} is too large for an Argos package.", todo="Do not use it.")
            for info in sorted(kept, key=lambda info: info.filename):
                fresh = zipfile.ZipInfo(info.filename, _TIME)
                fresh.external_attr = info.external_attr  # a link stays one, and is refused for it
                fresh.compress_type = zipfile.ZIP_DEFLATED
                with source.open(info) as packed, target.open(fresh, "w", force_zip64=True) as copy:
                    shutil.copyfileobj(packed, copy, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        # RuntimeError is an encrypted entry, NotImplementedError an unknown compression.
        raise ScanRefused(f"{package.name} is no sound zip archive: {error}.", todo="Get it again.") from error
    return len(entries) - len(kept)
