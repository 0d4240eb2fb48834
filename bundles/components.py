"""From a recipe's locked files to components ready to be written: scanned, unpacked, indexed, described.

Where the files come from is ``bundles.fetch``'s and ``bundles.build``'s; how a component is written down is the
bundle format's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundles.argos_package import explode
from bundles.errors import LockError
from bundles.format.errors import ScanRefused
from bundles.format.runtime_archive import check_runtime
from bundles.indexer import Indexer
from bundles.lock import LockedFile, measure
from bundles.recipe import Component, Recipe
from bundles.scan import GgufFacts, scan_document, scan_split, scan_text, scan_weights
from bundles.thresholds import check_thresholds
from bundles.word_lists import check_glossary, check_strings

MAX_TITLE = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredFile:
    """A locked file and where its bytes are on this machine."""

    locked: LockedFile
    here: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One file of a component, before it is copied into the bundle."""

    path: str
    """Where it will lie in the component's folder on the box."""
    here: Path
    weights: bool = False
    sha256: str | None = None
    """What the lock says; None for files made at the build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedComponent:
    """Everything that is written down about one component."""

    kind: str
    name: str
    publisher: str
    version: str
    licence: str
    title: str
    layers: tuple[Layer, ...]
    annotations: Mapping[str, str]
    """``org.fieldpost.base``, ``.pairs`` or ``.language``, as the kind has them."""
    facts: GgufFacts | None = None
    """For a model, what its weights say of themselves."""
    manifest: bytes | None = None
    """For a contributor's component, its manifest as they signed it."""


