"""The central act: from a stick to the release in use. Run again after any interruption, it goes on or does nothing.

    1 lock      one installer at a time
    2 trust     which root: the one trusted already, or the stick's once a person confirmed its fingerprint
    3 verify    every signature, on a copy of what is trusted; what is revoked holds from here on, come what may
    4 space     what is missing fits, with a reserve; before anything is copied
    5 copy      each missing file: hashed while copied, synced, read back, hashed again
    6 gates     every file is looked into, whoever signed it: weights in a child with limits, the rest by first bytes
    7 release   hard links in a new folder, synced, then named
    8 keep      the signed installer in HOME: the next update runs that, not what a found stick brings; and with the
                release what it is made of, and under which licences
    9 commit    trust and the version floor
   10 switch    ``current``, in one step; an update is on trial then, see ``trial``

Nothing from the stick is parsed before its signature held, and nothing from it is run at all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bundles.format.delta import UPDATE_FILE
from bundles.format.digest import digest_of, digest_of_file, root_fingerprint
from bundles.format.durable import replace_file
from bundles.format.errors import MissingFile
from bundles.format.layout import damaged, open_file
from bundles.format.manifest import Descriptor
from bundles.format.verify import VerifiedBundle, verify_bundle
from installer.errors import HomeRefused, SourceDamaged
from installer.gates import refuse_unsound
from installer.preflight import check_home, check_space, locked
from installer.releases import Releases, State, release_facts
from installer.revocations import note_revoked
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


def install(stick: Path, home: Path, *, confirm: Confirm, progress: Progress) -> Installed:
    """Install the bundle on ``stick`` into ``home``.

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
        _copy(bundle, stick, home, store, progress)  # 4, 5
        refuse_unsound(bundle, store, partial(progress, "Looking inside"))  # 6
        facts = release_facts(bundle)
        number = releases.find(facts, store) or releases.make(facts, store)  # 7
        changed = number != releases.current
        _keep(bundle, stick, INSTALLER, home / INSTALLER, 0o755)  # 8
        for name in TEXTS:
            _keep(bundle, stick, name, releases.folder(number) / name, 0o644)
        releases.commit(draft, root, bundle, number)  # 9
        if changed and (before := releases.current) is not None:
            put_on_trial(home, number, before)
        releases.activate(number)  # 10
        store.forget_parts()
        return Installed(release=number, bundle=bundle.index.name, version=bundle.index.version, changed=changed)


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


def _copy(bundle: VerifiedBundle, stick: Path, home: Path, store: Store, progress: Progress) -> None:
    """Steps 4 and 5."""
    wanted = list({blob.digest: blob for blob in _blobs(bundle)}.values())
    total = sum(blob.size for blob in wanted)
    done = 0

    def tell(what: str) -> Callable[[int], None]:
        def step(size: int) -> None:
            nonlocal done
            done += size
            progress(what, done, total)

        return step

    missing = store.missing(wanted, tell("Checking what is here"))
    store.forget_parts({blob.digest for blob in missing})
    check_space(home, [store.remaining(blob, stick) for blob in missing])
    refused = store.take_all(missing, stick, tell("Copying"), _beside(bundle))
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
