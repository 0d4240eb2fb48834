"""Contributors' packages on their way into a bundle: what headquarters looks at again before boxes get it.

Signatures are ``bundles.contributors``'s; what is decided here is that a package passes the very gates that its
contents would pass in a recipe, and fits the models it will stand beside. Its manifest travels as it was signed.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bundles.components import Layer, PreparedComponent
from bundles.contributors import Accepted
from bundles.errors import RecipeError
from bundles.format.digest import digest_of_file
from bundles.format.errors import ScanRefused
from bundles.format.kinds import KINDS, WEIGHTS
from bundles.format.layout import blob_path, read_blob
from bundles.format.manifest import Manifest
from bundles.format.screen import refuse_dangerous
from bundles.indexer import Indexer
from bundles.lock import LockedFile
from bundles.package import PackedComponent
from bundles.recipe import Component, Recipe
from bundles.scan import GgufFacts, scan_document, scan_text, scan_weights
from bundles.word_lists import check_glossary, check_strings

BASE = "org.fieldpost.base"
LANGUAGE = "org.fieldpost.language"
_TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributed:
    """One component of a package, and where its bytes lie."""

    folder: Path
    """Of the package."""
    packed: PackedComponent

    @property
    def manifest(self) -> Manifest:
        return self.packed.manifest

    def here(self, digest: str) -> Path:
        """Where a blob lies."""
        return self.folder / blob_path(digest)


def with_packages(
    recipe: Recipe, accepted: Accepted, locked: Sequence[LockedFile]
) -> tuple[Recipe, dict[str, Contributed]]:
    """The recipe with the components of its packages among its own; and those by their label.

    Raises:
        RecipeError: a component has the name of another, or an adapter is for a model that is not in the recipe.
    """
    weights = {f.sha256: f.component.partition("/")[2] for f in reversed(locked) if f.role == "weights"}
    contributed = {}
    components = list(recipe.components)
    for package in accepted.packages:
        for packed in package.components:
            component = _as_component(packed, weights, str(package.folder))
            if any(other.label == component.label for other in components):
                raise RecipeError(
                    f"{package.folder} holds {component.label}, and there is another.",
                    needed="A name is chosen once among its kind.",
                    todo="Leave one out, or ask the contributor for another name.",
                )
            contributed[component.label] = Contributed(folder=package.folder, packed=packed)
            components.append(component)
    components.sort(key=lambda component: KINDS.index(component.kind))
    return replace(recipe, components=tuple(components)), contributed


def _as_component(packed: PackedComponent, weights: Mapping[str, str], where: str) -> Component:
    manifest = packed.manifest
    base = None
    if manifest.kind == "adapter":
        digest = manifest.annotations.get(BASE, "")
        base = weights.get(digest.removeprefix("sha256:"))
        if base is None:
            raise RecipeError(
                f"{where} holds adapter/{manifest.name}, for the model with the weights {digest or 'unknown'}.",
                needed="That model is needed in the recipe, with the very same file.",
                todo="Add it, or ask the contributor for one that was made for yours.",
            )
    return Component(
        kind=manifest.kind,
        name=manifest.name,
        version=manifest.version,
        licence=manifest.licence,
        publisher=manifest.publisher,
        parts=(),
        base=base,
        language=manifest.annotations.get(LANGUAGE),
    )


def prepare_contributed(
    contributed: Contributed, base: PreparedComponent | None, work: Path, indexer: Indexer
) -> PreparedComponent:
    """Look into every file of one component, as if it stood in the recipe.

    Args:
        base: for an adapter, its model.
        work: an empty folder.

    Raises:
        ScanRefused: a file is not what its place says, or its index is not what its documents give.
    """
    manifest = contributed.manifest
    facts = _CHECKS[manifest.kind](contributed, base, work, indexer)
    return PreparedComponent(
        kind=manifest.kind,
        name=manifest.name,
        publisher=manifest.publisher,
        version=manifest.version,
        licence=manifest.licence,
        title=manifest.annotations.get(_TITLE, manifest.name),
        layers=tuple(
            Layer(
                path=layer.path,
                here=contributed.here(layer.blob.digest),
                weights=layer.blob.media_type == WEIGHTS,
                sha256=layer.blob.digest.removeprefix("sha256:"),
            )
            for layer in manifest.layers
        ),
        annotations={},
        facts=facts,
        manifest=read_blob(contributed.folder, contributed.packed.blob),
    )


def _adapter(one: Contributed, base: PreparedComponent | None, work: Path, indexer: Indexer) -> GgufFacts | None:
    weights = [layer for layer in one.manifest.layers if layer.path.endswith(".gguf")]
    _texts(one, {layer.path for layer in weights})
    if len(weights) != 1:
        raise ScanRefused(f"{one.manifest.target} holds {len(weights)} files ending in .gguf.", needed="One.")
    facts = scan_weights(one.here(weights[0].blob.digest), adapter=True)
    if base is None or base.facts is None or base.facts.architecture != facts.architecture:
        raise ScanRefused(
            f"{one.manifest.target} is for the architecture {facts.architecture}.",
            needed=f"Its base is {base.facts.architecture if base and base.facts else 'unknown'}.",
            todo="Ask the contributor for one that was made for your model.",
        )
    return facts


def _langpack(one: Contributed, base: PreparedComponent | None, work: Path, indexer: Indexer) -> None:
    models = {layer.path for layer in one.manifest.layers if layer.path.endswith(_BINARY)}
    _texts(one, models)
    for layer in one.manifest.layers:
        here, name = one.here(layer.blob.digest), layer.path.rpartition("/")[2]
        if layer.path in models:
            with here.open("rb") as file:
                refuse_dangerous(file.read(8), f"{one.manifest.target}: {layer.path}")
        elif layer.path == "glossary.csv":
            check_glossary(scan_text(here), name)
        elif layer.path.startswith("strings/"):
            check_strings(scan_text(here), name)


def _docpack(one: Contributed, base: PreparedComponent | None, work: Path, indexer: Indexer) -> None:
    """The index is made again: an SQLite file from elsewhere is opened by no box."""
    documents = []
    for layer in one.manifest.layers:
        if layer.path == "README.md":
            scan_text(one.here(layer.blob.digest))
        elif layer.path != _INDEX:
            target = work / layer.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one.here(layer.blob.digest), target)
            scan_document(target)
            documents.append(target)
    index = work / _INDEX
    language = one.manifest.annotations.get(LANGUAGE, "")
    indexer(documents, docpack=one.manifest.name, language=language, out=index)
    signed = next((layer.blob.digest for layer in one.manifest.layers if layer.path == _INDEX), "none")
    if digest_of_file(index)[0] != signed:
        raise ScanRefused(
            f"{one.manifest.target}: its index is not the one that its documents give here.",
            needed="The contributor's fieldpost must be of the same version as yours.",
            todo="Ask them to pack it again with yours.",
        )


def _plain(one: Contributed, base: PreparedComponent | None, work: Path, indexer: Indexer) -> None:
    _texts(one, set())


def _texts(one: Contributed, others: set[str]) -> None:
    for layer in one.manifest.layers:
        if layer.path not in others:
            scan_text(one.here(layer.blob.digest))


_INDEX = "index.sqlite"
_BINARY = ("model/model.bin", "sentencepiece.model", "bpe.model")
_CHECKS = {"adapter": _adapter, "langpack": _langpack, "docpack": _docpack, "evalset": _plain, "dataset": _plain}
