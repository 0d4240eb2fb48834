"""``fieldpost eval``: run the release's evaluation sets and print, compare, record or check what came of it."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from appliance.command import home_option, json_option, progress_bar
from appliance.config import Home
from appliance.errors import EvalError

_file = click.Path(path_type=Path, dir_okay=False)
_there = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command("eval")
@home_option
@click.option("--set", "set_name", help="Which evaluation set of the bundle. Default: all, one after the other.")
@click.option("--adapter", help="Answer through this adapter of the bundle.")
@click.option("--limit", type=click.IntRange(min=1), help="Ask at most so many questions, the same ones each time.")
@click.option("--baseline", type=_there, help="Compare with what an earlier release printed with --json.")
@click.option("--record", type=_file, help="Write the least that a box with this release must reach.")
@click.option(
    "--thresholds", "least_file", type=_there, help="Check against such a file; exit 1 if something is below."
)
@json_option
def evaluate(
    home: Path,
    set_name: str | None,
    adapter: str | None,
    limit: int | None,
    baseline: Path | None,
    record: Path | None,
    least_file: Path | None,
    as_json: bool,
) -> None:
    """Ask the bundle's own questions and tell how good the answers are. Nothing of it goes into the log.

    \b
    fieldpost eval --home /srv/fieldpost
    fieldpost eval --home /srv/fieldpost --set questions --json > today.json
    fieldpost eval --home /srv/fieldpost --set questions --baseline last-month.json
    fieldpost eval --home /srv/fieldpost --set questions --record thresholds.json
    fieldpost eval --home /srv/fieldpost --set questions --thresholds thresholds.json
    With --json each set gives one JSON object on one line.
    """
    from appliance.box import open_box
    from appliance.evals import compare
    from appliance.evals.run import evaluate as run
    from appliance.evals.run import installed, questions_of
    from appliance.questions import some

    earlier = _read(baseline) if baseline else None
    least = compare.checked(_read(least_file)) if least_file else None
    if least and set_name is None:
        set_name = least["set"]
    if least and limit is None:
        limit = least["limit"]
    with open_box(Home(root=home), recorded=False) as box:
        names = installed(box, set_name)
        if len(names) > 1 and (earlier or record):
            raise click.UsageError(f"Name one set with --set: {', '.join(names)}.")
        low: list[str] = []
        for name in names:
            questions = some(questions_of(box, name), limit)
            with progress_bar(len(questions), name) as bar:
                report = run(box, name, questions, adapter=adapter, progress=bar.update)
            if earlier is not None:
                report["compared"] = compare.compared(report, earlier)
            if record:
                _write(record, compare.thresholds(report, limit))
            if least is not None:
                low = report["below"] = compare.fallen(report, least)
            click.echo(json.dumps(report, ensure_ascii=False) if as_json else _for_people(report))
    if low:
        click.echo("Below its threshold:\n" + "\n".join(f"  {line}" for line in low), err=True)
        sys.exit(1)


def _for_people(report: Mapping[str, Any]) -> str:
    release, speed = report["release"], report["speed"]
    adapter = f", adapter {report['adapter']}" if report["adapter"] else ""
    lines = [f"{report['set']} on {release['name']} {release['version']}, model {report['model']}{adapter}", ""]
    languages = {**report["languages"], "all": report["overall"]}
    names = list(dict.fromkeys(name for figures in languages.values() for name in figures))
    lines.append(f"{'':<22}" + "".join(f"{lang:>28}" for lang in languages))
    for name in names:
        lines.append(f"{name:<22}" + "".join(f"{_figure(figures.get(name)):>28}" for figures in languages.values()))
    lines += ["", "Each figure with its 95 % interval and the number of its cases."]
    wrong = [q for q in report["questions"] if not q["right"]]
    if wrong:
        lines += ["", "Wrong:"] + [f"  {q['id']} ({q['lang']}): {_answered(q)}" for q in wrong]
    rate = "no" if speed["tokens_per_s"] is None else f"{speed['tokens_per_s']:.0f}"
    first = "" if speed["first_token_s_p50"] is None else f", first after {speed['first_token_s_p50']:.2f} s (median)"
    lines += ["", f"{rate} tokens/s{first}; {speed['peak_rss_mb']:.0f} MB of memory at most."]
    if "compared" in report:
        lines += ["", *_changes(report["compared"])]
    return "\n".join(lines)


def _answered(question: Mapping[str, Any]) -> str:
    said = question["error"] or question["answer_working"] or "nothing"
    return " ".join(str(said).split())[:160]


def _changes(changes: Mapping[str, Any]) -> list[str]:
    lines = [f"Against {changes['release']['name']} {changes['release']['version']}:"]
    for lang, metrics in changes["languages"].items():
        moved = {name: m for name, m in metrics.items() if m["change"]}
        lines += [f"  {lang} {n}: {m['before']:.3f} -> {m['now']:.3f} ({m['change']:+.3f})" for n, m in moved.items()]
    for name, label in (("became_right", "Now right"), ("became_wrong", "Now wrong"), ("new", "New"), ("gone", "Gone")):
        if changes[name]:
            lines.append(f"  {label}: {', '.join(changes[name])}")
    if changes["became_right"] or changes["became_wrong"]:
        lines.append(f"  By chance alone so uneven a change has a likelihood of {changes['p_value']:.2f}.")
    return lines if len(lines) > 1 else [f"{lines[0]} nothing changed."]


def _figure(figure: Mapping[str, float] | None) -> str:
    return "-" if figure is None else f"{figure['value']:.3f} ({figure['low']:.2f}-{figure['high']:.2f}, {figure['n']})"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EvalError(f"{path} is no JSON: {error}.", needed="What fieldpost eval wrote is needed.") from error


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
