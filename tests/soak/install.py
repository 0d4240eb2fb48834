"""The installer against everything that can go wrong between a stick and a release: which outcome, in which words.

The process ended at every change it makes to the disk, and the disk full at every change, in an install, an update and
a rollback; sticks pulled at every file, damaged in every class of files, cut short, swapped, stale, mixed; clocks of
1970 and 2100. Rounds are the moments that are tried of each act, at most all there are. Power that fails under a file
system is ``install_power``'s.
"""

import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bundles.format.verify import verify_bundle
from tests.soak.frame import Outcome
from tests.support import powercut
from tests.support.bundle_factory import (
    Keys,
    Payload,
    adapter,
    docpack,
    langpack,
    make_bundle,
    make_keys,
    model,
    runtime,
)

ROUNDS = 1000
OLD, NEW = "1", "2"
ACTS = ("install", "update", "rollback")


@dataclass(slots=True)
class Matrix:
    """Rows of a table, and what went wrong."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, what: str, tried: int, outcomes: dict[str, int], words: str = "") -> None:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        self.rows.append((what, str(tried), told, words))

    def expect(self, holds: bool, sentence: str) -> None:
        if not holds:
            self.failures.append(sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An old and a new stick, and a box with the old."""

    folder: Path
    keys: Keys
    old: Path
    new: Path
    box: Path

    def words(self, stick: Path, home: Path) -> list[str]:
        return powercut.command(stick, home, self.keys.fingerprint)

    def run(self, stick: Path, home: Path, *prefix: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*prefix, *self.words(stick, home)], capture_output=True, text=True)

    def home(self, *, with_old: bool) -> Path:
        """A home to spoil: empty, or with the old release."""
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        return powercut.copy_home(self.box, home) if with_old else home

    def stick(self, like: Path) -> Path:
        """A stick to spoil."""
        spoilt = self.folder / "spoilt"
        shutil.rmtree(spoilt, ignore_errors=True)
        return Path(shutil.copytree(like, spoilt))


def make_site(folder: Path) -> Site:
    """Two small bundles with programs, and a box that has the first."""
    keys = make_keys(folder / "keys")
    old = make_bundle(folder / "old", keys, components=_parts("one"), version=OLD)
    new = make_bundle(folder / "new", keys, components=_parts("two"), version=NEW, installer=b"a newer one")
    site = Site(folder=folder, keys=keys, old=old, new=new, box=folder / "box")
    done = site.run(old, site.box)
    assert done.returncode == 0, done.stderr
    return site


def _parts(word: str) -> list[Payload]:
    programs = {"lib/a.py": word.encode(), "lib/b.py": b"the same"}
    return [model(word.encode()), adapter(base=word.encode()), langpack(), docpack(), runtime(entries=programs)]


def soak(rounds: int, seed: int) -> Outcome:
    """One row a kind of fault: how many were tried, what the box had afterwards, and the words that were said."""
    matrix = Matrix()
    with tempfile.TemporaryDirectory(prefix="fieldpost-install-", dir="/var/tmp") as scratch:
        site = make_site(Path(scratch))
        for act in ACTS:
            ended_at_every_change(site, matrix, act, rounds)
            full_at_every_change(site, matrix, act, rounds)
        pulled_at_every_blob(site, matrix)
        for name, (damaged, words) in damages(site, random.Random(seed)).items():
            refused(site, matrix, name, damaged, words)
        clocks(site, matrix)
    heads = ("fault", "tried", "the box then has", "what it says")
    return Outcome(heads=heads, rows=tuple(matrix.rows), failures=tuple(matrix.failures))


