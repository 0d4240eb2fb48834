"""The central act: from a stick to the release in use. Run again after any interruption, it goes on or does nothing.

    1 lock      one installer at a time
    2 trust     which root: the one trusted already, or the stick's once a person confirmed its fingerprint
    3 verify    every signature, on a copy of what is trusted; what is revoked holds from here on, come what may
    4 choose    the runtime for this machine and the largest model that its memory holds; what is not for it stays
    5 space     what is missing fits, with a reserve; all that stands in the way is told at once, and nothing copied
    6 copy      each missing file: hashed while copied, synced, read back, hashed again
    7 gates     every file is looked into, whoever signed it: weights in a child with limits, the rest by first bytes
    8 runtime   unpacked once, read back, shared by releases
    9 release   hard links in a new folder, synced, then named
   10 self-test the candidate's model loads and answers the canary questions as well as it must, else it is not used
   11 keep      the signed installer in HOME: the next update runs that, not what a found stick brings; and with the
                release what it is made of, and under which licences
   12 commit    trust and the version floor
   13 switch    ``current``, in one step; an update is on trial then, see ``trial``

Between 4 and 5 what the box no longer needs is removed, unless a release is on trial: see ``garbage``.

Nothing from the stick is parsed before its signature held; nothing is run before step 10, and then as a process.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bundles.format.delta import UPDATE_FILE
from bundles.format.digest import digest_of, digest_of_file, root_fingerprint
from bundles.format.durable import replace_file
from bundles.format.errors import FormatRefused, MissingFile
from bundles.format.layout import damaged, open_file
from bundles.format.manifest import Descriptor
from bundles.format.verify import VerifiedBundle, VerifiedComponent, verify_bundle
from installer import preflight
from installer.choose import Choice, choose
from installer.errors import Finding, HomeRefused, SourceDamaged, refuse
from installer.garbage import collect
from installer.gates import refuse_unsound
from installer.machine import Machine, look
from installer.preflight import check_home, locked
from installer.releases import Releases, State, release_facts
from installer.revocations import note_revoked
from installer.runtime import keep_command, room, unpack
from installer.selftest import candidate, passed, self_test
from installer.store import Store
from installer.trial import put_on_trial

Confirm = Callable[[str, bool], None]
"""Gets the stick's fingerprint, and whether this box trusts it already; raises NotConfirmed unless it is right."""
Progress = Callable[[str, int, int], None]
"""Told what is being done, bytes done, and bytes in all."""

INSTALLER = "installer.pyz"
"""Its name on the stick, and in HOME."""
TEXTS = ("NOTICES.txt", "bom.cdx.json")
"""Kept in the release's folder: a box must be able to say what it holds, and under which licences."""
_ANOTHER = "Run this again with another stick of the same bundle: it fills in what is missing."
_PARTIAL = (
    "This stick holds only what changed since an older bundle that this box lacks: use a stick of the whole bundle."
)
NAMED = 20
"""Damaged files that one error names; the next run names the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What is in use now."""

    release: int
    bundle: str
    version: str
    changed: bool
    """False when this very bundle was in use before."""
    why: str
    """Why this model answers, or none."""
    command: Path | None
    """``HOME/fieldpost``; None where the bundle brought no programs."""
    tested: str
    """What came of the self-test; empty where there was none."""


def install(
    stick: Path,
    home: Path,
    *,
    confirm: Confirm,
    progress: Progress,
    tell: Callable[[Finding], None] = lambda _: None,
    machine: Machine | None = None,
) -> Installed:
    """Install the bundle on ``stick`` into ``home``.

    Args:
        tell: gets what is worth knowing about this box and stops nothing.
        machine: the box; looked at when it is not given.

    Raises:
        BundleError: one of its kinds; ``current`` is then as it was before.
        OSError: stick or disk failed.
    """
    check_home(home, stick)
    with locked(home):  # 1
        releases, store = Releases(home), Store(home)
        state = releases.read_state()
        root = _root(stick, releases, state, confirm)  # 2
        draft = releases.draft_trust()
        bundle = verify_bundle(stick, root=root, trust=draft / "metadata", floor=state.floor)  # 3
        note_revoked(home, bundle.versions, bundle.revoked)
        machine = machine or look()
        choice = choose(bundle.components, machine)  # 4
        bundle = replace(bundle, components=choice.components)
        known = [*choice.findings, *preflight.findings(machine, bundle)]
        facts = release_facts(bundle, choice.why)
        _make_room(bundle, home, releases.find(facts, store), tell)
        _copy(bundle, choice, stick, home, store, known, tell, progress)  # 5, 6
        refuse_unsound(bundle, store, partial(progress, "Looking inside"))  # 7
        command = _unpack(choice, machine, home, store, progress)  # 8
        number = releases.find(facts, store) or releases.make(facts, store)  # 9
        changed = number != releases.current
        tested = ""
        if command is not None and changed and not passed(home, number):
            new = candidate(number, releases.folder(number), bundle.components, choice.model)
            tested = self_test(home, new, releases.current, partial(progress, "Trying it out"))  # 10
        _keep(bundle, stick, INSTALLER, home / INSTALLER, 0o755)  # 11
        for name in TEXTS:
            _keep(bundle, stick, name, releases.folder(number) / name, 0o644)
        releases.commit(draft, root, bundle, number)  # 12
        if changed and (before := releases.current) is not None:
            put_on_trial(home, number, before)
        releases.activate(number)  # 13
        store.forget_parts()
        return Installed(
            release=number,
            bundle=bundle.index.name,
            version=bundle.index.version,
            changed=changed,
            why=choice.why,
            command=command,
            tested=tested,
        )


