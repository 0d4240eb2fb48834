"""OCI manifests and the bundle's index, parsed strictly into values. Whoever parses has verified the bytes before.

Source of the shapes: OCI image specification 1.1; CNCF ModelPack model-spec. What is refused here never reaches a
path or an allocation.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bundles.format.digest import is_digest
from bundles.format.errors import FormatRefused
from bundles.format.kinds import INDEX, MANIFEST, bundle_target, component_folder, component_target, kind_of

MAX_BYTES = 4 << 20
"""Of one manifest or index."""
MAX_FILES = 20_000
MAX_SIZE = 1 << 50
"""Of one file: a petabyte, far above any disk and far below where integers hurt."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
_COUNT = re.compile(r"[1-9][0-9]{0,8}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A blob by digest and size in bytes."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A file of a component: where it lies in the component's folder, and its blob."""

    path: str
    blob: Descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One component."""

    kind: str
    name: str
    publisher: str
    version: str
    licence: str
    config: Descriptor
    layers: tuple[Layer, ...]
    annotations: Mapping[str, str]

    @property
    def target(self) -> str:
        """The name under which it must be signed."""
        return component_target(self.kind, self.publisher, self.name, self.version)

    @property
    def folder(self) -> str:
        """Where its files lie inside a release."""
        return component_folder(self.kind, self.publisher, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """A component's manifest, and the name under which the index says that it is signed."""

    target: str
    blob: Descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A bundle: which components belong together."""

    name: str
    publisher: str
    version: str
    title: str
    languages: tuple[str, ...]
    entries: tuple[IndexEntry, ...]
    accepted_licences: frozenset[str] = frozenset()
    """Licences that somebody at headquarters has read and accepted, by SPDX key."""
    ram_mb: int | None = None
    """Memory that its makers say a box needs."""
    why: str = ""
    """For whom it is, in their words."""

    @property
    def target(self) -> str:
        """The name under which it must be signed."""
        return bundle_target(self.publisher, self.name, self.version)


def parse_index(data: bytes) -> Index:
    """Parse a bundle's index.

    Raises:
        FormatRefused: it breaks a rule of the format; the rule is named.
    """
    raw = _object(data, INDEX, "the bundle's index")
    notes = _notes(raw)
    entries = tuple(
        IndexEntry(
            target=_text(_notes(entry), "org.opencontainers.image.ref.name"), blob=_descriptor(entry, only=MANIFEST)
        )
        for entry in _list(raw, "manifests")
    )
    languages = tuple(_text(notes, "org.fieldpost.languages").split(","))
    if len({entry.target for entry in entries}) != len(entries):
        raise FormatRefused("The bundle's index names a component twice.")
    if not all(_LANGUAGE.fullmatch(lang) for lang in languages):
        raise FormatRefused(f"The bundle's languages are {languages!r}.", needed="Tags such as en or sw are needed.")
    ram_mb = notes.get("org.fieldpost.ram-mb")
    if ram_mb is not None and not _COUNT.fullmatch(ram_mb):
        raise FormatRefused(f"The bundle needs the memory {ram_mb[:80]!r}.", needed="Megabytes as a number are needed.")
    return Index(
        name=_matching(_NAME, notes, "org.fieldpost.bundle"),
        publisher=_matching(_NAME, notes, "org.fieldpost.publisher"),
        version=_matching(_VERSION, notes, "org.opencontainers.image.version"),
        title=_text(notes, "org.opencontainers.image.title"),
        languages=languages,
        entries=entries,
        accepted_licences=frozenset(filter(None, notes.get("org.fieldpost.accepted-licences", "").split(","))),
        ram_mb=int(ram_mb) if ram_mb is not None else None,
        why=notes.get("org.opencontainers.image.description", ""),
    )


def parse_manifest(data: bytes) -> Manifest:
    """Parse a component's manifest.

    Raises:
        FormatRefused: it breaks a rule of the format; the rule is named.
    """
    raw = _object(data, MANIFEST, "a component's manifest")
    notes = _notes(raw)
    kind = kind_of(_text(raw, "artifactType"))
    if notes.get("org.fieldpost.kind") != kind:
        raise FormatRefused(f"A {kind} calls itself {notes.get('org.fieldpost.kind')!r}.")
    layers = tuple(
        Layer(path=safe_path(_text(_notes(layer), "org.cncf.model.filepath")), blob=_descriptor(layer))
        for layer in _list(raw, "layers")
    )
    _refuse_clashes([layer.path for layer in layers])
    config = raw.get("config")
    if not isinstance(config, dict):
        raise FormatRefused("A component's manifest has no config.")
    return Manifest(
        kind=kind,
        name=_matching(_NAME, notes, "org.fieldpost.name"),
        publisher=_matching(_NAME, notes, "org.fieldpost.publisher"),
        version=_matching(_VERSION, notes, "org.opencontainers.image.version"),
        licence=_text(notes, "org.opencontainers.image.licenses"),
        config=_descriptor(config),
        layers=layers,
        annotations=notes,
    )


def safe_path(path: str) -> str:
    """``path`` itself, if it can only lead into the folder that it is joined to, on any file system.

    Raises:
        FormatRefused: absolute, climbing, empty, too long, or with characters that some file system takes otherwise.
    """
    parts = path.split("/")
    if (
        not 0 < len(path.encode("utf-8", "surrogatepass")) <= 240
        or any(part in ("", ".", "..") or part.endswith((" ", ".")) for part in parts)
        or any(c in '\\:*?"<>|' or unicodedata.category(c)[0] == "C" for c in path)
        or unicodedata.normalize("NFC", path) != path
    ):
        raise FormatRefused(f"The bundle names the file {path!r}.", needed="A plain path within its folder is needed.")
    return path


def _refuse_clashes(paths: list[str]) -> None:
    """No two files may share a place on a file system that ignores case, and no file may be another's folder."""
    folded = [path.casefold() for path in paths]
    files = set(folded)
    folders = {"/".join(parts[:i]) for parts in (p.split("/") for p in folded) for i in range(1, len(parts))}
    if len(files) != len(folded) or files & folders:
        raise FormatRefused("Two files of a component want the same place.")


def _object(data: bytes, media_type: str, what: str) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise FormatRefused(f"{what.capitalize()} has {len(data)} bytes.", needed=f"At most {MAX_BYTES}.")
    try:
        raw = json.loads(data, object_pairs_hook=_no_twins)
        json.dumps(raw, ensure_ascii=False).encode()  # half a surrogate pair passes until somebody writes it down
    except (ValueError, RecursionError) as error:
        raise FormatRefused(f"{what.capitalize()} is no JSON: {error}.") from error
    if not isinstance(raw, dict) or raw.get("schemaVersion") != 2 or raw.get("mediaType") != media_type:
        raise FormatRefused(f"{what.capitalize()} is of another type.", needed=f"{media_type} is needed.")
    return raw


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice")
    return value


def _descriptor(raw: Mapping[str, Any], *, only: str | None = None) -> Descriptor:
    digest, size = raw.get("digest"), raw.get("size")
    media_type = _text(raw, "mediaType")
    if only is not None and media_type != only:
        raise FormatRefused(f"The bundle's index lists a {media_type!r}.", needed=f"{only} is needed.")
    if not is_digest(digest):
        raise FormatRefused(f"The bundle names the digest {digest!r}.", needed="sha256: and 64 hex digits are needed.")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
        raise FormatRefused(f"The bundle names the size {size!r}.", needed="A number of bytes is needed.")
    return Descriptor(media_type=media_type, digest=str(digest), size=size)


def _list(raw: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = raw.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value) or len(value) > MAX_FILES:
        raise FormatRefused(f"{key} is not a list of at most {MAX_FILES} objects.")
    return value


def _notes(raw: Mapping[str, Any]) -> dict[str, str]:
    notes = raw.get("annotations")
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise FormatRefused("Annotations are missing or are no texts.")
    return notes


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value or len(value) > 4096:
        raise FormatRefused(f"{key} is {str(value)[:80]!r}.", needed="A text is needed.")
    return value


def _matching(pattern: re.Pattern[str], raw: Mapping[str, Any], key: str) -> str:
    value = _text(raw, key)
    if pattern.fullmatch(value) is None:
        raise FormatRefused(f"{key} is {value[:80]!r}.", needed="Letters, digits and . _ - are allowed.")
    return value