def ended_at_every_change(site: Site, matrix: Matrix, act: str, rounds: int) -> None:
    """The process ended before its n-th change, for every n; then run again."""
    words, before = _act(site, act)
    sequence = powercut.changes(words(_box(site, act)), site.folder / "trace")
    had: dict[str, int] = {}
    numbers = range(0, len(sequence), max(1, len(sequence) // rounds))
    for number in numbers:
        home = _box(site, act)
        powercut.cut(words(home), sequence, number)
        state = powercut.state_of(home)
        had[state] = had.get(state, 0) + 1
        matrix.expect(state in before, f"{act} ended at change {number}: {state}")
        _again(site, matrix, act, home, f"{act} ended at change {number}")
    matrix.add(f"{act}: ended at every change", len(numbers), had, "run again: goes on and ends whole")


def full_at_every_change(site: Site, matrix: Matrix, act: str, rounds: int) -> None:
    """The disk full at the n-th change, for every n that takes room; then with room again."""
    words, before = _act(site, act)
    sequence = powercut.changes(words(_box(site, act)), site.folder / "trace")
    had: dict[str, int] = {}
    taking = [n for n, name in enumerate(sequence) if not name.startswith(("unlink", "rmdir", "chmod", "fchmod"))]
    numbers = taking[:: max(1, len(taking) // rounds)]
    said = ""
    for number in numbers:
        home = _box(site, act)
        done = powercut.full(words(home), sequence, number)
        state = powercut.state_of(home)
        had[state] = had.get(state, 0) + 1
        matrix.expect(state in before, f"{act} with a full disk at change {number}: {state}")
        spoken = done.returncode == 0 or "No space left" in done.stderr or "The disk is full" in done.stderr
        matrix.expect(spoken and "Traceback" not in done.stderr, f"{act}, full at {number}: {done.stderr[-200:]}")
        said = said or done.stderr.strip()
        _again(site, matrix, act, home, f"{act} with a full disk at change {number}")
    matrix.add(f"{act}: disk full at every change", len(numbers), had, _short(said, site))


def pulled_at_every_blob(site: Site, matrix: Matrix) -> None:
    """A stick that is gone after the n-th of its files; then a whole one."""
    blobs = sorted(path.name for path in (site.new / "blobs/sha256").iterdir())
    had: dict[str, int] = {}
    words = ""
    for name in blobs:
        stick = site.stick(site.new)
        (stick / "blobs/sha256" / name).unlink()
        home = site.home(with_old=True)
        done = site.run(stick, home)
        state = powercut.state_of(home)
        had[state] = had.get(state, 0) + 1
        readable = done.returncode == 0 or (name in done.stderr and "Traceback" not in done.stderr)
        matrix.expect(state in (OLD, NEW) and readable, f"without {name}: {state} {done.stderr[-200:]}")
        if done.returncode:
            words = done.stderr.strip().splitlines()[-1]
        resumed(site, matrix, site.new, home, f"without {name}")
    matrix.add("stick without one of its files, each in turn", len(blobs), had, _short(words, site))


def damages(site: Site, rng: random.Random) -> dict[str, tuple[Callable[[Path], None], str]]:
    """Every kind of damaged stick, by name: how it is made, and what must be said."""
    spoil: dict[str, tuple[Callable[[Path], None], str]] = {}
    for name in ("installer.pyz", "install.sh", "START-HERE.txt", "NOTICES.txt", "bom.cdx.json", "index.json",
                 "oci-layout", "tuf/1.root.json", "tuf/timestamp.json"):  # fmt: skip
        spoil[f"a flipped byte in {name}"] = (lambda stick, name=name: _flip(stick / name, rng), "")
    for role in ("snapshot", "targets"):
        spoil[f"a flipped byte in tuf/N.{role}.json"] = (
            lambda stick, role=role: _flip(next((stick / "tuf").glob(f"*.{role}.json")), rng),
            "",
        )
    for kind, blob in _blob_classes(site).items():
        spoil[f"a flipped byte in {kind}"] = (
            lambda stick, blob=blob: _flip(stick / "blobs/sha256" / blob, rng),
            "is damaged or was changed",
        )
    weights = _blob_classes(site)["a model's weights"]
    other = _blob_classes(site)["an adapter's weights"]
    spoil["weights cut short"] = (lambda stick: _cut(stick / "blobs/sha256" / weights), "is damaged or was changed")
    spoil["two files swapped"] = (
        lambda stick: _swap(stick / "blobs/sha256" / weights, stick / "blobs/sha256" / other),
        "is damaged or was changed",
    )
    spoil["metadata of an older stick beside newer files"] = (lambda stick: _copy_over(site.old, stick, "tuf"), "")
    spoil["an older stick's index beside newer metadata"] = (
        lambda stick: _copy_over(site.old, stick, "index.json"),
        "",
    )
    return spoil


def refused(site: Site, matrix: Matrix, name: str, damage: Callable[[Path], None], words: str) -> None:
    stick, home = site.stick(site.new), site.home(with_old=True)
    damage(stick)
    done = site.run(stick, home)
    state = powercut.state_of(home)
    matrix.expect(state == OLD and done.returncode == 1, f"{name}: {state}, exit {done.returncode}")
    matrix.expect("Error: " in done.stderr and words in done.stderr, f"{name}: {done.stderr[-200:]}")
    matrix.expect("Traceback" not in done.stderr, f"{name}: {done.stderr[-400:]}")
    matrix.add(name, 1, {state: 1}, _short(done.stderr, site))
    resumed(site, matrix, site.new, home, name)


def clocks(site: Site, matrix: Matrix) -> None:
    """An older stick after a newer one, and boxes whose clock is wrong."""
    home = site.home(with_old=True)
    assert site.run(site.new, home).returncode == 0
    done = site.run(site.old, home)
    state = powercut.state_of(home)
    matrix.expect(state == NEW and done.returncode == 1 and "older" in done.stderr, f"an older stick: {done.stderr}")
    matrix.add("an older stick, whole and signed", 1, {state: 1}, _short(done.stderr, site))
    for date in ("1970-01-01 00:00:10", "2100-01-01 00:00:00"):
        home = site.home(with_old=True)
        done = site.run(site.new, home, "faketime", date)
        state = powercut.state_of(home)
        matrix.expect(state == NEW and done.returncode == 0, f"clock at {date}: {state}, {done.stderr}")
        noted = next((line for line in done.stdout.splitlines() if "clock says" in line), "")
        matrix.expect(bool(noted), f"clock at {date}: nothing was said")
        matrix.add(f"clock at {date[:4]}", 1, {state: 1}, noted)


def _act(site: Site, act: str) -> tuple[Callable[[Path], list[str]], tuple[str, str]]:
    """The command that does it, and what the box may have afterwards: as before, or as wanted."""
    if act == "rollback":
        return (lambda home: powercut.rollback(home)), (NEW, OLD)
    stick, before = (site.old, ("nothing", OLD)) if act == "install" else (site.new, (OLD, NEW))
    return (lambda home: site.words(stick, home)), before


def _box(site: Site, act: str) -> Path:
    """A home as it is before the act."""
    home = site.home(with_old=act != "install")
    if act == "rollback":
        assert site.run(site.new, home).returncode == 0
    return home


def _again(site: Site, matrix: Matrix, act: str, home: Path, after: str) -> None:
    """The same once more, which goes on or finds it done."""
    words, (_, wanted) = _act(site, act)
    if act == "rollback" and powercut.state_of(home) == wanted:
        return  # once more would look for a release before this one
    done = subprocess.run(words(home), capture_output=True, text=True)
    state = powercut.state_of(home)
    matrix.expect(done.returncode == 0 and state == wanted, f"{after}, run again: {state} {done.stderr[-200:]}")


def resumed(site: Site, matrix: Matrix, stick: Path, home: Path, after: str) -> None:
    done = site.run(stick, home)
    version = OLD if stick == site.old else NEW
    state = powercut.state_of(home)
    matrix.expect(done.returncode == 0 and state == version, f"{after}, run again: {state} {done.stderr[-200:]}")


def _blob_classes(site: Site) -> dict[str, str]:
    """One file of every class that only the new stick brings, by its digest's hex digits."""
    bundle = verify_bundle(site.new, root=site.keys.root.read_bytes())
    classes: dict[str, str] = {}
    for part in bundle.components:
        kind = {"model": "a model", "adapter": "an adapter", "runtime": "a runtime"}.get(part.manifest.kind)
        if kind is not None:
            classes[f"{kind}'s manifest"] = part.digest.removeprefix("sha256:")
            largest = max(part.manifest.layers, key=lambda layer: layer.blob.size)
            what = "programs" if part.manifest.kind == "runtime" else "weights"
            classes[f"{kind}'s {what}"] = largest.blob.digest.removeprefix("sha256:")
    return classes


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def _copy_over(old: Path, stick: Path, name: str) -> None:
    if (old / name).is_dir():
        shutil.rmtree(stick / name)
        shutil.copytree(old / name, stick / name)
    else:
        shutil.copy(old / name, stick / name)


def _short(words: str, site: Site) -> str:
    """One line for a cell, without this run's folder."""
    line = " ".join(words.removeprefix("\n").split()).replace(str(site.folder), "...").replace("|", "/")
    return line if len(line) <= 160 else line[:157] + "..."
