"""The frame around every benchmark: its rows as a table for people, or as one JSON object for scripts.

A benchmark is a module beside this one with ``measure(quick: bool) -> list[Row]``. Its targets stand in its code and
are shown whether they are met or not; no benchmark ever fails a build.
"""

import importlib
import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import click


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured figure. ``target`` is a bound: the value must be at least, or with ``lower`` at most, that."""

    metric: str
    value: float
    unit: str
    target: float | None = None
    lower: bool = False

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value <= self.target if self.lower else self.value >= self.target


def names() -> list[str]:
    """Benchmarks there are."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in ("__init__", "frame", "load"))


def machine() -> str:
    """The machine in one line, as far as it matters for the figures."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    kib = int(Path("/proc/meminfo").read_text().split()[1])
    cores = Path("/proc/cpuinfo").read_text().count("processor\t")
    return f"{cpu}, {cores} cores, {kib / (1 << 20):.0f} GiB, Python {platform.python_version()}"


def table(name: str, rows: list[Row]) -> str:
    """The rows for people."""
    cells = [("metric", "value", "unit", "target", "met")]
    for row in rows:
        target = "" if row.target is None else f"{'<=' if row.lower else '>='} {row.target:g}"
        met = {None: "", True: "yes", False: "NO"}[row.met]
        cells.append((row.metric, f"{row.value:.4g}", row.unit, target, met))
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    sides = ("<", ">", "<", ">", ">")
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True))
        for line in cells
    ]
    return "\n".join([f"{name}: {machine()}", "", *lines])


@click.command()
@click.argument("name", type=click.Choice(names()))
@click.option("--quick", is_flag=True, help="Fewer rounds; ends within 50 seconds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object in place of the table.")
def main(name: str, quick: bool, as_json: bool) -> None:
    """Measure one part of Fieldpost and show its figures beside their targets.

    \b
    scripts/bench pipeline
    scripts/bench pipeline --quick --json
    """
    rows = importlib.import_module(f"tests.benchmarks.{name}").measure(quick)
    if as_json:
        shown = [{"metric": r.metric, "value": r.value, "unit": r.unit, "target": r.target, "met": r.met} for r in rows]
        json.dump({"name": name, "machine": machine(), "rows": shown}, sys.stdout, ensure_ascii=False)
        print()
    else:
        print(table(name, rows))


if __name__ == "__main__":
    main()
