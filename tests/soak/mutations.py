"""Thousands of spoilt manifests, metadata, packages, archives, GGUF headers and cards: each refused, none worse.

For every one: no crash, no silence over 5 s, nothing written outside its folder, and either a refusal in our own words
or, where only the content's shape is judged and it is still sound, an acceptance. Whatever hangs on a signature must be
refused always. Cases run in forked children that report each by one line, so that a crash or a hang is the case's.
"""

import io
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata
from tuf.api.serialization.json import JSONSerializer

from bundles.argos_package import explode
from bundles.card import MAX_FRONT_MATTER, lacks, read_card
from bundles.components import _first_line
from bundles.contributors import accept_packages, delegate, read_contributors, write_contributors
from bundles.format.errors import BundleError, ScanRefused
from bundles.format.gguf_header import MalformedError, read_header
from bundles.format.layout import blob_path
from bundles.format.manifest import parse_index, parse_manifest, safe_path
from bundles.format.screen import refuse_dangerous
from bundles.format.verify import verify_bundle
from bundles.keys import open_key, read_public
from bundles.package import sign_package
from bundles.scan import scan_text, scan_weights
from tests.soak.frame import Outcome
from tests.support.bundle_factory import (
    DATE,
    PASSPHRASE,
    adapter,
    docpack,
    make_bundle,
    make_contributor,
    make_keys,
    make_package,
    whole,
)
from tests.support.gguf import gguf, lora
from tests.support.mutator import spoil_bytes, spoil_card, spoil_json, spoil_zip
from tests.support.site import ROOT

ROUNDS = 10_000
SILENCE_S = 5.0
CHILD_MEMORY = 2 << 30
REAL_CHILD_EVERY = 50
"""Of the GGUF headers, how many go the whole way through a process of their own."""
TRAPS = (Path("/tmp/fieldpost-escaped"),)
ARGOS = ROOT / "bundles/demo/langpack/translate-en_sw-0_1.argosmodel"
CARD = ROOT / "bundles/demo/model/README.md"

Case = Callable[[random.Random, Path], str]
"""Spoils something and tries it, in an empty folder; returns "accepted", or raises what the subject raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One kind of input."""

    name: str
    share: int
    """Of a hundred cases."""
    case: Case
    signed: bool = False
    """Whether it hangs on a signature, so that nothing spoilt may be accepted."""


