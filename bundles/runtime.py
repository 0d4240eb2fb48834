"""Makes a runtime: everything that a box runs besides Python itself, as one tar that is the same every time.

The packages come from a hash-locked list, as wheels for the box's kind of machine, be it another than this one; uv
fetches and compares them. Fieldpost's own wheel and llama-cpp-python's are given as files. What the tar may hold is
said in ``bundles.format.runtime_archive``.
"""

import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from bundles.errors import RuntimeFailed
from bundles.format.runtime_archive import Platform, check_runtime

GLIBC = "2_36"
"""Debian 12's, against which the llama-cpp-python wheel is compiled as well."""
_LEFT_OUT = {"__pycache__", "bin"}
"""Made on the box; or naming this machine's Python."""
_TRACES = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
"""What installers write about themselves: paths of this machine among it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A finished archive."""

    path: Path
    entries: int
    bytes: int
    packages: tuple[str, ...]
    """Name and version of each: ``numpy-2.4.6``."""


def make_runtime(out: Path, platform: Platform, *, requirements: Path, wheels: Sequence[Path]) -> Runtime:
    """Install the packages into a folder and pack it as ``out``.

    Args:
        requirements: every package of a box but those in ``wheels``, pinned, each with its SHA-256.
        wheels: files that no index has; they come last and bring no dependencies.

    Raises:
        RuntimeFailed: a package has no wheel for this platform, has other bytes than the locked ones, or cannot be had.
    """
    for wheel in wheels:
        _refuse_foreign(wheel, platform)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fieldpost-", dir=out.parent) as work:
        packages = Path(work) / "tree" / platform.site_packages
        common = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--link-mode", "copy", "--no-config"]
        common += ["--target", str(packages), "--python-version", f"3.{platform.minor}"]
        common += ["--python-platform", f"{platform.machine}-manylinux_{GLIBC}", "--only-binary", ":all:"]
        _run([*common, "--require-hashes", "-r", str(requirements)])
        if wheels:
            _run([*common, "--reinstall", *map(str, wheels)])
        growing = Path(work) / "runtime.tar"
        _pack(Path(work) / "tree", growing)
        entries = check_runtime(growing)
        names = tuple(sorted(path.name.removesuffix(".dist-info") for path in packages.glob("*.dist-info")))
        size = growing.stat().st_size
        growing.replace(out)
    return Runtime(path=out, entries=entries, bytes=size, packages=names)


def _refuse_foreign(wheel: Path, platform: Platform) -> None:
    """uv looks at the tags of what it chooses itself, and not at those of a file that it is given."""
    *_, python, _, machine = wheel.stem.split("-")
    if (machine != "any" and not machine.endswith(f"_{platform.machine}")) or not (
        python.startswith("py") or f"cp3{platform.minor}" in python.split(".")
    ):
        raise RuntimeFailed(
            f"{wheel.name} is for another machine or another Python.",
            needed=f"One for {platform.machine} and Python 3.{platform.minor}.",
            todo="Build it for that machine: scripts/build-llama --target MACHINE",
        )


def _run(command: list[str]) -> None:
    child = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603
    if child.returncode:
        raise RuntimeFailed(
            f"The packages could not be put together: {' '.join(child.stderr.split())[-600:]}",
            needed="Every package as a wheel for this platform, with the locked SHA-256.",
            todo="Check the network; for another platform, whether each package has a wheel for it.",
        )


def _pack(tree: Path, out: Path) -> None:
    """The same tree gives the same bytes: sorted, without times, owners and what this machine's umask was."""
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in _below(tree):
            entry = tarfile.TarInfo(path.relative_to(tree).as_posix())
            if path.is_dir():
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            else:
                entry.size, entry.mode = path.stat().st_size, 0o644
                with path.open("rb") as file:
                    archive.addfile(entry, file)


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _LEFT_OUT or (folder.suffix == ".dist-info" and path.name in _TRACES) or path.name == ".lock":
            continue
        yield path
        if path.is_dir():
            yield from _below(path)
