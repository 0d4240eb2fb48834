"""The recipe: which files, under which names and licences, make a bundle. Parsed strictly; opens no file but itself.

Resolving file patterns to files is ``bundles.lock``'s, fetching is ``bundles.fetch``'s.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bundles.errors import RecipeError
from bundles.format.kinds import KINDS

FORMAT = 1
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
VERSION = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z._-]{0,62}[0-9A-Za-z])?")
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
SHA256 = re.compile(r"[0-9a-f]{64}")
REVISION = re.compile(r"[0-9a-f]{40}")
HUB_REPO = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A file, or with wildcards a set of files, relative to the recipe's folder."""

    file: str
    sha256: str | None = None

    @property
    def name(self) -> str:
        return Path(self.file).name


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A file of a Hugging Face Hub model repository."""

    repo: str
    file: str
    revision: str | None = None
    """Commit, 40 hex digits. Without it ``lock`` records today's."""
    sha256: str | None = None

    @property
    def name(self) -> str:
        return PurePosixPath(self.file).name


Source = FileSource | HubSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One source and what it is for: ``weights``, ``card``, ``argos``, ``glossary``, ``documents`` or ``questions``."""

    role: str
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One table of the recipe: a model, adapter, langpack, docpack or evalset."""

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
    """For a docpack, the language of its documents."""

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
    top = _Table(raw, str(path))
    top.refuse_unknown({"format", "bundle", *KINDS})
    if raw.get("format", FORMAT) != FORMAT:
        raise RecipeError(f"{path} has format {raw['format']!r}.", needed=f"This bundler reads format {FORMAT}.")
    head = _Table(raw["bundle"], f"{path} [bundle]")
    head.refuse_unknown({"name", "version", "publisher", "title", "languages", "accepted_licences"})
    publisher = head.text("publisher", NAME)
    languages = head.texts("languages", LANGUAGE)
    if not languages:
        raise RecipeError(f"{path} [bundle] languages is empty.", needed="At least one language is needed.")
    components = tuple(
        _component(kind, _Table(table, f"{path} [[{kind}]] number {number}"), publisher)
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
    )
    _check_whole(recipe)
    return recipe


def _check_whole(recipe: Recipe) -> None:
    if not recipe.components:
        raise RecipeError(f"{recipe.path} has no components.", needed=f"One of {', '.join(KINDS)} is needed.")
    seen: set[tuple[str, str]] = set()
    for component in recipe.components:
        # The name is how people choose a component on the box; with the version it is its signed target name.
        for identity in (component.name, f"{component.name}-{component.version}"):
            if (component.kind, identity) in seen:
                raise RecipeError(f"{recipe.path} has two {component.kind}s called {identity}.", todo="Rename one.")
            seen.add((component.kind, identity))
    models = {c.name for c in recipe.components if c.kind == "model"}
    for component in recipe.components:
        if component.base is not None and component.base not in models:
            raise RecipeError(
                f"{recipe.path}: {component.label} has base {component.base!r}, which is no model of this recipe.",
                needed=f"Models here are: {', '.join(sorted(models)) or 'none'}.",
                todo="Name the model that the adapter was trained on.",
            )


def _component(kind: str, table: "_Table", publisher: str) -> Component:
    common = {"name", "version", "licence", "publisher", "card"}
    parts, own_keys = _PARTS[kind](table)
    table.refuse_unknown(common | own_keys)
    if "card" in table.raw:
        parts = (*parts, Part(role="card", source=FileSource(file=table.text("card"))))
    return Component(
        kind=kind,
        name=table.text("name", NAME),
        version=table.text("version", VERSION),
        licence=table.text("licence"),
        publisher=table.text("publisher", NAME) if "publisher" in table.raw else publisher,
        base=table.text("base") if kind == "adapter" else None,
        language=table.text("language", LANGUAGE) if kind == "docpack" else None,
        parts=parts,
    )


_Parts = tuple[tuple[Part, ...], set[str]]