def prepare(
    recipe: Recipe, gathered: Sequence[GatheredFile], work: Path, indexer: Indexer
) -> tuple[PreparedComponent, ...]:
    """Look into every file and make what the box shall not have to make itself.

    Raises:
        ScanRefused: a file is not what it should be, or an adapter is for another architecture than its base.
        LockError: an Argos package is no longer the locked one.
        IndexFailed: a docpack could not be indexed.
    """
    prepared: dict[str, PreparedComponent] = {}
    for component in recipe.components:
        folder = work / component.kind / component.name
        folder.mkdir(parents=True)
        job = _Job(
            component=component,
            files=tuple(file for file in gathered if file.locked.component == component.label),
            folder=folder,
            indexer=indexer,
            languages=recipe.languages,
            models={name: done for name, done in prepared.items() if done.kind == "model"},
        )
        prepared[component.label] = _PREPARE[component.kind](job)
    return tuple(prepared.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One component's preparation."""

    component: Component
    files: tuple[GatheredFile, ...]
    folder: Path
    """An empty folder for what is made."""
    indexer: Indexer
    languages: tuple[str, ...]
    """Of the site."""
    models: Mapping[str, PreparedComponent]
    """Models come first in a recipe, so an adapter finds its base here, under ``model/<name>``."""

    def of(self, role: str) -> list[GatheredFile]:
        return [file for file in self.files if file.locked.role == role]


def _model(job: _Job) -> PreparedComponent:
    weights = job.of("weights")
    facts = scan_split([file.here for file in weights])
    task = job.component.task
    annotations = {"org.fieldpost.task": task} if task is not None and task != "answer" else {}
    if job.component.memory_mb is not None:
        annotations["org.fieldpost.memory-mb"] = str(job.component.memory_mb)
    return _describe(job.component, job.files, annotations, facts=facts)


def _adapter(job: _Job) -> PreparedComponent:
    base = job.models[f"model/{job.component.base}"]
    peft = job.of("peft")
    made = [_convert(job, base)] if peft else []
    facts = scan_weights(made[0].here if made else job.of("weights")[0].here, adapter=True)
    if base.facts is None or facts.architecture != base.facts.architecture:
        raise ScanRefused(
            f"{job.component.label} is for the architecture {facts.architecture}.",
            needed=f"Its base {base.name} is {base.facts.architecture if base.facts else 'unknown'}.",
            todo="Name the model that it was trained on.",
        )
    weights = next(layer for layer in base.layers if layer.weights)
    others = [file for file in job.files if file not in peft]
    base_digest = {"org.fieldpost.base": f"sha256:{weights.sha256}"}
    return _describe(job.component, others, base_digest, more=made, facts=facts)


def _convert(job: _Job, base: PreparedComponent) -> Layer:
    """A PEFT adapter as the GGUF LoRA that travels."""
    # NumPy and gguf take a third of a second to load, and most recipes need neither.
    from bundles.lora_convert import convert_lora

    files = job.of("peft")
    for file in files:
        refuse_changed(file.locked, measure(file.here, file.locked.path)[1])
    component = job.component
    weights = next(layer for layer in base.layers if layer.weights)
    out = job.folder / f"{component.name}.gguf"
    convert_lora(files[0].here.parent, weights.here, out, name=component.name, licence=component.licence)
    return Layer(path=out.name, here=out, weights=True)


def _langpack(job: _Job) -> PreparedComponent:
    pairs: list[str] = []
    layers: list[Layer] = []
    for file in job.of("argos"):
        # The package does not travel itself, so this is the only place where it meets its lock.
        _, sha256 = measure(file.here, file.locked.path)
        refuse_changed(file.locked, sha256)
        package = explode(file.here, job.folder)
        pairs.append(package.pair)
        layers += [Layer(path=path, here=here) for path, here in package.files]
    for file in job.of("glossary"):
        check_glossary(scan_text(file.here), file.here.name)
    for file in job.of("strings"):
        check_strings(scan_text(file.here), file.here.name)
    others = [file for file in job.files if file.locked.role != "argos"]
    told = {"org.fieldpost.pairs": ",".join(pairs), "org.fieldpost.quality": ",".join(job.component.quality)}
    return _describe(job.component, others, {key: value for key, value in told.items() if value}, more=layers)


def _docpack(job: _Job) -> PreparedComponent:
    documents = [file.here for file in job.of("documents")]
    for document in documents:
        scan_document(document)
    language = job.component.language or ""
    index = job.folder / "index.sqlite"
    job.indexer(documents, docpack=job.component.name, language=language, out=index, embed=_embedding(job.models))
    more = [Layer(path="index.sqlite", here=index)]
    # A Kiwix file is a library of its own, mostly pictures: its articles' text is in the index, and it stays here.
    kept = [file for file in job.files if file.here.suffix.lower() != ".zim"]
    for file in job.files:
        if file not in kept:
            refuse_changed(file.locked, measure(file.here, file.locked.path)[1])
    return _describe(job.component, kept, {"org.fieldpost.language": language}, more=more)


def _embedding(models: Mapping[str, PreparedComponent]) -> Path | None:
    """The weights of the first model that embeds; of a split one, its first piece."""
    for model in models.values():
        if model.annotations.get("org.fieldpost.task") == "embed":
            return min(layer.here for layer in model.layers if layer.weights)
    return None


def _evalset(job: _Job) -> PreparedComponent:
    for file in job.of("thresholds"):
        check_thresholds(scan_text(file.here), file.here.name, set_name=job.component.name, languages=job.languages)
    fall = job.component.may_fall
    return _describe(job.component, job.files, {} if fall is None else {"org.fieldpost.may-fall": f"{fall:g}"})


def _dataset(job: _Job) -> PreparedComponent:
    for file in job.of("data"):
        scan_text(file.here)
    return _describe(job.component, job.files, {"org.fieldpost.language": job.component.language or ""})


def _runtime(job: _Job) -> PreparedComponent:
    check_runtime(job.of("runtime")[0].here)
    return _describe(job.component, job.files, {"org.fieldpost.platform": job.component.platform or ""})


_PREPARE = {
    "model": _model,
    "adapter": _adapter,
    "langpack": _langpack,
    "docpack": _docpack,
    "evalset": _evalset,
    "dataset": _dataset,
    "runtime": _runtime,
}


def refuse_changed(locked: LockedFile, sha256: str) -> None:
    """Compare a file's digest as it was just read with the lock's.

    Raises:
        LockError: they differ.
    """
    if sha256 != locked.sha256:
        raise LockError(
            f"{locked.where} of {locked.component} has changed since it was locked.",
            needed=f"SHA-256 {locked.sha256} is needed.",
            todo="Restore it, or run: fieldpost-bundle lock",
        )


def _describe(
    component: Component,
    files: Sequence[GatheredFile],
    annotations: Mapping[str, str] | None = None,
    *,
    more: Sequence[Layer] = (),
    facts: GgufFacts | None = None,
) -> PreparedComponent:
    layers = list(more)
    title = component.name
    for file in files:
        role = file.locked.role
        if role in ("card", "glossary", "questions", "notice"):
            text = scan_text(file.here)
            title = _first_line(text) or title if role == "card" else title
        layers.append(
            Layer(path=file.locked.path, here=file.here, weights=role == "weights", sha256=file.locked.sha256)
        )
    return PreparedComponent(
        kind=component.kind,
        name=component.name,
        publisher=component.publisher,
        version=component.version,
        licence=component.licence,
        title=title,
        layers=tuple(sorted(layers, key=lambda layer: layer.path)),
        annotations=annotations or {},
        facts=facts,
    )


def _first_line(text: str) -> str:
    """The first line that says something: after the YAML that cards on the Hub begin with, without heading signs."""
    text = text.removeprefix("\ufeff")
    if text.startswith("---\n"):
        text = text[4:].partition("\n---")[2].lstrip("-")
    lines = (line.strip().lstrip("#").strip() for line in text.splitlines())
    return next((line[:MAX_TITLE] for line in lines if line), "")
