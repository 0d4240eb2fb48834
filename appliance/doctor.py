"""Looks a whole box over, part by part, and mends what cannot do harm. What is found is said in words, never raised.

Mended are only the modes of the box's own files, the index of added documents, and what a cut restore left behind:
everything else that is wrong needs a person, and is told with what to do.
"""

import hashlib
import json
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.box import open_box
from appliance.config import Home, load_config
from appliance.engine.protocol import GenerationRequest, Message
from appliance.errors import FieldpostError
from appliance.exchange import Usage
from appliance.knowledge.library import Library
from appliance.log.store import Log
from appliance.metrics import look
from appliance.release import Release, load_release
from appliance.sync.client import sync_state
from appliance.sync.identity import load_or_make_identity

OK, NOTE, MENDED, PROBLEM = "ok", "note", "mended", "problem"
LEAST_DISK = 512 << 20
"""Free bytes below which a log of some months may not fit any more."""
BUILT = datetime(2026, 1, 1, tzinfo=UTC)
"""No box of this version was ever right to think it is earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    part: str
    state: str
    """``ok``, ``note`` (worth knowing), ``mended``, or ``problem`` (a person is needed)."""
    found: str
    todo: str = ""


def examine(
    home: Home,
    *,
    mend: bool = True,
    model: bool = True,
    tell: Callable[[Finding], object] = lambda _: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Finding]:
    """Look at every part of the box; each finding is told as soon as it is there.

    Args:
        mend: False changes nothing.
        model: whether the model is loaded and asked; it needs the memory for a second one while the box serves.
        now: the time by the box's clock.
    """
    findings: list[Finding] = []
    for part, check in _checks(home, mend=mend, model=model, now=now):
        try:
            said = list(check())
        except FieldpostError as error:
            said = [Finding(part=part, state=PROBLEM, found=f"{error.found} {error.needed}".strip(), todo=error.todo)]
        except OSError as error:
            found = f"{error.filename or part} cannot be read: {error.strerror or error}."
            said = [Finding(part=part, state=PROBLEM, found=found, todo="Check the disk, and who owns the folder.")]
        for finding in said:
            findings.append(finding)
            tell(finding)
    return findings


def _checks(
    home: Home, *, mend: bool, model: bool, now: Callable[[], datetime]
) -> Sequence[tuple[str, Callable[[], Iterator[Finding]]]]:
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("Clock", lambda: _clock(now())),
        ("Machine", lambda: _machine(home)),
        ("Settings", lambda: _settings(home)),
        ("Trust", lambda: _trust(home)),
        ("Bundle", lambda: _bundle(home)),
        ("Languages", lambda: _languages(load_release(home))),
        ("Private", lambda: _private(home, mend=mend)),
        ("Log", lambda: _log(home)),
        ("Hub", lambda: _hub(home)),
        ("Documents", lambda: _documents(home, mend=mend)),
    ]
    if model:
        checks.append(("Answers", lambda: _answers(home)))
    return checks


def _clock(now: datetime) -> Iterator[Finding]:
    if now < BUILT:
        yield Finding(
            part="Clock",
            state=NOTE,
            found=f"The clock says {now:%Y-%m-%d}. Nothing depends on it; the hub dates the records.",
            todo="Set it if you like: sudo date -s '2026-12-31 12:00'",
        )
    else:
        yield Finding(part="Clock", state=OK, found=f"{now:%Y-%m-%d %H:%M} UTC.")


def _machine(home: Home) -> Iterator[Finding]:
    machine = look(home.root)
    free = f"{machine.disk_free >> 20} MiB of the disk are free"
    if machine.disk_free < LEAST_DISK:
        yield Finding(
            part="Disk",
            state=PROBLEM,
            found=f"{free}; when it is full, no question is answered any more.",
            todo="Delete what is not Fieldpost's, or sync the log so that its sealed batches can go.",
        )
    else:
        yield Finding(part="Disk", state=OK, found=f"{free}.")
    yield Finding(part="Memory", state=OK, found=f"{machine.memory_available >> 20} MiB are free.")


def _settings(home: Home) -> Iterator[Finding]:
    load_config(home)
    there = (home.root / "config.toml").exists()
    yield Finding(part="Settings", state=OK, found="config.toml is sound." if there else "None; all are defaults.")


def _trust(home: Home) -> Iterator[Finding]:
    """The installer's own memory: looked at here, because without it no update is taken."""
    path = home.root / "state.json"
    try:
        root = json.loads(path.read_bytes())["root"]
        if not (home.root / "trust" / "metadata").is_dir():
            raise ValueError("the folder trust is missing")
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield Finding(
            part="Trust",
            state=PROBLEM,
            found=f"{path} cannot be used: {error}. The box answers, and takes no update.",
            todo="Move the whole folder away but for data/, and install from a stick as the first time.",
        )
        return
    yield Finding(part="Trust", state=OK, found=f"Bundles signed under {root}.")