def _root(stick: Path, releases: Releases, state: State, confirm: Confirm) -> bytes:
    """Step 2. The stick's root is only bytes here; it is parsed when it is the trusted one."""
    if not (stick / "tuf").is_dir():
        raise MissingFile(
            f"There is no Fieldpost bundle in {stick}: tuf/1.root.json is missing.",
            todo="Name the folder where the stick is mounted.",
        )
    with open_file(stick, "tuf/1.root.json") as file:
        found = file.read(1 << 20)
    fingerprint = root_fingerprint(found)
    if state.root and fingerprint != state.root:
        raise HomeRefused(
            f"tuf/1.root.json on this stick has the fingerprint {fingerprint}.",
            needed=f"This box trusts {state.root} only.",
            todo="Use a stick from the organisation that set up this box.",
        )
    confirm(fingerprint, bool(state.root))
    return found


def _make_room(bundle: VerifiedBundle, home: Path, found: int | None, tell: Callable[[Finding], None]) -> None:
    """Remove old releases; that they cannot be removed stops nothing."""
    try:
        collect(home, coming={blob.digest for blob in _blobs(bundle)}, candidate=found)
    except (HomeRefused, OSError) as error:
        tell(Finding(found=f"Old releases could not be removed: {error}"))


def _copy(
    bundle: VerifiedBundle,
    choice: Choice,
    stick: Path,
    home: Path,
    store: Store,
    known: list[Finding],
    tell: Callable[[Finding], None],
    progress: Progress,
) -> None:
    """Steps 5 and 6."""
    wanted = list({blob.digest: blob for blob in _blobs(bundle)}.values())
    count = _Count(progress, sum(blob.size for blob in wanted))
    missing = store.missing(wanted, count.of("Checking what is here"))
    store.forget_parts({blob.digest for blob in missing})
    sizes = [store.remaining(blob, stick) for blob in missing]
    sizes += [room(_tar(part), home) for part in filter(None, [choice.runtime])]
    known += preflight.space(home, sizes)
    for finding in known:
        if finding.stops is None:
            tell(finding)
    refuse(known)
    refused = store.take_all(missing, stick, count.of("Copying"), _beside(bundle))
    if refused:
        copied = len(missing) - len(refused)
        more = f" And {len(refused) - NAMED} more." if len(refused) > NAMED else ""
        raise SourceDamaged(
            " ".join(error.found for error in refused[:NAMED]) + more,
            needed=f"{len(refused)} of {len(missing)} files could not be taken; the other {copied} are kept.",
            todo=_PARTIAL if (stick / UPDATE_FILE).exists() else _ANOTHER,
        )


def _beside(bundle: VerifiedBundle) -> dict[str, dict[str, str]]:
    """Of each file's digest, the files of its component: path to digest."""
    found: dict[str, dict[str, str]] = {}
    for part in bundle.components:
        files = {layer.path: layer.blob.digest for layer in part.manifest.layers}
        found |= dict.fromkeys(files.values(), files)
    return found


class _Count:
    """Bytes done of bytes in all, told as they grow."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def of(self, what: str) -> Callable[[int], None]:
        def step(size: int) -> None:
            self._done += size
            self._progress(what, self._done, self._total)

        return step


def _unpack(choice: Choice, machine: Machine, home: Path, store: Store, progress: Progress) -> Path | None:
    """Step 8; where the command is."""
    if choice.runtime is None or choice.python is None:
        return None
    tar = _tar(choice.runtime)
    count = _Count(progress, tar.size)
    tell = count.of("Unpacking programs")
    unpack(store.path(tar.digest), tar.digest, home, choice.python, tell, machine.environment)
    return keep_command(home)


def _tar(runtime: VerifiedComponent) -> Descriptor:
    tars = [layer.blob for layer in runtime.manifest.layers if layer.path.endswith(".tar")]
    if len(tars) != 1:
        raise FormatRefused(f"The runtime {runtime.manifest.name} holds {len(tars)} tar files.", needed="One.")
    return tars[0]


def _keep(bundle: VerifiedBundle, stick: Path, name: str, kept: Path, mode: int) -> None:
    """Step 8. The very bytes that were hashed are written: the stick is not asked twice."""
    signed = bundle.on_top[name]
    if kept.is_symlink() or not kept.is_file() or digest_of_file(kept) != (signed.digest, signed.size):
        with open_file(stick, name) as file:
            data = file.read(signed.size + 1)
        if (digest_of(data), len(data)) != (signed.digest, signed.size):
            raise damaged(name)
        replace_file(kept, data, mode=mode)


def _blobs(bundle: VerifiedBundle) -> Iterator[Descriptor]:
    """The files that a release links to."""
    for component in bundle.components:
        yield from (layer.blob for layer in component.manifest.layers)
