"""A contributor's working folder, checked as headquarters will: every gate, and the answers with and without it.

Findings come in the order of the checks; the first refusal ends them, because what follows would only echo it.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bundles.build import gather, look_into
from bundles.card import lacks, read_card, to_write
from bundles.components import PreparedComponent
from bundles.contribute import RECIPE
from bundles.errors import RecipeError, TrialFailed
from bundles.fetch import list_repository
from bundles.format.errors import BundleError
from bundles.format.kinds import CONTRIBUTED
from bundles.indexer import Indexer, fieldpost_index
from bundles.licences import check_licences, effective_licence
from bundles.lock import Lister, make_lock
from bundles.recipe import Component, Recipe, load_recipe
from bundles.scan import LIMITED
from bundles.trial import evaluate, installed

CARD = "README.md"
GOOD, TO_DO, BAD = "good", "to do", "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    outcome: str
    """``good``; ``to do``, which only packing refuses; or ``bad``."""
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A folder whose files passed every gate."""

    recipe: Recipe
    components: tuple[PreparedComponent, ...]
    """All of them, also those that are here only to try with."""
    findings: tuple[Finding, ...]

    @property
    def own(self) -> tuple[PreparedComponent, ...]:
        """What is packed: kinds that contributors sign, under the folder's publisher."""
        return tuple(c for c in self.components if c.kind in CONTRIBUTED and c.publisher == self.recipe.publisher)


@contextmanager
def looked_into(
    folder: Path,
    *,
    cache: Path,
    to_try: bool = False,
    indexer: Indexer = fieldpost_index,
    lister: Lister = list_repository,
) -> Iterator[Looked]:
    """Pass a folder through the gates; what was made for it is there until the block ends.

    Args:
        to_try: also what is there only to try with.

    Raises:
        BundleError: one of its kinds, for the gate that refused.
    """
    recipe = load_recipe(folder / RECIPE)
    if recipe.packages:
        raise RecipeError(f"{recipe.path} takes in packages.", todo="Leave that to headquarters.")
    if not to_try:
        own = tuple(c for c in recipe.components if c.kind == "model" or c.publisher == recipe.publisher)
        recipe = replace(recipe, components=own)
    locked = make_lock(recipe, lister)
    _check_base(recipe)
    check_licences(recipe)
    gathered = gather(recipe, locked, cache)
    with tempfile.TemporaryDirectory(prefix="fieldpost-check-") as work:
        components = look_into(recipe, gathered, {}, Path(work), indexer)
        looked = Looked(recipe=recipe, components=components, findings=())
        if not looked.own:
            raise RecipeError(
                f"{recipe.path} holds nothing of {recipe.publisher}'s to pack.",
                needed=f"One of {', '.join(CONTRIBUTED)} under that publisher.",
            )
        yield replace(looked, findings=tuple(_findings(looked)))


def _check_base(recipe: Recipe) -> None:
    """An adapter stands for one exact file; without its digest, another could slip in beside the next download."""
    models = {c.name: c for c in recipe.components if c.kind == "model"}
    for adapter in (c for c in recipe.components if c.kind == "adapter"):
        base = models[adapter.base or ""]
        if any(part.role == "weights" and part.source.sha256 is None for part in base.parts):
            raise RecipeError(
                f"{recipe.path}: {base.label}, the base of {adapter.label}, has no sha256.",
                needed="An adapter is for one exact file.",
                todo='Add sha256 = "..." to the model.',
            )


def _findings(looked: Looked) -> Iterator[Finding]:
    recipe = looked.recipe
    models = {c.name: c for c in recipe.components if c.kind == "model"}
    own = {(c.kind, c.name) for c in looked.own}
    components = [c for c in recipe.components if (c.kind, c.name) in own]
    yield Finding(check="recipe", outcome=GOOD, words=f"{', '.join(c.label for c in components)} by {recipe.publisher}")
    for component in components:
        licence = effective_licence(component, models)
        yield Finding(check="licence", outcome=GOOD, words=f"{component.label}: {licence} may be passed on")
    if LIMITED:
        yield Finding(check="files", outcome=GOOD, words=f"{sum(len(c.layers) for c in looked.own)} files looked into")
    else:
        words = "looked into, but this system limits no child's memory: take weights only from people you trust"
        yield Finding(check="files", outcome=TO_DO, words=words)
    for prepared in looked.own:
        yield from _texts(prepared)
        if prepared.kind == "adapter":
            yield from _adapter(recipe, prepared, models)
    yield from _questions(looked)


def _texts(component: PreparedComponent) -> Iterator[Finding]:
    label = f"{component.kind}/{component.name}"
    layers = {layer.path: layer for layer in component.layers}
    if CARD in layers:
        text = layers[CARD].here.read_text(encoding="utf-8")
        missing = lacks(read_card(text), component.licence)
        for what in missing:
            yield Finding(check="card", outcome=TO_DO, words=f"{label}: {what}")
    elif component.kind != "evalset":
        yield Finding(check="card", outcome=TO_DO, words=f'{label} has no card: add card = "README.md"')
    for path, layer in layers.items():
        if layer.weights or path.endswith((".sqlite", ".gguf", ".bin", ".model")):
            continue
        places = to_write(layer.here.read_text(encoding="utf-8", errors="replace"))
        if places:
            yield Finding(check="to write", outcome=TO_DO, words=f"{label}, {path}: {', '.join(places)}")


