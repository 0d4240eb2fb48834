"""What a site that has one bundle receives to have another: measured, or written as a partial bundle.

A partial bundle is the new bundle without the files that the old one has; what changed comes as a delta where that
takes under half of the whole. Its signatures are the new bundle's own, so a box checks it like any other.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bundles.check import Checked, check_bundle
from bundles.delta import make_delta, make_index_delta
from bundles.errors import UpdateError
from bundles.format.delta import UPDATE_FILE, Delta, apply_delta, delta_path
from bundles.format.digest import digest_of_file
from bundles.format.index_delta import apply_index_delta
from bundles.format.kinds import WEIGHTS
from bundles.format.layout import blob_path, open_file, read_blob
from bundles.format.manifest import Layer, Manifest, parse_index, parse_manifest
from bundles.format.zstd_entropy import ZstdError
from bundles.placing import growing_folder, put_in_place
from bundles.write import canonical

WORTH_IT = 0.5
"""A delta is sent when it takes less than this part of the whole file."""
INDEX = "index.sqlite"
"""A docpack's search index."""
_SMALL = 4096
"""Files of fewer bytes are sent whole: a delta costs as much as it saves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of the new bundle and what has to be sent for it."""

    component: str
    """``docpack/field-guides``; empty for signatures, descriptions and the files on top."""
    path: str
    size: int
    sent: int
    how: str
    """``there`` (sent 0), ``delta``, ``packed`` or ``whole``."""
    file: str
    """Where what is sent lies in the partial bundle; empty for ``there``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What leads from one bundle to another."""

    old: str
    new: str
    """Names and versions: ``clinic 1.2.0``."""
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes of the new bundle."""
        return sum(part.size for part in self.parts)

    @property
    def sent(self) -> int:
        """Bytes of the partial bundle."""
        return sum(part.sent for part in self.parts)


def compare(old: Path, new: Path) -> Update:
    """Measure what a site with ``old`` receives to have ``new``; deltas are really made.

    Raises:
        BundleError: one of the two is not whole, or no box would take ``new`` after ``old``.
    """
    with tempfile.TemporaryDirectory(prefix="fieldpost-deltas-") as scratch:
        return _prepare(old, new, Path(scratch))


def write_update(old: Path, new: Path, out: Path) -> Update:
    """Write the partial bundle ``out``, replacing an older bundle there.

    Raises:
        BundleError: one of the two is not whole, or no box would take ``new`` after ``old``; ``out`` is as it was.
    """
    out = out.resolve()
    growing = growing_folder(out)
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    update = _prepare(old, new, growing)
    for part in update.parts:
        target = growing / part.file
        if part.file and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(new / part.file, target)
    (growing / UPDATE_FILE).write_bytes(canonical({"format": 1, "from": update.old, "to": update.new}))
    check_bundle(growing, _root(new))
    put_in_place(out, growing)
    return update


def _prepare(old: Path, new: Path, folder: Path) -> Update:
    """Every file of the new bundle; deltas are written under ``folder``, proven by applying them."""
    before, after = check_bundle(old, _root(old)), check_bundle(new, _root(new))
    _refuse_impossible(before, after)
    known = {layer.blob.digest for _, layer in _layers(old)}
    bases = _Bases(old)
    parts: list[Part] = []
    described: set[str] = set()
    for manifest, layer in _layers(new):
        component = f"{manifest.kind}/{manifest.name}"
        path = blob_path(layer.blob.digest)
        file, how = path, "whole"
        if layer.blob.digest in known:
            file, how = "", "there"
        elif path in described:
            file, how = "", "there"  # the same bytes twice in the new bundle
        elif layer.blob.size >= _SMALL:
            base = bases.of(manifest, layer)
            if manifest.kind == "docpack" and layer.path == INDEX and base is not None:
                found = _shorten_index(base, manifest, layer, old, new, folder)
            else:
                found = None
            file, how = found or _shorten(base, layer, old, new, folder) or (file, how)
        described.add(path)
        sent = 0 if how == "there" else ((folder if file != path else new) / file).stat().st_size
        parts.append(Part(component=component, path=layer.path, size=layer.blob.size, sent=sent, how=how, file=file))
    for path in after.paths:
        if path not in described:
            size = (new / path).stat().st_size
            parts.append(Part(component="", path=path, size=size, sent=size, how="whole", file=path))
    return Update(old=f"{before.bundle} {before.version}", new=f"{after.bundle} {after.version}", parts=tuple(parts))


def _shorten(base: str | None, layer: Layer, old: Path, new: Path, folder: Path) -> tuple[str, str] | None:
    """A delta that pays, as its path and what to call it."""
    if base is None and layer.blob.media_type == WEIGHTS:
        return None  # quantized weights do not pack
    digest, size = layer.blob.digest, layer.blob.size
    made = delta_path(digest, base)
    source = old / blob_path(base) if base else None
    most = int(size * WORTH_IT) - 1
    if not make_delta(source, new / blob_path(digest), folder / made, most=most, label=layer.path):
        return None
    _prove(folder, Delta(path=made, digest=digest, base=base), source, size)
    return made, "delta" if base else "packed"


def _shorten_index(
    base: str, manifest: Manifest, layer: Layer, old: Path, new: Path, folder: Path
) -> tuple[str, str] | None:
    """The rows of a search index, if they give its bytes back: its lists of terms change nearly everywhere."""
    digest, size = layer.blob.digest, layer.blob.size
    delta = Delta(path=delta_path(digest, base, index=True), digest=digest, base=base, index=True)
    files = {one.path: new / blob_path(one.blob.digest) for one in manifest.layers}
    source, made = old / blob_path(base), folder / delta.path
    if not make_index_delta(source, new / blob_path(digest), made, beside=files.get, most=int(size * WORTH_IT)):
        return None
    with tempfile.TemporaryDirectory(prefix="fieldpost-index-") as scratch:
        again = Path(scratch) / INDEX
        try:
            with made.open("rb") as file:
                apply_index_delta(file, source, files.get, size, again)
            whole = digest_of_file(again) == (digest, size)
        except ZstdError:
            whole = False
    if not whole:  # made by another Fieldpost, whose rows become other bytes here
        made.unlink()
        return None
    return delta.path, "delta"


def _prove(folder: Path, delta: Delta, source: Path | None, size: int) -> None:
    """As a box does it: what no box could use is never sent."""
    digest = hashlib.sha256()
    apply_delta(folder, delta, source, size, digest.update)
    if f"sha256:{digest.hexdigest()}" != delta.digest:
        raise UpdateError(f"{delta.path} does not give what it should.", todo="Report this: it is a bug.")


class _Bases:
    """Which file of the old bundle a new one most likely grew out of."""

    def __init__(self, old: Path) -> None:
        self._by_path: dict[tuple[str, str, str], str] = {}
        self._weights: dict[tuple[str, str], str] = {}
        for manifest, layer in _layers(old):
            self._by_path[manifest.kind, manifest.name, layer.path] = layer.blob.digest
            if layer.blob.media_type == WEIGHTS:
                self._weights[manifest.kind, manifest.name] = layer.blob.digest

    def of(self, manifest: Manifest, layer: Layer) -> str | None:
        """The file at the same path; weights may have got another name."""
        found = self._by_path.get((manifest.kind, manifest.name, layer.path))
        if found is None and layer.blob.media_type == WEIGHTS:
            found = self._weights.get((manifest.kind, manifest.name))
        return found


def _layers(bundle: Path) -> Iterator[tuple[Manifest, Layer]]:
    """Every file of a checked bundle with its component."""
    for entry in parse_index((bundle / "index.json").read_bytes()).entries:
        manifest = parse_manifest(read_blob(bundle, entry.blob))
        for layer in manifest.layers:
            yield manifest, layer


def _refuse_impossible(before: Checked, after: Checked) -> None:
    for checked in (before, after):
        if checked.absent:
            raise UpdateError(
                f"{checked.bundle} {checked.version} is a partial bundle itself.", needed="Whole bundles are needed."
            )
        if checked.split:
            raise UpdateError(
                f"{checked.bundle} {checked.version} lies in pieces, as on a FAT32 stick.",
                needed="The bundle's own folder is needed.",
            )
    if before.fingerprint != after.fingerprint:
        raise UpdateError(
            f"The two are signed under {before.fingerprint} and {after.fingerprint}.",
            needed="A box takes updates of one organisation only.",
        )
    if before.metadata_version == after.metadata_version:
        raise UpdateError(
            f"The two are the same edition: both have the metadata version {after.metadata_version}.",
            todo="Build the new bundle first, then name the old one and the new one.",
        )
    if before.metadata_version > after.metadata_version:
        raise UpdateError(
            f"{after.bundle} {after.version}, named second, was signed before {before.bundle} {before.version}.",
            needed="A box never goes back to an older one.",
            todo="Name the bundle that the sites have first, and the newer one second.",
        )


def _root(bundle: Path) -> bytes:
    with open_file(bundle, "tuf/1.root.json") as file:
        return file.read()
