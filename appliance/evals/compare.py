"""Reports beside each other: a release against an earlier one, and a box against what its release once reached. Pure.

A report is what ``run.evaluate`` returns; files are read and written by the command.
"""

from collections.abc import Mapping
from typing import Any

from appliance.errors import EvalError
from appliance.evals.intervals import sign_test

FORMAT = 1
"""Version of the file of thresholds."""


def compared(report: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """What changed since an earlier report on the same set, over the questions that both asked.

    Raises:
        EvalError: the earlier report is none of ours, or on another set.
    """
    try:
        before = {q["id"]: bool(q["right"]) for q in earlier["questions"]}
        metrics = {
            lang: {
                name: {"before": old, "now": figure["value"], "change": round(figure["value"] - old, 4)}
                for name, figure in figures.items()
                if (old := earlier["languages"].get(lang, {}).get(name, {}).get("value")) is not None
            }
            for lang, figures in report["languages"].items()
        }
        set_name, release = earlier["set"], earlier["release"]
    except (KeyError, TypeError, AttributeError) as error:
        raise EvalError(
            f"The file to compare with is no report: {error!r}.",
            needed="What fieldpost eval --json printed is needed.",
        ) from error
    if set_name != report["set"]:
        raise EvalError(f"The file to compare with is on the set {set_name}.", needed=f"{report['set']} is needed.")
    now = {q["id"]: bool(q["right"]) for q in report["questions"]}
    better = [id_ for id_ in now if id_ in before and now[id_] and not before[id_]]
    worse = [id_ for id_ in now if id_ in before and before[id_] and not now[id_]]
    return {
        "release": release,
        "languages": metrics,
        "became_right": better,
        "became_wrong": worse,
        "p_value": round(sign_test(len(better), len(worse)), 4),
        "new": [id_ for id_ in now if id_ not in before],
        "gone": [id_ for id_ in before if id_ not in now],
    }


def thresholds(report: Mapping[str, Any], limit: int | None) -> dict[str, Any]:
    """The least that a box with this release must reach: the lower end of each figure's interval. ``limit`` is how many
    questions were asked at most; as many are asked when it is checked.

    Greedy answers hardly differ between processors; a damaged model, pack or index differs much more than this.
    """
    return {
        "format": FORMAT,
        **{name: report[name] for name in ("set", "release", "model", "adapter")},
        "limit": limit,
        "least": {
            lang: {name: figure["low"] for name, figure in figures.items()}
            for lang, figures in report["languages"].items()
        },
    }


def checked(least: Any) -> Mapping[str, Any]:
    """A file of thresholds as it was read.

    Raises:
        EvalError: it is none of ours.
    """
    good = isinstance(least, dict) and least.get("format") == FORMAT and isinstance(least.get("least"), dict)
    good = good and all(isinstance(value, dict) for value in least["least"].values())
    good = good and all(isinstance(v, int | float) for figures in least["least"].values() for v in figures.values())
    good = good and isinstance(least.get("set"), str) and isinstance(least.get("limit"), int | None)
    if not good:
        raise EvalError(
            "The file of thresholds is none of ours.",
            needed=f"One of format {FORMAT} is needed.",
            todo="Make it: fieldpost eval --record FILE",
        )
    return least  # type: ignore[no-any-return]


def fallen(report: Mapping[str, Any], least: Mapping[str, Any]) -> list[str]:
    """Each figure that is below its threshold, in words; a figure that is missing counts as fallen.

    Raises:
        EvalError: the thresholds are for another set or another adapter.
    """
    if least["set"] != report["set"] or least.get("adapter") != report["adapter"]:
        raise EvalError(
            f"The thresholds are for the set {least['set']}, adapter {least.get('adapter')}.",
            needed=f"{report['set']}, adapter {report['adapter']}, was measured.",
        )
    low = []
    for lang, figures in least["least"].items():
        for name, bound in figures.items():
            figure = report["languages"].get(lang, {}).get(name)
            if figure is None:
                low.append(f"{lang} {name}: not measured, at least {bound:.3f} is needed")
            elif figure["value"] < bound:
                low.append(f"{lang} {name}: {figure['value']:.3f}, at least {bound:.3f} is needed")
    return low