def _questions(looked: Looked) -> Iterator[Finding]:
    """Questions whose document is in no document pack of the folder: on a box nothing could answer them."""
    packs = [component for component in looked.components if component.kind == "docpack"]
    documents = {Path(layer.path).name for pack in packs for layer in pack.layers}
    for component in (one for one in looked.own if one.kind == "evalset" and packs):
        lost = sorted({name for name in _documents_asked(component) if Path(name).name not in documents})
        if lost:
            words = f"evalset/{component.name} asks about {', '.join(lost)}, which is in no document pack here"
            yield Finding(check="questions", outcome=TO_DO, words=words)


def _documents_asked(component: PreparedComponent) -> Iterator[str]:
    for layer in component.layers:
        for line in layer.here.read_text(encoding="utf-8").splitlines() if layer.path.endswith(".jsonl") else ():
            with suppress(ValueError):  # what the line is lacking, the trial says
                question = json.loads(line)
                if isinstance(question, dict) and isinstance(question.get("document"), str):
                    yield question["document"]


def _adapter(recipe: Recipe, prepared: PreparedComponent, models: Mapping[str, Component]) -> Iterator[Finding]:
    component = next(c for c in recipe.components if c.kind == "adapter" and c.name == prepared.name)
    base = models[component.base or ""]
    facts = prepared.facts
    words = f"fits {base.name}, {facts.architecture if facts else '?'}, {prepared.annotations['org.fieldpost.base']}"
    yield Finding(check="base", outcome=GOOD, words=words)
    peft = next((part.source for part in component.parts if part.role == "peft"), None)
    if peft is not None:
        from bundles.lora_convert import read_peft

        lora = read_peft((recipe.folder / peft.file).parent)
        if not any(b.any() for _, b in lora.modules.values()):
            yield Finding(check="adapter", outcome=TO_DO, words="it changes nothing yet: train it, with train.py")
        else:
            ranks = sorted({a.shape[0] for a, _ in lora.modules.values()})
            words = f"converted: {len(lora.modules)} maps, rank {', '.join(map(str, ranks))}"
            yield Finding(check="adapter", outcome=GOOD, words=words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One evaluation set, asked without and with an adapter; without one, ``after`` is None."""

    set_name: str
    adapter: str | None
    before: Mapping[str, Any]
    """What ``fieldpost eval --json`` says."""
    after: Mapping[str, Any] | None


def try_out(looked: Looked, *, installer: Path, tell: Callable[[str], object]) -> list[Compared]:
    """Install the folder's bundle for a moment and ask every evaluation set in it, of the base and of each adapter.

    Args:
        tell: is told what is being done, a line each time.

    Raises:
        TrialFailed: it could not be installed or asked.
    """
    names = {kind: [c.name for c in looked.components if c.kind == kind] for kind in ("evalset", "adapter", "model")}
    if not names["model"] or not names["evalset"]:
        return []
    tell("installing it for a moment ...")
    done = []
    with installed(looked.recipe, looked.components, installer=installer) as home:
        for set_name in names["evalset"]:
            tell(f"asking {set_name} ...")
            before = evaluate(home, set_name)
            for adapter in names["adapter"]:
                tell(f"asking {set_name} through {adapter} ...")
                after = evaluate(home, set_name, adapter=adapter)
                done.append(Compared(set_name=set_name, adapter=adapter, before=before, after=after))
            if not names["adapter"]:
                done.append(Compared(set_name=set_name, adapter=None, before=before, after=None))
    return done


def changed(compared: Compared) -> Sequence[str]:
    """The difference in words, figures with their 95 % interval."""
    lines = []
    after = compared.after
    for name, figure in compared.before["overall"].items():
        now = after["overall"].get(name) if after else None
        change = f" -> {_figure(now)}, {now['value'] - figure['value']:+.3f}" if now else ""
        lines.append(f"{name:<22} {_figure(figure)}{change}")
    if after is not None:
        was = {q["id"]: q["right"] for q in compared.before["questions"]}
        for verb, right in (("now right", True), ("now wrong", False)):
            ids = [q["id"] for q in after["questions"] if q["right"] is right and was.get(q["id"]) is not right]
            lines.append(f"{verb:<22} {', '.join(ids) or 'none'}")
    return lines


def _figure(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.2f}-{figure['high']:.2f}, {figure['n']})"


def refusal(error: BundleError) -> Finding:
    """A gate's refusal as a finding."""
    check = {"RecipeError": "recipe", "LicenceRefused": "licence", "LockError": "files", "ScanRefused": "files"}
    name = "evaluation" if isinstance(error, TrialFailed) else check.get(type(error).__name__, "files")
    return Finding(check=name, outcome=BAD, words=str(error))
