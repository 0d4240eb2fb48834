"""The recipe: which files, under which names and licences, make a bundle. Parsed strictly; opens no file but itself.

How a table's keys are read is ``bundles.recipe_table``'s, resolving file patterns to files ``bundles.lock``'s, fetching
``bundles.fetch``'s.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bundles.errors import RecipeError
from bundles.foreign_weights import refuse_by_name
from bundles.format.kinds import KINDS
from bundles.recipe_table import FileSource, Source, Table

FORMAT = 1
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
VERSION = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z._-]{0,62}[0-9A-Za-z])?")
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_QUALITY = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*>[a-z]{2,3}(-[A-Za-z0-9]{2,8})*:(0(\.\d+)?|1(\.0+)?)")
PLATFORM = re.compile(r"[a-z]+-[a-z0-9_]+-cp3[0-9]{1,2}")
_FIRST_OF_SPLIT = re.compile(r"(.+)-00001-of-(\d{5})\.gguf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One source and what it is for.

    The roles are ``weights``, ``peft``, ``card``, ``argos``, ``glossary``, ``strings``, ``documents``, ``questions``,
    ``thresholds``, ``data`` and ``runtime``.
    """

    role: str
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One table of the recipe."""

    kind: str
    name: str
    version: str
    licence: str
    """SPDX expression."""
    publisher: str
    parts: tuple[Part, ...]
    base: str | None = None
    """For an adapter, the name of the model in this recipe that it belongs to."""
    language: str | None = None
    """For a docpack or dataset, the language of its texts."""
    task: str | None = None
    """For a model, ``answer`` or ``embed``."""
    platform: str | None = None
    """For a runtime, where it runs: ``linux-x86_64-cp311``."""
    memory_mb: int | None = None
    """For a model, the memory that a box was measured to need with it, in megabytes."""
    may_fall: float | None = None
    """For an evalset with thresholds, the share of questions by which a release may be worse than the one before."""
    quality: tuple[str, ...] = ()
    """For a langpack, the chrF measured a direction, from 0 to 1: ``en>sw:0.62``."""

    @property
    def label(self) -> str:
        """How people and the lock name it: ``adapter/field-style``."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole recipe."""

    path: Path
    name: str
    version: str
    publisher: str
    title: str
    languages: tuple[str, ...]
    components: tuple[Component, ...]
    accepted_licences: frozenset[str]
    """SPDX keys of ``ask`` licences that someone at the NGO has read and accepted for this bundle."""
    packages: tuple[str, ...] = ()
    """Folders of contributors' signed packages, relative to the recipe."""
    ram_mb: int | None = None
    """Memory that a box needs for this bundle."""
    why: str | None = None
    """For whom it is and why these parts, in a sentence or two."""

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def lock_path(self) -> Path:
        return self.path.with_name(self.path.stem + ".lock.json")


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: it is not TOML, has unknown, missing or ill-formed keys, or names a thing twice.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(f"There is no recipe {path}.", todo="Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not readable as TOML: {error}.", todo="Mend that line.") from error
    if "bundle" not in raw:
        raise RecipeError(f"{path} has no [bundle] table.", needed="It names the bundle and its publisher.")
    top = Table(raw, str(path))
    top.refuse_unknown({"format", "bundle", "package", *KINDS})
    if raw.get("format", FORMAT) != FORMAT:
        raise RecipeError(f"{path} has format {raw['format']!r}.", needed=f"This bundler reads format {FORMAT}.")
    head = Table(raw["bundle"], f"{path} [bundle]")
    head.refuse_unknown({"name", "version", "publisher", "title", "languages", "accepted_licences", "ram_mb", "why"})
    publisher = head.text("publisher", NAME)
    languages = head.texts("languages", LANGUAGE)
    if not languages:
        raise RecipeError(f"{path} [bundle] languages is empty.", needed="At least one language is needed.")
    components = tuple(
        _component(kind, Table(table, f"{path} [[{kind}]] number {number}"), publisher)
        for kind in KINDS
        for number, table in enumerate(top.tables(kind), 1)
    )
    recipe = Recipe(
        path=path,
        name=head.text("name", NAME),
        version=head.text("version", VERSION),
        publisher=publisher,
        title=head.text("title"),
        languages=languages,
        components=components,
        accepted_licences=frozenset(head.texts("accepted_licences")),
        packages=tuple(
            _package(Table(table, f"{path} [[package]] number {number}"))
            for number, table in enumerate(top.tables("package"), 1)
        ),
        ram_mb=head.whole("ram_mb") if "ram_mb" in head.raw else None,
        why=head.text("why") if "why" in head.raw else None,
    )
    _check_whole(recipe)
    return recipe


def _check_whole(recipe: Recipe) -> None:
    if not recipe.components and not recipe.packages:
        raise RecipeError(f"{recipe.path} has no components.", needed=f"One of {', '.join(KINDS)} is needed.")
    seen: set[tuple[str, str]] = set()
    for component in recipe.components:
        # The name is how people choose a component on the box; with the version it is its signed target name.
        for identity in (component.name, f"{component.name}-{component.version}"):
            if (component.kind, identity) in seen:
                raise RecipeError(f"{recipe.path} has two {component.kind}s called {identity}.", todo="Rename one.")
            seen.add((component.kind, identity))
    answering = [c for c in recipe.components if c.kind == "model" and c.task != "embed"]
    unmeasured = [c.label for c in answering if c.memory_mb is None]
    if unmeasured and len(unmeasured) < len(answering):
        raise RecipeError(
            f"{recipe.path}: {', '.join(unmeasured)} has no memory_mb, and other models have.",
            needed="A box chooses among measured models, so all that answer are needed, or none.",
            todo="Measure them: fieldpost-bundle measure",
        )
    models = {c.name for c in recipe.components if c.kind == "model"}
    for component in recipe.components:
        if component.base is not None and component.base not in models:
            raise RecipeError(
                f"{recipe.path}: {component.label} has base {component.base!r}, which is no model of this recipe.",
                needed=f"Models here are: {', '.join(sorted(models)) or 'none'}.",
                todo="Name the model that the adapter was trained on.",
            )