def soak(rounds: int, seed: int) -> Outcome:
    """Run that many cases; the same rounds and seed give the same cases."""
    failures: list[str] = []
    rows = []
    with tempfile.TemporaryDirectory(prefix="fieldpost-mutations-") as scratch:
        for subject in subjects(Path(scratch) / "made"):
            count = max(1, rounds * subject.share // 100)
            outcomes, slowest, bad = _run(subject, count, seed, Path(scratch) / "work")
            failures += bad
            rows.append(
                (subject.name, str(count), str(outcomes["refused"]), str(outcomes["accepted"]), str(len(bad)), slowest)
            )
    heads = ("spoilt", "cases", "refused in our words", "unchanged or still sound", "failed", "slowest")
    total = ("together", *(str(sum(int(row[i]) for row in rows)) for i in range(1, 5)), "")
    return Outcome(heads=heads, rows=(*rows, total), failures=tuple(failures))


def subjects(made: Path) -> list[Subject]:
    """Everything that a stranger can hand in, made once."""
    made.mkdir(parents=True)
    keys = make_keys(made / "keys")
    bundle = make_bundle(made / "bundle", keys, components=whole())
    root = keys.root.read_bytes()
    amina = make_contributor(made / "amina")
    signing = CryptoSigner(open_key(amina, PASSPHRASE))
    known = delegate(
        read_contributors(keys.folder), "amina", read_public(amina.with_suffix(".pub")),
        ["adapters/amina/*", "docpacks/amina/*"],
    )  # fmt: skip
    write_contributors(keys.folder, known)
    package = make_package(made / "package", components=[adapter(), docpack()])
    sign_package(package, amina, PASSPHRASE, date=DATE)
    verified = verify_bundle(bundle, root=root)
    manifests = [(bundle / blob_path(c.digest)).read_bytes() for c in verified.components]
    index = (bundle / "index.json").read_bytes()
    argos = _small_argos()

    def metadata(rng: random.Random, work: Path) -> str:
        return _in_place(rng.choice(sorted((bundle / "tuf").iterdir())), rng, lambda: verify_bundle(bundle, root=root))

    def signed_files(rng: random.Random, work: Path) -> str:
        paths = [
            bundle / "index.json",
            bundle / "oci-layout",
            *(bundle / blob_path(c.digest) for c in verified.components),
        ]
        return _in_place(rng.choice(paths), rng, lambda: verify_bundle(bundle, root=root))

    def parsed_manifest(rng: random.Random, work: Path) -> str:
        manifest = parse_manifest(spoil_json(rng.choice(manifests), rng))
        for layer in manifest.layers:
            assert (work / safe_path(layer.path)).resolve().is_relative_to(work.resolve()), layer.path
        assert (work / manifest.folder).resolve().is_relative_to(work.resolve()), manifest.folder
        return "accepted"

    def parsed_index(rng: random.Random, work: Path) -> str:
        parse_index(spoil_json(index, rng))
        return "accepted"

    def role(rng: random.Random, work: Path) -> str:
        """Signed by the contributor all the same: they may be the attacker."""
        copy = shutil.copytree(package, work / "package")
        path = copy / "tuf/amina.json"
        spoilt = spoil_json(path.read_bytes(), rng)
        try:
            resigned = Metadata.from_dict(json.loads(spoilt))
            resigned.signatures.clear()
            resigned.sign(signing)
            path.write_bytes(resigned.to_bytes(JSONSerializer()))
        except Exception:  # what cannot even be signed is handed in as it is
            path.write_bytes(spoilt)
        accepted = accept_packages(keys.folder, [copy])
        assert all(name.split("/")[1] == "amina" for p in accepted.packages for name in p.targets)
        return "accepted"

    def packed(rng: random.Random, work: Path) -> str:
        copy = shutil.copytree(package, work / "package")
        path = rng.choice(sorted(p for p in copy.rglob("*") if p.is_file()))
        path.write_bytes(
            spoil_json(path.read_bytes(), rng) if path.suffix == ".json" else spoil_bytes(path.read_bytes(), rng)
        )
        accepted = accept_packages(keys.folder, [copy])
        assert all(name.split("/")[1] == "amina" for p in accepted.packages for name in p.targets)
        return "accepted"

    def archive(rng: random.Random, work: Path) -> str:
        path = work / "p.argosmodel"
        path.write_bytes(spoil_zip(argos, rng))
        (work / "target").mkdir()
        made = explode(path, work / "target")
        assert all(here.resolve().is_relative_to((work / "target").resolve()) for _, here in made.files)
        return "accepted"

    def header(rng: random.Random, work: Path) -> str:
        path = work / "w.gguf"
        path.write_bytes(spoil_bytes(gguf() if rng.random() < 0.5 else lora(), rng))
        if rng.randrange(REAL_CHILD_EVERY) == 0:
            scan_weights(path, adapter=False)
            return "accepted"
        with path.open("rb") as file:
            refuse_dangerous(file.read(8), path.name)
            file.seek(0)
            try:
                read_header(file, path.stat().st_size)
            except MalformedError as error:
                raise ScanRefused(str(error)) from error
        return "accepted"

    def card(rng: random.Random, work: Path) -> str:
        path = work / "README.md"
        path.write_bytes(spoil_card(CARD.read_bytes(), rng))
        text = scan_text(path)
        assert "\n" not in _first_line(text)
        assert all(len(clause) < MAX_FRONT_MATTER + 200 for clause in lacks(read_card(text), "Apache-2.0"))
        return "accepted"

    return [
        Subject(name="TUF metadata of a bundle", share=20, case=metadata, signed=True),
        Subject(name="index and manifests of a bundle", share=10, case=signed_files, signed=True),
        Subject(name="manifests, parsed", share=15, case=parsed_manifest),
        Subject(name="indexes, parsed", share=8, case=parsed_index),
        Subject(name="a contributor's role, signed again", share=8, case=role),
        Subject(name="a contributor's package", share=7, case=packed),
        Subject(name="Argos packages", share=12, case=archive),
        Subject(name="GGUF headers", share=14, case=header),
        Subject(name="cards", share=6, case=card),
    ]


def _in_place(path: Path, rng: random.Random, check: Callable[[], object]) -> str:
    good = path.read_bytes()
    spoilt = spoil_json(good, rng)
    try:
        path.write_bytes(spoilt)
        check()
        return "unchanged" if spoilt == good else "accepted"
    finally:
        path.write_bytes(good)


def _small_argos() -> bytes:
    """The demo's package with short weights: spoiling megabytes would test the disk."""
    made = io.BytesIO()
    with zipfile.ZipFile(ARGOS) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info)[:2000])
    return made.getvalue()


