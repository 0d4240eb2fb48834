"""From a stick to the first answer, against copying the same bytes and hashing them twice.

The bundle is the demo without its questions, with a large second model that nobody asks and with programs: those of
dist/runtime where ``scripts/build --runtime`` has made them, else this checkout's. ``twice`` hashes while it copies,
syncs, and hashes once more from the medium. Each round does both; the ratio is made within a round. A site's test
questions, which cost what headquarters wants them to, are left out.
"""

import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bundles.format.durable import forget_cached
from tests.benchmarks.frame import Row
from tests.journeys.demo import ENGLISH
from tests.support.bundle_factory import runtime
from tests.support.gguf import head_for
from tests.support.site import DEMO_RECIPE, ROOT, Site, copy_recipe

BYTES = 2 << 30
QUICK_BYTES = 256 << 20
_CHUNK = 1 << 20
_FOLDER = Path(os.environ.get("FIELDPOST_BENCH_FOLDER", "/var/tmp"))


def measure(quick: bool) -> list[Row]:
    """Medians over the rounds."""
    rounds, size = (1, QUICK_BYTES) if quick else (3, BYTES)
    with tempfile.TemporaryDirectory(prefix="fieldpost-bench-", dir=_FOLDER) as folder:
        site = Site(folder=Path(folder))
        programs = _prepare(site, size)
        blobs = sorted((site.bundle / "blobs/sha256").iterdir())
        measured = [_round(site, blobs) for _ in range(rounds)]
    megabytes = sum(one["bytes"] for one in measured[:1]) / 1e6
    ratios = [one["seconds"] / one["twice"] for one in measured]
    return [
        Row(metric=f"stick, {programs}", value=megabytes, unit="MB"),
        Row(metric="stick to first answer", value=statistics.median(one["seconds"] for one in measured), unit="s"),
        Row(metric="of it the first answer", value=statistics.median(one["answer"] for one in measured), unit="s"),
        Row(metric="twice", value=statistics.median(one["twice"] for one in measured), unit="s"),
        Row(metric="ratio", value=statistics.median(ratios), unit="", target=1.25, lower=True),
        Row(metric="peak memory", value=max(one["peak"] for one in measured), unit="MB", target=100, lower=True),
    ]


def _prepare(site: Site, size: int) -> str:
    """Build the bundle; says which programs are in it."""
    recipe = copy_recipe(DEMO_RECIPE, site.folder)
    text = recipe.read_text().partition("[[evalset]]")[0]
    rng = random.Random(size)
    block = rng.randbytes(_CHUNK)
    with (recipe.parent / "bulk.gguf").open("wb") as file:
        for number in range(size >> 20):
            first = head_for(size - len(head_for(size))) if number == 0 else number.to_bytes(8, "little")
            file.write(first + block[len(first) :])
    made = sorted((ROOT / "dist/runtime").glob(f"linux-{os.uname().machine}-cp3{sys.version_info.minor}.tar"))
    if made:
        name = made[0].name
        shutil.copy(made[0], recipe.parent / name)
    else:
        ((name, data),) = runtime().files.items()
        (recipe.parent / name).write_bytes(data)
    tables = {
        "model": {"name": "bulk", "version": "1", "licence": "MIT", "file": "bulk.gguf"},
        "runtime": {
            "name": "box", "version": "1", "licence": "MIT", "file": name, "platform": name.removesuffix(".tar"),
        },
    }  # fmt: skip
    for kind, keys in tables.items():
        text += f"\n[[{kind}]]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    recipe.write_text(text)
    site.make_keys()
    site.build(recipe)
    shutil.rmtree(recipe.parent)
    return "real programs" if made else "this checkout's programs"


def _round(site: Site, blobs: list[Path]) -> dict[str, float]:
    copied = site.folder / "copied"
    shutil.rmtree(copied, ignore_errors=True)
    shutil.rmtree(site.home, ignore_errors=True)
    for blob in blobs:
        forget_cached(blob)
    os.sync()
    began = time.perf_counter()
    copied.mkdir()
    for blob in blobs:
        _twice(blob, copied / blob.name)
    twice = time.perf_counter() - began
    shutil.rmtree(copied)
    for blob in blobs:
        forget_cached(blob)
    os.sync()
    words = [sys.executable, "-I", "-S", str(ROOT / "dist/installer.pyz"), "install"]
    words += ["--from", str(site.bundle), "--home", str(site.home), "--fingerprint", site.fingerprint()]
    began = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    installed = time.perf_counter()
    said = subprocess.run(
        [site.home / "fieldpost", "ask", ENGLISH, "--home", site.home, "--json"], capture_output=True, check=True
    )
    ended = time.perf_counter()
    assert json.loads(said.stdout)["cited"], "an answer without a source is none"
    return {
        "seconds": ended - began,
        "answer": ended - installed,
        "twice": twice,
        "peak": usage.ru_maxrss * 1024 / 1e6,
        "bytes": sum(blob.stat().st_size for blob in blobs),
    }


def _twice(source: Path, target: Path) -> None:
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as out:
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    forget_cached(target)
    again = hashlib.sha256()
    with target.open("rb") as reading:
        while chunk := reading.read(_CHUNK):
            again.update(chunk)
    assert again.digest() == digest.digest()