def _package(table: Table) -> str:
    table.refuse_unknown({"folder"})
    return table.text("folder")


def _component(kind: str, table: Table, publisher: str) -> Component:
    common = {"name", "version", "licence", "publisher", "card", "notices"}
    parts, own_keys = _PARTS[kind](table)
    table.refuse_unknown(common | own_keys)
    if "card" in table.raw:
        parts = (*parts, Part(role="card", source=FileSource(file=table.text("card"))))
    notices = tuple(Part(role="notice", source=FileSource(file=name)) for name in table.texts("notices"))
    languages = {"docpack", "dataset"}
    return Component(
        kind=kind,
        name=table.text("name", NAME),
        version=table.text("version", VERSION),
        licence=table.text("licence"),
        publisher=table.text("publisher", NAME) if "publisher" in table.raw else publisher,
        base=table.text("base") if kind == "adapter" else None,
        language=table.text("language", LANGUAGE) if kind in languages else None,
        task=table.choice("task", ("answer", "embed")) if kind == "model" else None,
        platform=table.text("platform", PLATFORM) if kind == "runtime" else None,
        memory_mb=table.whole("memory_mb") if "memory_mb" in table.raw and kind == "model" else None,
        may_fall=table.share("may_fall") if "may_fall" in table.raw and kind == "evalset" else None,
        quality=_quality(table) if kind == "langpack" else (),
        parts=(*parts, *notices),
    )


def _quality(table: Table) -> tuple[str, ...]:
    found = tuple(table.texts("quality"))
    for entry in found:
        if not _QUALITY.fullmatch(entry):
            raise RecipeError(
                f"{table.where} quality has {entry!r}.",
                needed="A direction and its chrF from 0 to 1 are needed, such as en>sw:0.62",
            )
    return found


_Parts = tuple[tuple[Part, ...], set[str]]


def _weights(table: Table) -> _Parts:
    keys = {"file", "hub", "revision", "sha256", "task", "memory_mb"}
    refuse_by_name(table.where, table.text("file"), str(table.raw.get("hub", "")))
    split = _FIRST_OF_SPLIT.fullmatch(table.text("file"))
    if split is None:
        return (Part(role="weights", source=table.source()),), keys
    # llama.cpp is given the first file and finds the others beside it by their names.
    count = int(split[2])
    if not 2 <= count <= 999:
        raise RecipeError(f"{table.where} names a file of {count} pieces.", needed="2 to 999 are read.")
    names = [f"{split[1]}-{number:05}-of-{split[2]}.gguf" for number in range(1, count + 1)]
    digests = table.digests(count)
    sources = [table.source_of(name, digest) for name, digest in zip(names, digests, strict=True)]
    return tuple(Part(role="weights", source=source) for source in sources), keys


def _adapter(table: Table) -> _Parts:
    if "peft" not in table.raw:
        return (Part(role="weights", source=table.source()),), {"file", "hub", "revision", "sha256", "base"}
    folder = table.text("peft").rstrip("/")
    files = ("adapter_config.json", "adapter_model.safetensors")
    return tuple(Part(role="peft", source=FileSource(file=f"{folder}/{name}")) for name in files), {"peft", "base"}


def _langpack(table: Table) -> _Parts:
    parts = [Part(role="argos", source=FileSource(file=name)) for name in table.texts("argos")]
    parts += [Part(role="strings", source=FileSource(file=name)) for name in table.texts("strings")]
    if "glossary" in table.raw:
        parts.append(Part(role="glossary", source=FileSource(file=table.text("glossary"))))
    if not parts:
        raise RecipeError(f"{table.where} holds nothing.", needed="Give it argos, glossary or strings.")
    return tuple(parts), {"argos", "glossary", "strings", "quality"}


def _docpack(table: Table) -> _Parts:
    return _files(table, "documents"), {"files", "language"}


def _dataset(table: Table) -> _Parts:
    return _files(table, "data"), {"files", "language"}


def _files(table: Table, role: str) -> tuple[Part, ...]:
    return tuple(Part(role=role, source=FileSource(file=p)) for p in table.texts("files", required=True))


def _evalset(table: Table) -> _Parts:
    thresholds = tuple(Part(role="thresholds", source=FileSource(file=name)) for name in table.texts("thresholds"))
    return (*_one_file(table, "questions"), *thresholds), {"file", "sha256", "thresholds", "may_fall"}


def _runtime(table: Table) -> _Parts:
    return _one_file(table, "runtime"), {"file", "sha256", "platform"}


def _one_file(table: Table, role: str) -> tuple[Part, ...]:
    return (Part(role=role, source=FileSource(file=table.text("file"), sha256=table.digest())),)


_PARTS: Mapping[str, Callable[[Table], _Parts]] = {
    "model": _weights,
    "adapter": _adapter,
    "langpack": _langpack,
    "docpack": _docpack,
    "evalset": _evalset,
    "dataset": _dataset,
    "runtime": _runtime,
}