def _bundle(home: Home) -> Iterator[Finding]:
    """Every byte of the release is hashed: disks rot, and a model that rotted answers nonsense."""
    release = load_release(home)
    bad, count = [], 0
    for component in release.components:
        for name, digest in component.files.items():
            count += 1
            path = component.folder / name
            if not path.is_file() or _sha256(path) != digest:
                bad.append(f"{component.kind} {component.name}: {name}")
    for target, reason in release.revoked.items():
        yield Finding(
            part="Bundle",
            state=NOTE,
            found=f"{target} was taken back by your organisation and is not used: {reason}.",
            todo="Install the newest stick.",
        )
    if bad:
        yield Finding(
            part="Bundle",
            state=PROBLEM,
            found=f"{len(bad)} of {count} files are missing or have rotted: {', '.join(bad[:5])}.",
            todo="Install the same stick again: it copies only these. If it happens again, the disk is dying.",
        )
        return
    yield Finding(
        part="Bundle", state=OK, found=f"{release.bundle} {release.version}; all {count} files are as they were signed."
    )


def _languages(release: Release) -> Iterator[Finding]:
    pairs = {pair for pack in release.of("langpack") for pair in pack.pairs}
    asked_in = release.documents_lang
    # A way over another language counts; that one hop joins any two is for the translator to know.
    from_here = {target for source, target in pairs if source == asked_in}
    to_here = {source for source, target in pairs if target == asked_in}
    lost = [lang for lang in release.languages if lang != asked_in and lang not in from_here & to_here]
    if lost:
        yield Finding(
            part="Languages",
            state=NOTE,
            found=f"There is no pack both ways between {asked_in} and {', '.join(lost)}: such questions are searched "
            "as they are asked, and answered in the language of the documents.",
            todo="Ask your organisation for a bundle with that language.",
        )
    else:
        yield Finding(part="Languages", state=OK, found=f"{', '.join(release.languages)}.")


def _private(home: Home, *, mend: bool) -> Iterator[Finding]:
    """The box's own files are for its user alone."""
    draft = home.data.with_name("data.restoring")
    if draft.exists():
        if mend:
            shutil.rmtree(draft)
        yield _mendable(mend, "Private", f"{draft} was left by a restore that was cut short.")
    if not home.data.exists():
        yield Finding(part="Private", state=NOTE, found="The box has not been started yet; it has no data.")
        return
    open_to_others = [
        path
        for path in (home.data, *home.data.rglob("*"))
        if (path == home.data or (path.is_file() and not path.is_symlink()))
        and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    if not open_to_others:
        yield Finding(part="Private", state=OK, found="No other user of this machine can read the box's data.")
        return
    if mend:
        for path in open_to_others:
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o077)
    named = ", ".join(str(path.relative_to(home.root)) for path in open_to_others[:3])
    yield _mendable(mend, "Private", f"Other users of this machine could read {named} ({len(open_to_others)} in all).")


def _log(home: Home) -> Iterator[Finding]:
    if not home.log.exists():
        yield Finding(part="Log", state=OK, found="Nothing has been asked yet.")
        return
    with Log.open_to_read(home.log, load_or_make_identity(home).box) as log:
        report = log.verify()
    if report.ok:
        yield Finding(part="Log", state=OK, found=f"All {sum(report.records.values())} records are whole.")
    else:
        todo = "Keep the disk as it is, make a backup, and tell your organisation."
        yield Finding(part="Log", state=PROBLEM, found=report.problem, todo=todo)


def _hub(home: Home) -> Iterator[Finding]:
    state = sync_state(home)
    if state.hub is None:
        yield Finding(
            part="Hub",
            state=NOTE,
            found=f"This box belongs to no hub; {state.pending} records are here alone.",
            todo="Ask your organisation for a token, then run: fieldpost sync enrol TOKEN",
        )
    else:
        last = f"last contact {state.last_contact}" if state.last_contact else "no contact yet"
        yield Finding(part="Hub", state=OK, found=f"{state.hub}: {last}, {state.pending} records wait.")


def _documents(home: Home, *, mend: bool) -> Iterator[Finding]:
    library = Library(home.documents, lang=load_release(home).documents_lang)
    if mend:
        library.refresh()
    yield Finding(part="Documents", state=OK, found=f"{len(library.documents())} were added on this box.")


def _answers(home: Home) -> Iterator[Finding]:
    """Everything is opened as for a question, and the model writes a few tokens. Nothing is recorded."""
    with open_box(home, recorded=False) as box:
        engine = box.pipeline.engine
        if box.quoting:
            found = f"The documents are quoted, and no model is asked: {box.quoting}"
            yield Finding(part="Answers", state=NOTE, found=found)
            return
        began = time.monotonic()
        request = GenerationRequest(messages=(Message(role="user", content=box.release.title),), max_tokens=8)
        tokens = sum(piece.generated_tokens for piece in engine.generate(request) if isinstance(piece, Usage))
        took = time.monotonic() - began
    yield Finding(part="Answers", state=OK, found=f"{engine.model} wrote {tokens} tokens in {took:.1f} s.")


def _mendable(mend: bool, part: str, found: str) -> Finding:
    if mend:
        return Finding(part=part, state=MENDED, found=f"{found} Mended.")
    return Finding(part=part, state=PROBLEM, found=found, todo="Run this without --look-only.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
