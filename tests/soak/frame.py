"""The frame around every soak: runs one matrix, shows its table, and writes the dated result when asked to.

A soak is a module beside this one with ``ROUNDS``, how many it runs when nobody says, and
``soak(rounds: int, seed: int) -> Outcome``. The same rounds and seed do the same again. One failure makes exit code 1.
"""

import importlib
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from tests.benchmarks.frame import machine

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a soak."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    failures: tuple[str, ...] = ()
    """One sentence each, with what is needed to see it again; empty when all held."""


def names() -> list[str]:
    """Soaks there are."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in ("__init__", "frame"))


def report(name: str, outcome: Outcome, *, rounds: int, seed: int, date: datetime) -> str:
    """The outcome as a page of Markdown."""
    table = [outcome.heads, tuple("---" for _ in outcome.heads), *outcome.rows]
    lines = [
        f"# {name}",
        f"{date:%Y-%m-%d}, {machine()}. `scripts/soak {name} --rounds {rounds} --seed {seed}`: "
        + (f"**{len(outcome.failures)} failed**." if outcome.failures else "all held."),
        "",
        *("| " + " | ".join(row) + " |" for row in table),
    ]
    if outcome.failures:
        lines += ["", *(f"- {failure}" for failure in outcome.failures)]
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("name", type=click.Choice(names()))
@click.option("--rounds", type=click.IntRange(min=1), help="How many; the soak's own number by default.")
@click.option("--seed", default=0, show_default=True, help="The same seed does the same again.")
@click.option("--record", is_flag=True, help="Write the table to tests/soak/results, with the date and this machine.")
def main(name: str, rounds: int | None, seed: int, record: bool) -> None:
    """Run one long matrix and show its table; exit code 1 when anything in it failed.

    \b
    scripts/soak mutations
    scripts/soak mutations --rounds 1000 --seed 7
    """
    module = importlib.import_module(f"tests.soak.{name}")
    wanted = rounds or module.ROUNDS
    outcome = module.soak(wanted, seed)
    page = report(name, outcome, rounds=wanted, seed=seed, date=datetime.now(UTC))
    print(page, end="")
    if record:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(page)
    sys.exit(1 if outcome.failures else 0)


if __name__ == "__main__":
    main()
