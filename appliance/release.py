"""The installed release: which components it has and where their files lie. Reads ``release.json``, writes nothing.

The installer wrote and verified it; the engine, the languages and the documents are found through it. What the NGO has
taken back since stands in ``revoked.json``: it is left out here, so that nothing further up can load it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.config import Home
from appliance.errors import ReleaseError
from bundles.format.kinds import component_target

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_FIRST_PIECE = re.compile(r"-00001-of-\d{5}\.gguf$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One model, adapter, langpack, docpack, evalset, dataset or runtime of the release."""

    kind: str
    name: str
    publisher: str
    version: str
    licence: str
    manifest: str
    """Digest of its OCI manifest, ``sha256:<hex>``: the component's identity."""
    annotations: Mapping[str, str]
    folder: Path
    files: Mapping[str, str]
    """Path inside ``folder`` to digest ``sha256:<hex>``."""

    @property
    def target(self) -> str:
        """The name under which it was signed: ``adapters/amina/steps-1.0.0``."""
        return component_target(self.kind, self.publisher, self.name, self.version)

    def only(self, suffix: str) -> Path:
        """The one file that ends in ``suffix``.

        Raises:
            ReleaseError: there is none, or more than one.
        """
        found = [name for name in self.files if name.endswith(suffix)]
        if len(found) != 1:
            raise ReleaseError(f"{self.kind} {self.name} holds {len(found)} files ending in {suffix}.", needed="One.")
        return self.folder / found[0]

    @property
    def weights(self) -> Path:
        """The weights as llama.cpp is given them: of a model in pieces the first, which names the others.

        Raises:
            ReleaseError: there are none, or several that are no pieces of one model.
        """
        first = [name for name in self.files if _FIRST_PIECE.search(name)]
        return self.folder / first[0] if len(first) == 1 else self.only(".gguf")

    @property
    def card(self) -> str:
        """What its maker says of it, in Markdown; empty where there is none."""
        path = self.folder / "README.md"
        return path.read_text(encoding="utf-8", errors="replace") if "README.md" in self.files else ""

    @property
    def strings(self) -> tuple[str, ...]:
        """Of a langpack, its files of words for the page: ``strings/so.json``."""
        return tuple(sorted(name for name in self.files if name.startswith("strings/") and name.endswith(".json")))

    @property
    def answers(self) -> bool:
        """Of a model, whether it answers questions; one that embeds does not."""
        return self.annotations.get("org.fieldpost.task", "answer") == "answer"

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Of a langpack, the languages that it translates from and to; a glossary alone has none."""
        told = self.annotations.get("org.fieldpost.pairs", "")
        return tuple((pair.partition(">")[0], pair.partition(">")[2]) for pair in told.split(",") if pair)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A bundle version as it lies on this box."""

    number: int
    bundle: str
    version: str
    title: str
    languages: tuple[str, ...]
    folder: Path
    components: tuple[Component, ...]
    """Without those that were taken back."""
    revoked: Mapping[str, str]
    """Signed name of a component that was taken back, and why."""
    answering: str
    """Signed name of the model that answers, also when it was taken back."""

    def of(self, kind: str) -> tuple[Component, ...]:
        """The components of one kind, in the recipe's order."""
        return tuple(c for c in self.components if c.kind == kind)

    @property
    def model(self) -> Component:
        """The model that answers: the first of the recipe.

        Raises:
            ReleaseError: the release has none, or it was taken back; another model is for another purpose.
        """
        if self.answering in self.revoked:
            raise ReleaseError(
                f"The model {self.answering} was taken back by your organisation: {self.revoked[self.answering]}.",
                todo="Install the newest stick.",
            )
        models = [model for model in self.of("model") if model.answers]
        if not models:
            raise ReleaseError("The installed bundle has no model.", todo="Install one that has.")
        return models[0]

    @property
    def smaller(self) -> Component | None:
        """What answers in place of ``model`` when the box must spare itself: the smallest further model that answers.

        None where there is none, or it is not smaller.
        """
        others = [model for model in self.of("model") if model.answers and model.target != self.answering]
        smallest = min(others, key=_weight, default=None)
        return smallest if smallest is not None and _weight(smallest) < _weight(self.model) else None

    @property
    def embedder(self) -> Component | None:
        """The model that made the vectors of the document indexes: the first that embeds; None where none does."""
        return next((model for model in self.of("model") if not model.answers), None)

    @property
    def documents_lang(self) -> str:
        """The language of the documents, in which the model is asked; the site's first where there are none."""
        docpacks = self.of("docpack")
        return docpacks[0].annotations["org.fieldpost.language"] if docpacks else self.languages[0]

    @property
    def adapters(self) -> Mapping[str, Component]:
        return {c.name: c for c in self.of("adapter")}


