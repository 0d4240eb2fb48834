"""Makes installer.pyz: the installer, the bundle format, and TUF's pure-Python parts, the same bytes every time.

Run by ``scripts/build`` with the development environment's Python; not part of the .pyz itself.
"""

import importlib.metadata
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

VENDORED = ("tuf", "securesystemslib", "urllib3")
# Older Pythons cannot even read our modules, so this one asks first, in words that every Python 3 knows.
_MAIN = b"""import sys

if sys.version_info < (3, 11):
    sys.exit("Error: This is Python %s. Python 3.11 or newer is needed. Install it, then run this again." % (
        sys.version.split()[0]))

from installer.cli import main

sys.exit(main())
"""
_TIME = (1980, 1, 1, 0, 0, 0)
_ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write ``dist/installer.pyz``, or the path given."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else _ROOT / "dist" / "installer.pyz"
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_suffix(".tmp")
    with draft.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, data in sorted(_with_packages(dict(_files())).items()):
                entry = zipfile.ZipInfo(name, _TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data)
    draft.chmod(0o755)
    draft.rename(out)


def _files() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _MAIN
    yield "LICENSE", (_ROOT / "LICENSE").read_bytes()
    for folder in ("installer", "bundles/format"):
        for path in (_ROOT / folder).glob("*.py"):
            if path.name != Path(__file__).name:
                yield f"{folder}/{path.name}", path.read_bytes()
    yield "bundles/__init__.py", (_ROOT / "bundles/__init__.py").read_bytes()
    for package in VENDORED:
        for file in importlib.metadata.files(package) or []:
            if _wanted(PurePosixPath(str(file)), package):
                yield str(file), Path(str(file.locate())).read_bytes()


def _with_packages(files: dict[str, bytes]) -> dict[str, bytes]:
    """An ``__init__.py`` in every folder of modules: Python finds no namespace packages inside a zip."""
    folders = {str(PurePosixPath(name).parent) for name in files if name.endswith(".py")} - {"."}
    return {**{f"{folder}/__init__.py": b"" for folder in folders}, **files}


def _wanted(file: PurePosixPath, package: str) -> bool:
    """The package's own modules, and its licence: a .pyz on a stick is redistribution."""
    if file.parts[0] == package:
        return file.suffix == ".py" and not {"contrib", "tests"} & set(file.parts)
    return ".dist-info" in file.parts[0] and "licen" in str(file).lower()


if __name__ == "__main__":
    main()
