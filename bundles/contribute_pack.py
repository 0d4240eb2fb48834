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
    left = [finding for finding in looked.findings if finding.outcome == TO_DO and finding.check != "files"]
    if left:
        raise PackageRefused(
            f"Still to be done: {'; '.join(finding.words for finding in left)}.",
            needed="Sites see what a package says of itself.",
            todo="Run: fieldpost-bundle check",
        )
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
