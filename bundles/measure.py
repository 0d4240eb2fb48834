"""What a recipe's models need and reach: memory, and the thresholds of its evaluation sets, measured on this machine.

Each model that answers is installed alone for a moment and asked; a box chooses by the figures.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bundles.box_command import last_words, run_box
from bundles.errors import RecipeError, TrialFailed
from bundles.fetch import list_repository
from bundles.indexer import Indexer, fieldpost_index
from bundles.lock import LockedFile, make_lock
from bundles.recipe import Component, load_recipe
from bundles.trial import EVAL_TIMEOUT_S, tried

ROUND_MB = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One model."""

    model: str
    memory_mb: int
    """The most that the box's processes held, rounded up: for ``memory_mb`` in the recipe."""
    thresholds: tuple[Path, ...]
    """The files that were written, for each set alone and through each adapter: for ``thresholds`` in the recipe."""


def measure_models(
    recipe_path: Path,
    *,
    out: Path,
    limit: int | None,
    installer: Path,
    cache: Path,
    tell: Callable[[str], object],
    indexer: Indexer = fieldpost_index,
) -> list[Measured]:
    """Measure each model that answers.

    Args:
        out: the folder for files of thresholds.
        limit: at most so many questions of each set; a box is asked as many.

    Raises:
        RecipeError: no model answers, or there is no evaluation set.
        TrialFailed: one could not be installed or asked.
    """
    recipe = load_recipe(recipe_path)
    sets = [c.name for c in recipe.components if c.kind == "evalset"]
    answering = [c for c in recipe.components if c.kind == "model" and c.task != "embed"]
    if not sets or not answering:
        raise RecipeError(f"{recipe_path} has no {'model that answers' if sets else '[[evalset]]'}.")
    out.mkdir(parents=True, exist_ok=True)
    measured = []
    for model in answering:
        alone = replace(recipe, components=tuple(_with_alone(recipe.components, model)))
        locked: Sequence[LockedFile] = make_lock(alone, list_repository)
        tell(f"{model.name}: installing it for a moment ...")
        with tried(alone, locked, installer=installer, cache=cache, indexer=indexer) as (_, home):
            adapters = [c.name for c in alone.components if c.kind == "adapter"]
            rounds = [(name, adapter) for name in sets for adapter in (None, *adapters)]
            files = tuple(
                out / f"{'-'.join(filter(None, (name, model.name, adapter)))}.json" for name, adapter in rounds
            )
            reports = [
                _record(home, name, adapter, file, limit, tell)
                for (name, adapter), file in zip(rounds, files, strict=True)
            ]
        peak = max(float(report["speed"]["peak_rss_mb"]) for report in reports)
        rounded = math.ceil(peak / ROUND_MB) * ROUND_MB
        measured.append(Measured(model=model.name, memory_mb=rounded, thresholds=files))
    return measured


def _with_alone(components: Sequence[Component], model: Component) -> Iterator[Component]:
    """What a box has when it answers with this model; its programs are this workstation's own."""
    for component in components:
        another = component.kind == "model" and component.task != "embed" and component is not model
        if another or component.kind == "runtime" or component.base not in (None, model.name):
            continue
        kept = tuple(part for part in component.parts if part.role != "thresholds")
        yield replace(component, parts=kept)


def _record(
    home: Path, name: str, adapter: str | None, out: Path, limit: int | None, tell: Callable[[str], object]
) -> dict[str, Any]:
    tell(f"{name}: asking{f' through {adapter}' if adapter else ''} ...")
    words: list[str | Path] = ["eval", "--home", home, "--set", name, "--record", out, "--json"]
    if adapter is not None:
        words += ["--adapter", adapter]
    if limit is not None:
        words += ["--limit", str(limit)]
    child = run_box(*words, timeout_s=EVAL_TIMEOUT_S)
    try:
        if child.returncode:
            raise ValueError(f"it ended with {child.returncode}")
        report: dict[str, Any] = json.loads(child.stdout)
        report["speed"]["peak_rss_mb"] / 1
    except (ValueError, KeyError, TypeError) as error:
        raise TrialFailed(f"fieldpost eval on {name}: {last_words(child)}.") from error
    return report
