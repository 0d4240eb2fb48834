"""The commands that help to choose: ``compare``, ``measure`` and ``quantize``."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click

from bundles.compare import Result, candidates, measure
from bundles.measure import measure_models
from bundles.options import FILE, PATH
from bundles.quantize import KINDS, Weights, shrink
from bundles.telling import default_cache, size, table

INSTALLER = Path(__file__).parents[1] / "dist" / "installer.pyz"
_CACHE = click.option("--cache", type=PATH, help="Where fetched files are kept.  [default: ~/.cache/fieldpost]")
_INSTALLER = click.option(
    "--installer", type=PATH, default=INSTALLER, show_default="dist/installer.pyz", help="From scripts/build."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


def register(main: click.Group) -> None:
    """Add these commands to ``fieldpost-bundle``."""
    for command in (compare, measure_command, quantize):
        main.add_command(command)


@click.command()
@click.argument("recipes", nargs=-1, required=True, type=FILE)
@click.option("--set", "questions", required=True, type=FILE, help="Your questions, a .jsonl as in an evaluation set.")
@click.option(
    "--model", "models", multiple=True, type=FILE, help="Try this .gguf in the recipe's place; again for more."
)
@_INSTALLER
@_CACHE
@_JSON
def compare(
    recipes: tuple[Path, ...],
    questions: Path,
    models: tuple[Path, ...],
    installer: Path,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Ask several RECIPES the same questions, and print quality, speed, memory and licence side by side.

    \b
    fieldpost-bundle compare clinic.toml school.toml --set my-questions.jsonl
    fieldpost-bundle compare clinic.toml --model q8.gguf --model q4.gguf --set my-questions.jsonl

    Adapters of a recipe are asked as well. Each candidate is installed for a moment, one after the other.
    """
    results: list[Result] = []
    for candidate in candidates(recipes, questions, models):
        results += measure(candidate, installer=installer, cache=cache or default_cache(), tell=_tell)
    if as_json:
        click.echo(json.dumps([asdict(result) for result in results], indent=2))
        return
    click.echo(_side_by_side(results))
    click.echo("\nright: with its 95 % interval and the number of questions. RAM: the most that the box held.")


@click.command("measure")
@click.argument("recipe", type=FILE)
@click.option("--out", required=True, type=PATH, help="The folder for the files of thresholds.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many questions of each set, here and on a box.")
@_INSTALLER
@_CACHE
@_JSON
def measure_command(
    recipe: Path, out: Path, limit: int | None, installer: Path, cache: Path | None, as_json: bool
) -> None:
    """Measure what each model of RECIPE needs and reaches, for its memory_mb and thresholds.

    \b
    fieldpost-bundle measure clinic.toml --out thresholds --limit 20

    With these a box chooses the model that fits it, and tries every update out before it uses it.
    """
    made = measure_models(recipe, out=out, limit=limit, installer=installer, cache=cache or default_cache(), tell=_tell)
    if as_json:
        told = [asdict(one) | {"thresholds": [str(path) for path in one.thresholds]} for one in made]
        click.echo(json.dumps(told, indent=2))
        return
    rows = [(one.model, str(one.memory_mb), ", ".join(map(str, one.thresholds))) for one in made]
    click.echo(table(("model", "memory_mb", "thresholds"), rows))


@click.command()
@click.argument("model", type=FILE)
@click.option("--to", "kinds", required=True, help=f"One or more of {', '.join(KINDS)}, separated by commas.")
@click.option("--out", required=True, type=PATH, help="The folder for the new files.")
@click.option(
    "--text", "texts", multiple=True, type=FILE, help="A text in your language; tells the loss as perplexity."
)
@click.option("--recipe", type=FILE, help="With --set: also ask each file in this recipe's place.")
@click.option("--set", "questions", type=FILE, help="Your questions, a .jsonl as in an evaluation set.")
@_INSTALLER
@_CACHE
@_JSON
def quantize(
    model: Path,
    kinds: str,
    out: Path,
    texts: tuple[Path, ...],
    recipe: Path | None,
    questions: Path | None,
    installer: Path,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Make smaller files of MODEL, weights in F16, with llama.cpp's own quantizer, and tell what is lost.

    \b
    fieldpost-bundle quantize model-F16.gguf --to Q8_0,Q4_K_M --out small --text guide.md
    fieldpost-bundle quantize model-F16.gguf --to Q4_K_M --out small --recipe clinic.toml --set my-questions.jsonl
    """
    wanted = [kind.strip() for kind in kinds.split(",")]
    unknown = sorted(set(wanted) - set(KINDS))
    if unknown:
        raise click.UsageError(f"{', '.join(unknown)}: known are {', '.join(KINDS)}.")
    if (recipe is None) is not (questions is None):
        raise click.UsageError("--recipe and --set belong together.")
    made = shrink(model, wanted, out, texts=texts, tell=_tell)
    results: list[Result] = []
    if recipe is not None and questions is not None:
        for candidate in candidates([recipe], questions, [weights.path for weights in made]):
            results += measure(candidate, installer=installer, cache=cache or default_cache(), tell=_tell)
    if as_json:
        weights = [asdict(one) | {"path": str(one.path)} for one in made]
        click.echo(json.dumps({"weights": weights, "compared": [asdict(r) for r in results]}, indent=2))
        return
    click.echo(_losses(made))
    if results:
        click.echo("\n" + _side_by_side(results))


def _losses(made: list[Weights]) -> str:
    source = made[0]
    rows = []
    for one in made:
        change = ""
        if one.perplexity is not None and source.perplexity:
            change = f"{100 * (one.perplexity / source.perplexity - 1):+.2f} %"
        told = "-" if one.perplexity is None else f"{one.perplexity:.4f}"
        share = f"{100 * one.bytes / source.bytes:.0f} %"
        rows.append((one.path.name, one.kind, size(one.bytes), share, told, change))
    return table(("file", "kind", "size", "of the source", "perplexity", "loss"), rows)


def _side_by_side(results: list[Result]) -> str:
    number: Callable[[float | None, int], str] = lambda v, digits: "-" if v is None else f"{v:.{digits}f}"  # noqa: E731
    rows = [
        (
            r.candidate,
            r.adapter or "-",
            f"{r.right['value']:.3f} ({r.right['low']:.2f}-{r.right['high']:.2f}, {r.right['n']})",
            number(r.answer_f1, 3),
            number(r.recall, 3),
            number(r.tokens_per_s, 1),
            number(r.first_token_s, 2),
            f"{r.ram_mb:,.0f} MB",
            size(r.weights_bytes),
            r.licence if r.verdict in ("allow", "conditional") else f"{r.licence} ({r.verdict})",
        )
        for r in results
    ]
    heads = ("candidate", "adapter", "right", "F1", "found", "tokens/s", "first s", "RAM", "weights", "licence")
    return table(heads, rows)


def _tell(line: str) -> None:
    click.echo(line, err=True)
