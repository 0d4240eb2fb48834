"""``fieldpost bench``: what this box can serve, and what it costs."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from appliance.command import home_option, json_option
from appliance.config import CostConfig, Home
from appliance.costs import SOURCES, Work, capacity, cost, paid


@click.command()
@home_option
@click.option("--people", type=click.IntRange(1, 64), default=16, show_default=True, help="At most so many at once.")
@json_option
def bench(home: Path, people: int, as_json: bool) -> None:
    """Measure this box: how many people it serves at once, with which memory and energy, and what tokens cost.

    Takes some minutes. Stop fieldpost serve before, or both are slow. Prices and watts come from [cost] in config.toml.

    \b
    fieldpost bench --home /srv/fieldpost
    fieldpost bench --home /srv/fieldpost --people 4 --json
    """
    from appliance.bench import PATIENCE_S, READING, Crowd, measure
    from appliance.box import open_box

    def show(crowd: Crowd) -> None:
        if not as_json:
            used = f"{crowd.joules / crowd.generated_tokens:.2f}" if crowd.joules and crowd.generated_tokens else "-"
            click.echo(
                f"{crowd.people:>6} {crowd.tokens_s:>9.1f} {crowd.growth:>9.1f} {crowd.first_p50:>8.2f} "
                f"{crowd.first_p95:>8.2f} {crowd.gap_p95 * 1000:>9.0f} {used:>8}  {'' if crowd.served else 'too slow'}"
            )

    with open_box(Home(root=home), recorded=False) as box:
        settings = box.config.cost
        if not as_json:
            click.echo(f"Model       {box.pipeline.engine.model}")
            click.echo("people  tokens/s  each t/s   first s  95 % in  between ms  J/token")
        report = measure(box, most=people, note=show)
    work = report.work(settings)
    if as_json:
        click.echo(json.dumps({**asdict(report), "people": report.people, "cost": _costs(work, settings)}))
        return
    click.echo(
        f"Serves      {report.people} people at once: 19 in 20 answers begin within {PATIENCE_S:.0f} s "
        f"and grow by {READING:.0f} tokens a second or more"
    )
    click.echo(f"Questions   {3600 / work.seconds:.0f} an hour at most ({work.prompt_tokens:.0f} tokens read, "
               f"{work.answer_tokens:.0f} written)")  # fmt: skip
    click.echo(f"Memory      {report.peak_memory / (1 << 20):.0f} MB at most, of all the box's processes")
    _show_energy(work, settings)
    _show_costs(work, settings)


def _show_energy(work: Work, settings: CostConfig) -> None:
    if work.joules is None:
        click.echo("Energy      unknown: this machine does not measure it (or only for root); set [cost] watts")
        return
    how = f"{settings.watts:g} W, as set" if settings.watts else "the processor alone, as it measures itself"
    click.echo(f"Energy      {work.joules:.0f} J a question ({how})")


def _show_costs(work: Work, settings: CostConfig) -> None:
    most = capacity(work, settings)
    crowded = "" if settings.questions <= most else f", of which it can answer {most:.0f}"
    click.echo(
        f"Cost        {settings.currency} for a million tokens, at {settings.questions} questions a day{crowded}"
    )
    click.echo("            power      energy   hardware    storage operations      total   always busy")
    for source in SOURCES:
        asked = cost(work, settings, source, questions=settings.questions)
        busy = cost(work, settings, source, questions=most)
        figures = (asked.energy, asked.hardware, asked.storage, asked.operations, asked.total, busy.total)
        click.echo(f"            {source:<9}" + " ".join(f"{_money(figure):>10}" for figure in figures))
    click.echo(f"            paid API {_money(paid(work, settings)):>65}")
    unset = [source for source in SOURCES if not getattr(settings, source)]
    unset += [name for name in ("hardware", "storage", "operations", "wage") if not getattr(settings, name)]
    unset += [name for name in ("api_input", "api_output") if not getattr(settings, name)]
    if unset:
        click.echo(f"            not set in [cost] of config.toml: {', '.join(unset)}")


def _money(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.2f}"


def _costs(work: Work, settings: CostConfig) -> dict[str, object]:
    return {
        "currency": settings.currency,
        "questions": settings.questions,
        "capacity": capacity(work, settings),
        "work": asdict(work),
        "paid_api": paid(work, settings),
        **{
            source: {**asdict(found), "total": found.total}
            for source in SOURCES
            for found in [cost(work, settings, source, questions=settings.questions)]
        },
    }
