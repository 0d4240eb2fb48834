"""What bundling costs beyond the bytes themselves: build, verify and stick against sha256 and a copy of the same bytes.

Each round does the floors and the acts in an order of its own, each in a process of its own, which also tells its peak
memory. The floors: ``hash`` reads and hashes once; ``hash and copy`` hashes what it copies and syncs it; ``twice``
does that and then hashes the copy from the medium, as a stick must be. Ratios are made within a round.
"""

import hashlib
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bundles.build import assemble
from bundles.check import check_bundle
from bundles.components import Layer, PreparedComponent
from bundles.recipe import Recipe
from bundles.stick import write_stick
from bundles.trust import open_signer
from tests.benchmarks.frame import Row
from tests.support.bundle_factory import DATE, INSTALLER, PASSPHRASE, make_keys

BYTES = 1 << 30
QUICK_BYTES = 256 << 20
LARGE_BYTES = 4 << 30
"""For the peak of memory."""
_CHUNK = 1 << 20
_FOLDER = Path(os.environ.get("FIELDPOST_BENCH_FOLDER", "/var/tmp"))


def measure(quick: bool) -> list[Row]:
    """Medians over the rounds; throughput in MB/s of the bundle's bytes."""
    rounds, size = (3, QUICK_BYTES) if quick else (4, BYTES)
    order = random.Random(rounds)
    seconds: dict[str, list[float]] = {name: [] for name in _ACTS}
    with tempfile.TemporaryDirectory(prefix="fieldpost-bench-", dir=_FOLDER) as folder:
        place = Path(folder)
        _prepare(place, size)
        for _ in range(rounds):
            # build makes what verify and stick need; it may stand anywhere after the first round.
            for name in order.sample(sorted(_ACTS), len(_ACTS)):
                seconds[name].append(_run(name, place)["seconds"])
        peaks = {}
        if not quick:
            shutil.rmtree(place)
            place.mkdir()
            _prepare(place, LARGE_BYTES)
            peaks = {name: _run(name, place)["peak"] for name in ("build", "verify", "stick")}
        else:
            peaks = {name: _run(name, place)["peak"] for name in ("build", "verify", "stick")}
    rows = [
        Row(metric=f"{name}, {size >> 20} MiB", value=size / 1e6 / statistics.median(seconds[name]), unit="MB/s")
        for name in _ACTS
    ]
    for name, floor, target in (
        ("build", "hash and copy", 1.15),
        ("verify", "hash", 1.15),
        ("verify", "hash and copy", 1.15),
        ("stick", "twice", 1.15),
        ("stick", "hash and copy", 1.15),
    ):
        ratios = [act / base for act, base in zip(seconds[name], seconds[floor], strict=True)]
        rows.append(
            Row(metric=f"{name} / {floor}", value=statistics.median(ratios), unit="ratio", target=target, lower=True)
        )
    what = f"{(QUICK_BYTES if quick else LARGE_BYTES) >> 20} MiB"
    rows += [
        Row(metric=f"peak memory of {name}, {what}", value=peak, unit="MB", target=150, lower=True)
        for name, peak in peaks.items()
    ]
    return rows


def _prepare(place: Path, size: int) -> None:
    """The weights, the keys, and a first bundle."""
    block = random.Random(1).randbytes(_CHUNK)
    with (place / "weights.gguf").open("wb") as file:
        for number in range(size // _CHUNK):
            file.write(number.to_bytes(8, "little") + block[8:])
    (place / "installer.pyz").write_bytes(INSTALLER)
    make_keys(place / "keys")
    _run("build", place)


def _run(name: str, place: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bundle", name, str(place)], capture_output=True, text=True, check=True
    )
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _hash(place: Path) -> None:
    digest = hashlib.sha256()
    with (place / "weights.gguf").open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)


def _hash_and_copy(place: Path) -> None:
    digest = hashlib.sha256()
    with (place / "weights.gguf").open("rb") as file, (place / "copy").open("wb") as out:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())


def _twice(place: Path) -> None:
    _hash_and_copy(place)
    digest = hashlib.sha256()
    with (place / "copy").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)


def _build(place: Path) -> None:
    recipe = Recipe(
        path=place, name="large", version="1", publisher="fieldpost", title="Large", languages=("en",), components=(),
        accepted_licences=frozenset(),
    )  # fmt: skip
    component = PreparedComponent(
        kind="model", name="answers", publisher="fieldpost", version="1", licence="Apache-2.0", title="answers",
        layers=(Layer(path="answers.gguf", here=place / "weights.gguf", weights=True),), annotations={},
    )  # fmt: skip
    signer = open_signer(place / "keys", PASSPHRASE)
    assemble(recipe, [component], out=place / "bundle", signer=signer, installer=place / "installer.pyz", date=DATE)


def _verify(place: Path) -> None:
    check_bundle(place / "bundle", (place / "keys/1.root.json").read_bytes())


def _stick(place: Path) -> None:
    write_stick(place / "bundle", place / "stick")


_ACTS: dict[str, Callable[[Path], None]] = {
    "hash": _hash,
    "hash and copy": _hash_and_copy,
    "twice": _twice,
    "build": _build,
    "verify": _verify,
    "stick": _stick,
}


def _act(name: str, place: Path) -> None:
    """In the child: do it, and tell seconds and peak memory. Each begins with nothing of its own there."""
    for made in ("copy", "stick"):
        path = place / made
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    (place / "stick").mkdir()
    if name == "build":
        shutil.rmtree(place / "bundle", ignore_errors=True)
    os.sync()
    began = time.perf_counter()
    _ACTS[name](place)
    seconds = time.perf_counter() - began
    # Not ru_maxrss: a child is born with its parent's.
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024 / 1e6
    print(json.dumps({"seconds": seconds, "peak": peak}))


if __name__ == "__main__":
    _act(sys.argv[1], Path(sys.argv[2]))