def _run(subject: Subject, count: int, seed: int, work: Path) -> tuple[Counter[str], str, list[str]]:
    """Run a subject's cases in children; outcomes, the longest pause between two reports, and what failed."""
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    slowest, begin = 0.0, 0
    while begin < count:
        reports, status, pause = _child(subject, range(begin, count), seed, work)
        slowest = max(slowest, pause)
        for number, told in reports:
            outcomes[told.partition(":")[0]] += 1
            if told.startswith("failed"):
                failures.append(f"{subject.name}, seed {seed}, case {number}: {told}")
        done = reports[-1][0] + 1 if reports else begin
        if done < count:
            failures.append(f"{subject.name}, seed {seed}, case {done}: {status}")
            outcomes["failed"] += 1
            done += 1
        begin = done
    return outcomes, f"{slowest * 1000:.0f} ms", failures


def _child(subject: Subject, cases: range, seed: int, work: Path) -> tuple[list[tuple[int, str]], str, float]:
    """Fork a child for these cases; its reports until the end, a crash, or more than SILENCE_S without one."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            # Beyond what is mapped already: a test run that has loaded much would leave the child no room at all.
            mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (mapped + CHILD_MEMORY,) * 2)
            with os.fdopen(writer, "w", buffering=1, encoding="utf-8", errors="replace") as out:
                for number in cases:
                    out.write(f"{number} {_one(subject, number, seed, work)}\n")
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    reports: list[tuple[int, str]] = []
    rest, slowest, status, last = b"", 0.0, "it crashed", monotonic()
    while True:
        if not select.select([reader], [], [], SILENCE_S)[0]:
            os.kill(pid, signal.SIGKILL)
            status = f"silent for over {SILENCE_S:.0f} s"
            break
        data = os.read(reader, 65536)
        if not data:
            break
        slowest, last = max(slowest, monotonic() - last), monotonic()
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            number, _, told = line.decode("utf-8", "replace").partition(" ")
            reports.append((int(number), told))
    os.close(reader)
    _, code = os.waitpid(pid, 0)
    return reports, f"{status} ({os.waitstatus_to_exitcode(code)})", slowest


def _one(subject: Subject, number: int, seed: int, work: Path) -> str:
    """One case: "refused", "accepted", or "failed: why"."""
    shutil.rmtree(work, ignore_errors=True)
    inside = work / "a/b/c/inside"
    inside.mkdir(parents=True)
    try:
        told = subject.case(random.Random(f"{subject.name} {seed} {number}"), inside)
        if told == "accepted" and subject.signed:
            told = "failed: spoilt, and accepted"
        told = "accepted" if told == "unchanged" else told
    except BundleError as error:
        told = "refused" if error.found.strip() else "failed: refused without a word"
    except BaseException as error:
        told = f"failed: {type(error).__name__}: {error}".replace("\n", " ")[:300]
    outside = [path for path in work.rglob("*") if inside not in (path, *path.parents) and path not in inside.parents]
    if outside or any(trap.exists() for trap in TRAPS):
        told = f"failed: written outside: {outside or TRAPS}"
    return told
