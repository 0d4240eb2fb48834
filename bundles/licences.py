"""The licence gate of the workstation: recipes before anything is fetched, and wheels of a runtime by their METADATA.

What may be passed on is decided in ``bundles.format.licence_policy``, for a box as for us.
"""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from bundles.format.errors import LicenceRefused, ScanRefused
from bundles.format.licence_policy import ASK, Verdict, joined, refuse
from bundles.recipe import Component, Recipe

CLASSIFIERS: Mapping[str, str] = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Zero-Clause BSD (0BSD)": "0BSD",
    "zlib/libpng License": "Zlib",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
}
"""What packages said before METADATA had License-Expression, as SPDX."""

_FREE_WORDS: Mapping[str, str] = {
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "isc license": "ISC",
    "mit license": "MIT",
    "the mit license (mit)": "MIT",
    "mpl 2.0": "MPL-2.0",
}
_NOTICE = re.compile(r"(licen[cs]e|notice|copying|authors)[^/]*", re.IGNORECASE)
_MAX_METADATA = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """What a wheel says of its licence."""

    name: str
    version: str
    licence: str
    """SPDX expression; empty when it names none."""
    notices: tuple[tuple[str, str], ...]
    """Its licence and notice files: path and text."""


def check_licences(recipe: Recipe) -> dict[str, Verdict]:
    """Refuse a recipe with a component that may not be passed on; the verdicts by component otherwise.

    Raises:
        LicenceRefused: naming the component and the reason.
    """
    needless = sorted(recipe.accepted_licences - ASK.keys())
    if needless:
        raise LicenceRefused(
            f"accepted_licences names {needless[0]}, which is not for a person to accept.",
            needed=f"Those are: {', '.join(sorted(ASK))}.",
            todo="Remove it.",
        )
    models = {c.name: c for c in recipe.components if c.kind == "model"}
    return {
        component.label: refuse(component.label, effective_licence(component, models), recipe.accepted_licences)
        for component in recipe.components
    }


def effective_licence(component: Component, models: Mapping[str, Component]) -> str:
    """The component's own expression, and for an adapter its base's as well."""
    return joined(component.licence, models[component.base].licence if component.base is not None else None)


def read_wheel(path: Path) -> Wheel:
    """A wheel's name, licence and notices. Nothing is unpacked.

    Raises:
        ScanRefused: it is no wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = [entry for entry in archive.infolist() if ".dist-info/" in entry.filename]
            metadata = next(entry for entry in info if entry.filename.endswith(".dist-info/METADATA"))
            named = [metadata, *(entry for entry in info if _NOTICE.fullmatch(PurePosixPath(entry.filename).name))]
            if sum(entry.file_size for entry in named) > _MAX_METADATA:
                raise ScanRefused(f"{path.name} holds more than {_MAX_METADATA:,} bytes of licences.")
            texts = {entry.filename: archive.read(entry).decode("utf-8", "replace") for entry in named}
    except (zipfile.BadZipFile, StopIteration, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ScanRefused(f"{path.name} is no sound wheel: {error!r}.", todo="Get it again.") from error
    told = HeaderParser().parsestr(texts.pop(metadata.filename))
    return Wheel(
        name=told.get("Name", path.name),
        version=told.get("Version", ""),
        licence=_licence_of(told.get("License-Expression"), told.get("License"), told.get_all("Classifier") or []),
        notices=tuple(sorted(texts.items())),
    )


def check_wheel(wheel: Wheel, accepted: frozenset[str] = frozenset()) -> Verdict:
    """The gate for one wheel.

    Raises:
        LicenceRefused: naming it and the reason.
    """
    return refuse(f"wheel {wheel.name} {wheel.version}", wheel.licence, accepted)


def _licence_of(expression: str | None, words: str | None, classifiers: list[str]) -> str:
    if expression:
        return expression.strip()
    found = [
        c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: ") and c != "License :: OSI Approved"
    ]
    known = dict.fromkeys(CLASSIFIERS.get(name, f"LicenseRef-{re.sub('[^A-Za-z0-9.]+', '-', name)}") for name in found)
    if known:
        return " AND ".join(known)  # a package that names two is taken by its stricter one
    line = (words or "").strip().splitlines()[:1]
    return _FREE_WORDS.get(line[0].strip().lower(), line[0].strip()) if line else ""