def _weights(table: "_Table") -> _Parts:
    return (Part(role="weights", source=table.source()),), {"file", "hub", "revision", "sha256"}


def _adapter(table: "_Table") -> _Parts:
    parts, keys = _weights(table)
    return parts, keys | {"base"}


def _langpack(table: "_Table") -> _Parts:
    packages = table.texts("argos", required=True)
    parts = [Part(role="argos", source=FileSource(file=name)) for name in packages]
    if "glossary" in table.raw:
        parts.append(Part(role="glossary", source=FileSource(file=table.text("glossary"))))
    return tuple(parts), {"argos", "glossary"}


def _docpack(table: "_Table") -> _Parts:
    patterns = table.texts("files", required=True)
    return tuple(Part(role="documents", source=FileSource(file=p)) for p in patterns), {"files", "language"}


def _evalset(table: "_Table") -> _Parts:
    part = Part(role="questions", source=FileSource(file=table.text("file"), sha256=table.digest()))
    return (part,), {"file", "sha256"}


_PARTS: Mapping[str, Callable[["_Table"], _Parts]] = {
    "model": _weights,
    "adapter": _adapter,
    "langpack": _langpack,
    "docpack": _docpack,
    "evalset": _evalset,
}


class _Table:
    """One TOML table and the words to name it in an error."""

    def __init__(self, raw: Any, where: str) -> None:
        if not isinstance(raw, dict):
            raise RecipeError(f"{where} is {type(raw).__name__}.", needed="A table is needed.")
        self.raw: dict[str, Any] = raw
        self.where = where

    def refuse_unknown(self, known: set[str]) -> None:
        unknown = sorted(set(self.raw) - known)
        if unknown:
            raise RecipeError(
                f"{self.where} has unknown keys: {', '.join(unknown)}.",
                needed=f"Known are: {', '.join(sorted(known))}.",
                todo="Remove or correct them.",
            )

    def text(self, key: str, form: re.Pattern[str] | None = None) -> str:
        value = self.raw.get(key)
        if value is None:
            raise RecipeError(f"{self.where} has no {key}.", todo=f'Add {key} = "...".')
        return self._string(key, value, form)

    def texts(self, key: str, form: re.Pattern[str] | None = None, *, required: bool = False) -> tuple[str, ...]:
        value = self.raw.get(key, [])
        if not isinstance(value, list):
            raise RecipeError(f"{self.where} {key} is {value!r}.", needed="A list of strings is needed.")
        if required and not value:
            raise RecipeError(f"{self.where} has no {key}.", todo=f'Add {key} = ["..."].')
        return tuple(self._string(key, item, form) for item in value)

    def tables(self, key: str) -> list[Any]:
        value = self.raw.get(key, [])
        if not isinstance(value, list):
            raise RecipeError(f"{self.where} has [{key}].", needed=f"[[{key}]] is needed, with two brackets.")
        return value

    def digest(self) -> str | None:
        return self.text("sha256", SHA256) if "sha256" in self.raw else None

    def source(self) -> Source:
        file = self.text("file")
        if "hub" not in self.raw:
            if "revision" in self.raw:
                raise RecipeError(f"{self.where} has a revision but no hub.", todo='Add hub = "owner/repository".')
            return FileSource(file=file, sha256=self.digest())
        return HubSource(
            repo=self.text("hub", HUB_REPO),
            file=file,
            revision=self.text("revision", REVISION) if "revision" in self.raw else None,
            sha256=self.digest(),
        )

    def _string(self, key: str, value: object, form: re.Pattern[str] | None) -> str:
        if not isinstance(value, str) or not value.strip() or any(ord(sign) < 32 for sign in value):
            raise RecipeError(f"{self.where} {key} is {value!r}.", needed="A line of text is needed.")
        if form is not None and not form.fullmatch(value):
            raise RecipeError(
                f"{self.where} {key} is {value!r}.", needed=f"It must match {form.pattern}.", todo="Correct it."
            )
        return value
