"""What a bundle says of itself, for people and scripts. Reads, and believes nothing: verifying is another command."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bundles.format.digest import root_fingerprint
from bundles.format.errors import BundleError, MissingFile
from bundles.format.layout import open_file, read_blob
from bundles.format.manifest import MAX_BYTES, Descriptor, IndexEntry, parse_index, parse_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentFacts:
    """One component as its manifest describes it."""

    kind: str
    name: str
    publisher: str
    version: str
    licence: str
    title: str
    """The first line of its card, or its name."""
    files: int
    bytes: int
    annotations: Mapping[str, str]
    """``org.fieldpost.base``, ``.pairs`` or ``.language``, as its kind has them."""
    card: str = ""
    """What its maker says of it; its front matter is the Hugging Face Hub's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFacts:
    """A bundle as its index describes it."""

    bundle: str
    publisher: str
    version: str
    title: str
    languages: tuple[str, ...]
    fingerprint: str
    metadata_version: int
    expires: str
    ram_mb: int | None
    """Memory that its makers say a box needs."""
    why: str
    total_bytes: int
    """Of everything in the folder, as it would take on a stick."""
    components: tuple[ComponentFacts, ...]


_TOLD = tuple(f"org.fieldpost.{key}" for key in ("base", "language", "pairs", "platform", "task"))
CARD = "README.md"


def inspect_bundle(folder: Path) -> BundleFacts:
    """Read a bundle's own words.

    Raises:
        BundleError: the folder is no bundle, or a file that describes it cannot be read.
    """
    try:
        index = parse_index(_read(folder, "index.json"))
        timestamp = json.loads(_read(folder, "tuf/timestamp.json"))["signed"]
        return BundleFacts(
            bundle=index.name,
            publisher=index.publisher,
            version=index.version,
            title=index.title,
            languages=index.languages,
            fingerprint=root_fingerprint(_read(folder, "tuf/1.root.json")),
            metadata_version=timestamp["version"],
            expires=timestamp["expires"],
            ram_mb=index.ram_mb,
            why=index.why,
            total_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            components=tuple(_component(folder, entry) for entry in index.entries),
        )
    except MissingFile as error:
        raise BundleError(
            f"{folder} is no whole bundle: {error.found}", todo="Build it again, or copy it again."
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{folder} has no readable tuf/timestamp.json: {error!r}.", todo="Build it again.") from error


def _read(folder: Path, name: str) -> bytes:
    """A found stick may hold gigabytes under any name."""
    with open_file(folder, name) as file:
        return file.read(MAX_BYTES + 1)


def _card(folder: Path, blob: Descriptor) -> str:
    """Empty where a partial bundle leaves it out."""
    try:
        return read_blob(folder, blob).decode("utf-8", "replace")
    except MissingFile:
        return ""


def _component(folder: Path, entry: IndexEntry) -> ComponentFacts:
    manifest = parse_manifest(read_blob(folder, entry.blob))
    notes = manifest.annotations
    card = next((layer.blob for layer in manifest.layers if layer.path == CARD), None)
    return ComponentFacts(
        kind=manifest.kind,
        name=manifest.name,
        publisher=manifest.publisher,
        version=manifest.version,
        licence=manifest.licence,
        title=notes.get("org.opencontainers.image.title", manifest.name),
        files=len(manifest.layers),
        bytes=sum(layer.blob.size for layer in manifest.layers),
        annotations={key: notes[key] for key in _TOLD if key in notes},
        card=_card(folder, card) if card is not None else "",
    )