def load_release(home: Home) -> Release:
    """The release that ``HOME/current`` points to.

    Raises:
        ReleaseError: nothing is installed, or release.json or revoked.json is not one of ours.
    """
    folder = home.current.resolve()
    path = folder / "release.json"
    try:
        raw = json.loads(path.read_bytes())
        release = _parse(raw, folder)
    except FileNotFoundError as error:
        raise ReleaseError(
            f"Nothing is installed in {home.root}.",
            needed="A release is needed.",
            todo=f"Install one: python3 installer.pyz install --from STICK --home {home.root}",
        ) from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ReleaseError(f"{path} cannot be used: {error!r}.", todo="Install the stick again.") from error
    return _without(release, read_revoked(home))


def read_revoked(home: Home) -> Mapping[str, str]:
    """Signed name of a component that the NGO has taken back, and why.

    Raises:
        ReleaseError: the file is there and cannot be read. It might name anything, so nothing is loaded then.
    """
    path = home.revoked
    try:
        raw = json.loads(path.read_bytes())
        if raw["format"] != 1 or not all(isinstance(reason, str) for reason in raw["revoked"].values()):
            raise ValueError("of another format")
        return dict(raw["revoked"])
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ReleaseError(
            f"{path} cannot be read: {error!r}.",
            needed="It says what this box may not use any more.",
            todo="Move it away and install the newest stick again.",
        ) from error


def _weight(component: Component) -> int:
    """Bytes of all its files."""
    return sum((component.folder / name).stat().st_size for name in component.files)


def _without(release: Release, revoked: Mapping[str, str]) -> Release:
    gone = {c.target: revoked[c.target] for c in release.components if c.target in revoked}
    return replace(release, components=tuple(c for c in release.components if c.target not in gone), revoked=gone)


def _parse(raw: Mapping[str, Any], folder: Path) -> Release:
    if raw["format"] != 1:
        raise ValueError(f"release format {raw['format']}, needed 1")
    components = tuple(
        Component(
            kind=c["kind"],
            name=c["name"],
            publisher=c["publisher"],
            version=c["version"],
            licence=c["licence"],
            manifest=c["manifest"],
            annotations=dict(c["annotations"]),
            folder=folder / c["folder"],
            files={f["path"]: f["digest"] for f in c["files"]},
        )
        for c in raw["components"]
    )
    release = Release(
        number=int(raw["number"]),
        bundle=raw["bundle"],
        version=raw["version"],
        title=raw["title"],
        languages=tuple(raw["languages"]),
        folder=folder,
        revoked={},
        answering=next((c.target for c in components if c.kind == "model" and c.answers), ""),
        components=components,
    )
    _check(release)
    return release


def _check(release: Release) -> None:
    """What the format leaves open and the box relies on; raises ValueError."""
    named = [(component.kind, component.name) for component in release.components]
    if len(set(named)) != len(named):
        raise ValueError("two components of one kind have the same name")
    languages = [c.annotations.get("org.fieldpost.language", "") for c in release.of("docpack")]
    tags = [*release.languages, *languages, *(tag for c in release.of("langpack") for pair in c.pairs for tag in pair)]
    if not release.languages or not all(_LANGUAGE.fullmatch(tag) for tag in tags):
        raise ValueError(f"a language is missing or no tag such as sw: {tags}")
    if len(set(languages)) > 1:
        raise ValueError(f"documents in several languages: {', '.join(languages)}; one is asked at a time")
