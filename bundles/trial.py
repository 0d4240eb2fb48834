"""A bundle tried out: built with keys that nobody trusts, installed into a folder that is thrown away, and asked.

Everything is what a site would get: the real installer, and ``fieldpost eval`` as a process.
"""

import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bundles.box_command import last_words, run_box
from bundles.build import assemble, gather, look_into
from bundles.components import PreparedComponent
from bundles.contributed import with_packages
from bundles.contributors import Accepted
from bundles.errors import TrialFailed
from bundles.indexer import Indexer
from bundles.lock import LockedFile
from bundles.package import read_package
from bundles.recipe import Recipe
from bundles.roots import init_root
from bundles.trust import open_signer

INSTALL_TIMEOUT_S = 3600
EVAL_TIMEOUT_S = 24 * 3600


@contextmanager
def installed(recipe: Recipe, components: Sequence[PreparedComponent], *, installer: Path) -> Iterator[Path]:
    """A box's HOME with these components, gone in the end. Needs room for them twice.

    Raises:
        TrialFailed: the installer refused.
        BundleError: the bundle could not be made.
    """
    with tempfile.TemporaryDirectory(prefix="fieldpost-trial-") as scratch:
        folder = Path(scratch)
        passphrase = secrets.token_hex(16)
        now = datetime.now(UTC)
        fingerprint = init_root(
            folder / "keys", root_passphrases=[passphrase], hq_passphrase=passphrase, date=now, kdf_rounds=1
        )
        bundle, home = folder / "bundle", folder / "home"
        signer = open_signer(folder / "keys", passphrase)
        assemble(recipe, components, out=bundle, signer=signer, installer=installer, date=now)
        command = [sys.executable, "-I", "-S", str(installer), "install", "--from", str(bundle), "--home", str(home)]
        child = subprocess.run(  # noqa: S603 our own installer, no shell
            [*command, "--fingerprint", fingerprint],
            capture_output=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if child.returncode != 0:
            raise TrialFailed(f"The installer refused: {last_words(child)}.")
        yield home


@contextmanager
def tried(
    recipe: Recipe, locked: Sequence[LockedFile], *, installer: Path, cache: Path, indexer: Indexer
) -> Iterator[tuple[Recipe, Path]]:
    """The recipe with what its packages bring, and a box's HOME with all of it, gone in the end.

    Raises:
        TrialFailed: the installer refused.
        BundleError: one of its kinds, for the gate that refused.
    """
    packages = tuple(read_package(recipe.folder / folder) for folder in recipe.packages)
    # Signed by keys that are thrown away, contributors' parts as well: nobody is asked to trust the trial.
    recipe, contributed = with_packages(recipe, Accepted(packages=packages), tuple(locked))
    gathered = gather(recipe, locked, cache)
    with tempfile.TemporaryDirectory(prefix="fieldpost-trial-") as work:
        components = look_into(recipe, gathered, contributed, Path(work), indexer)
        with installed(recipe, components, installer=installer) as home:
            yield recipe, home


def evaluate(home: Path, set_name: str, *, adapter: str | None = None) -> dict[str, Any]:
    """What ``fieldpost eval --json`` says of an installed set.

    Raises:
        TrialFailed: the command is missing or failed, or said something else.
    """
    words = ["eval", "--home", str(home), "--set", set_name, "--json"]
    if adapter is not None:
        words += ["--adapter", adapter]
    try:
        child = run_box(*words, timeout_s=EVAL_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrialFailed(f"fieldpost eval did not run: {error}.", todo="Run scripts/setup.") from error
    try:
        if child.returncode != 0:
            raise ValueError(f"it ended with {child.returncode}")
        report: dict[str, Any] = json.loads(child.stdout)
        report["overall"]["right"]["value"], report["questions"], report["speed"]
    except (ValueError, KeyError, TypeError) as error:
        raise TrialFailed(f"fieldpost eval on {set_name}: {last_words(child)}.") from error
    return report
