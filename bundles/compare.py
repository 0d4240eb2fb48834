"""Candidates side by side on one's own questions: quality, speed, memory, size and licence.

Each candidate is installed for a moment as a site would have it, and asked by ``fieldpost eval``. What may not be
passed on is measured all the same, and said to be so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bundles.errors import RecipeError
from bundles.fetch import list_repository
from bundles.format.licence_policy import judge
from bundles.indexer import Indexer, fieldpost_index
from bundles.licences import effective_licence
from bundles.lock import LockedFile, make_lock, read_lock
from bundles.recipe import Component, Part, Recipe, load_recipe
from bundles.recipe_table import FileSource
from bundles.trial import evaluate, tried

SET = "compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A bundle to be, with the questions in it."""

    label: str
    recipe: Recipe
    locked: tuple[LockedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the comparison."""

    candidate: str
    adapter: str | None
    right: Mapping[str, float]
    """Share of right answers, with the 95 % interval and the number of questions."""
    answer_f1: float | None
    recall: float | None
    """Share of questions whose answer is among the three passages found first."""
    tokens_per_s: float | None
    first_token_s: float | None
    ram_mb: float
    """The most that the box's processes held together."""
    weights_bytes: int
    licence: str
    verdict: str
    """``allow``, ``conditional``, ``ask`` or ``deny``."""


def candidates(recipes: Sequence[Path], questions: Path, models: Sequence[Path] = ()) -> Iterator[Candidate]:
    """Every recipe with the questions in it; with ``models``, each of them in the place of its answering model.

    Raises:
        RecipeError, LockError, FetchError: a recipe cannot be used.
    """
    for path in recipes:
        recipe = load_recipe(path)
        kept = tuple(c for c in recipe.components if c.kind != "evalset")
        locked = read_lock(recipe) if recipe.lock_path.exists() else make_lock(recipe, list_repository)
        locked = tuple(file for file in locked if not file.component.startswith("evalset/"))
        asked = _with(replace(recipe, components=kept), _evalset(questions), locked)
        if not models:
            yield replace(asked, label=path.stem if path.stem != "recipe" else path.resolve().parent.name)
        for file in models:
            yield replace(_exchanged(asked, file), label=file.stem)


def _evalset(questions: Path) -> Component:
    source = FileSource(file=str(questions.resolve()))
    parts = (Part(role="questions", source=source),)
    return Component(kind="evalset", name=SET, version="0", licence="CC0-1.0", publisher="trial", parts=parts)


def _with(recipe: Recipe, component: Component, locked: tuple[LockedFile, ...]) -> Candidate:
    """The recipe with one more component, locked."""
    added = make_lock(replace(recipe, components=(component,), packages=()), list_repository)
    # Models come first: adapters look for their base among what is prepared already.
    components = (component, *recipe.components) if component.kind == "model" else (*recipe.components, component)
    return Candidate(label="", recipe=replace(recipe, components=components), locked=(*locked, *added))


def _exchanged(candidate: Candidate, file: Path) -> Candidate:
    recipe = candidate.recipe
    old = next((c for c in recipe.components if c.kind == "model" and c.task != "embed"), None)
    if old is None:
        raise RecipeError(f"{recipe.path} has no model that answers.", todo="Name another recipe.")
    new = replace(old, parts=(Part(role="weights", source=FileSource(file=str(file.resolve()))),))
    others = tuple(c for c in recipe.components if c is not old)
    locked = tuple(one for one in candidate.locked if one.component != old.label)
    return _with(replace(recipe, components=others), new, locked)


def measure(
    candidate: Candidate,
    *,
    installer: Path,
    cache: Path,
    tell: Callable[[str], object],
    indexer: Indexer = fieldpost_index,
) -> list[Result]:
    """Ask one candidate, alone and through each of its adapters.

    Raises:
        TrialFailed: it could not be installed or asked.
        BundleError: one of its kinds, for the gate that refused.
    """
    results = []
    tell(f"{candidate.label}: installing it for a moment ...")
    trial = tried(candidate.recipe, candidate.locked, installer=installer, cache=cache, indexer=indexer)
    with trial as (recipe, home):
        for adapter in (None, *(c for c in recipe.components if c.kind == "adapter")):
            tell(f"{candidate.label}: asking{f' through {adapter.name}' if adapter else ''} ...")
            report = evaluate(home, SET, adapter=adapter.name if adapter else None)
            results.append(_result(candidate, recipe, adapter, report))
    return results


def _result(candidate: Candidate, recipe: Recipe, adapter: Component | None, report: Mapping[str, Any]) -> Result:
    models = {c.name: c for c in recipe.components if c.kind == "model"}
    answering = next(c for c in models.values() if c.task != "embed")
    licence = effective_licence(adapter, models) if adapter else answering.licence
    overall, speed = report["overall"], report["speed"]

    def value(name: str) -> float | None:
        return float(overall[name]["value"]) if name in overall else None

    return Result(
        candidate=candidate.label,
        adapter=adapter.name if adapter else None,
        right=overall["right"],
        answer_f1=value("answer_f1"),
        recall=value("recall@3"),
        tokens_per_s=speed["tokens_per_s"],
        first_token_s=speed["first_token_s_p50"],
        ram_mb=speed["peak_rss_mb"],
        weights_bytes=sum(
            file.size for file in candidate.locked if file.component == answering.label and file.role == "weights"
        ),
        licence=licence,
        verdict=judge(licence, recipe.accepted_licences).outcome,
    )
