"""A candidate tried out before it is switched to: its model loads, and it answers the bundle's own canary questions.

The candidate's own programs do it, ``fieldpost eval``, as a process, in a home of its own that ends with the test. It
must reach what was recorded at headquarters, in each language, and must not answer fewer questions rightly than the
release in use did on this very box, by more than the recipe allows. Nothing is written into the box's data.

HOME/
  selftest/            the candidate's home while it is tried
  selftests/N.json     what came of it, for release N; the next candidate is compared with the running one's
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundles.format.durable import replace_file, sync_folder
from bundles.format.verify import VerifiedComponent
from installer.errors import SelfTestFailed
from installer.releases import RUNTIME

TIMEOUT_S = 4 * 3600
"""For one set of questions: a slow box may take a minute for each."""
NAMED = 20
"""Questions that one error names; the report has all."""
FORMAT = 1
_CONFIG = b"""\
# The self-test's own: as the thresholds were recorded, and never sparing itself.
[power]
battery_saving = 0
battery_low = 0
battery_pause = 0
celsius_saving = 0
celsius_low = 0
celsius_pause = 0
memory_saving = 0
memory_low = 0
memory_pause = 0
"""
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A release that is to be used."""

    number: int
    folder: Path
    model: VerifiedComponent | None
    canaries: tuple[VerifiedComponent, ...]
    """Evaluation sets that bring thresholds; else the bundle's first set, of which one question is asked."""


def candidate(
    number: int, folder: Path, components: tuple[VerifiedComponent, ...], model: VerifiedComponent | None
) -> Candidate:
    """The candidate made of these components."""
    sets = [part for part in components if part.manifest.kind == "evalset"]
    with_thresholds = [part for part in sets if _thresholds(part)]
    return Candidate(number=number, folder=folder, model=model, canaries=tuple(with_thresholds or sets[:1]))


def self_test(home: Path, new: Candidate, running: int | None, progress: Callable[[int, int], None]) -> str:
    """Try a candidate; returns what came of it, in a sentence.

    Args:
        running: the release in use, whose own report is compared with.
        progress: told how many rounds of questions were asked, and of how many.

    Raises:
        SelfTestFailed: it does not start, answers with another model, or answers worse than it may.
    """
    before = _read(home, running)
    reports: dict[str, Any] = {}
    complaints: list[str] = []
    rounds: list[tuple[VerifiedComponent, Path | None]] = []
    for part in new.canaries:
        rounds += [(part, least) for least in _thresholds_for(new, part)] or [(part, None)]
    for number, (part, least) in enumerate(rounds, start=1):
        progress(number - 1, len(rounds))
        report = _ask(home, new, part, least)
        adapter = f", adapter {report['adapter']}" if report["adapter"] else ""
        name = f"{part.manifest.name}{adapter}"
        reports[name] = report
        expected = _name(new.model)
        if report["model"] != expected:
            complaints.append(f"{report['model']} answered, and not {expected}: the model did not load.")
        complaints += [f"{name}: {words}." for words in report.get("below", [])]
        if name in before:
            complaints += _fallen(name, report, before[name], _may_fall(part))
        progress(number, len(rounds))
    _write(home, new.number, {"format": FORMAT, "passed": not complaints, "sets": reports})
    if complaints:
        raise SelfTestFailed(
            "The new release does not answer well enough on this box:"
            + "".join(f"\n  {words}" for words in complaints),
            needed="It was tried before it was switched to, and the release in use stays.",
            todo=f"Send {_path(home, new.number)} to your organisation. The release is kept in {new.folder}.",
        )
    asked = sum(len(report["questions"]) for report in reports.values())
    right = sum(bool(question["right"]) for report in reports.values() for question in report["questions"])
    return f"Tried out before it was used: {right} of {asked} test questions answered rightly." if asked else ""


def passed(home: Path, number: int) -> bool:
    """Whether this release has passed on this box already."""
    try:
        return bool(json.loads(_path(home, number).read_bytes())["passed"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def forget(home: Path, number: int) -> None:
    """Forget what came of trying it out, durably: another release may get this number."""
    path = _path(home, number)
    if path.exists():
        path.unlink()
        sync_folder(path.parent)


def _ask(home: Path, new: Candidate, part: VerifiedComponent, least: Path | None) -> dict[str, Any]:
    trial = home / "selftest"
    shutil.rmtree(trial, ignore_errors=True)
    trial.mkdir()
    try:
        (trial / "current").symlink_to(new.folder.resolve())
        (trial / "config.toml").write_bytes(_CONFIG)
        if (home / "revoked.json").exists():
            (trial / "revoked.json").symlink_to(home.resolve() / "revoked.json")
        python = (new.folder / RUNTIME).resolve() / "bin" / "python"
        command = [str(python), "-I", "-m", "appliance.cli", "eval", "--home", str(trial), "--set", part.manifest.name]
        command += ["--json", *(["--thresholds", str(least)] if least else ["--limit", "1"])]
        adapter = json.loads(least.read_bytes())["adapter"] if least else None
        command += ["--adapter", adapter] if isinstance(adapter, str) else []
        child = subprocess.run(  # noqa: S603 the signed release's own command, no shell
            command,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
        )
        report = json.loads(child.stdout)
        if (
            not isinstance(report["model"], str)
            or "adapter" not in report
            or not all("right" in one for one in report["questions"])
        ):
            raise ValueError("not what fieldpost eval says")
        return dict(report)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_started(new, str(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        said = child.stderr.decode("utf-8", "replace").strip().splitlines()
        raise _not_started(new, said[-1] if said else f"it ended with {child.returncode}") from error
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _not_started(new: Candidate, why: str) -> SelfTestFailed:
    return SelfTestFailed(
        f"The new release cannot be tried out: {why}",
        needed="It was tried before it was switched to, and the release in use stays.",
        todo=f"Send this message to your organisation. The release is kept in {new.folder}.",
    )


def _fallen(name: str, report: Mapping[str, Any], before: Mapping[str, Any], may_fall: float) -> list[str]:
    """Each language in which fewer of the questions that both were asked are right now, with those that changed."""
    was = {question["id"]: bool(question["right"]) for question in before["questions"]}
    complaints = []
    both = [question for question in report["questions"] if question["id"] in was]
    for lang in sorted({question["lang"] for question in both}):
        asked = [question for question in both if question["lang"] == lang]
        worse = [question for question in asked if was[question["id"]] and not question["right"]]
        better = sum(1 for question in asked if question["right"] and not was[question["id"]])
        if len(worse) - better > may_fall * len(asked):
            changed = "; ".join(f"{question['id']}: {question['question']}" for question in worse[:NAMED])
            complaints.append(
                f"{name}, {lang}: {len(worse)} of {len(asked)} questions are answered wrongly that the release in use "
                f"answers rightly, and {better} the other way. Wrong now: {changed}"
            )
    return complaints


def _thresholds(part: VerifiedComponent) -> list[str]:
    return [layer.path for layer in part.manifest.layers if layer.path.startswith("thresholds/")]


def _thresholds_for(new: Candidate, part: VerifiedComponent) -> list[Path]:
    """The thresholds that were recorded with the model that was chosen, alone and through its adapters."""
    found = []
    for name in _thresholds(part):
        path = new.folder / part.manifest.folder / name
        try:
            if json.loads(path.read_bytes())["model"] == _name(new.model):
                found.append(path)
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _name(model: VerifiedComponent | None) -> str:
    """As ``fieldpost eval`` names the model that answered."""
    return f"{model.manifest.name} {model.manifest.version}" if model else "none"


def _may_fall(part: VerifiedComponent) -> float:
    """The share of questions by which a new release may be worse."""
    try:
        return float(part.manifest.annotations.get("org.fieldpost.may-fall", "0"))
    except ValueError:
        return 0.0


def _path(home: Path, number: int) -> Path:
    return home / "selftests" / f"{number}.json"


def _read(home: Path, number: int | None) -> Mapping[str, Any]:
    """By set, what a release's own self-test said; empty where it had none."""
    if number is None:
        return {}
    try:
        sets = json.loads(_path(home, number).read_bytes())["sets"]
        return {name: report for name, report in sets.items() if isinstance(report.get("questions"), list)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(home: Path, number: int, value: Mapping[str, Any]) -> None:
    path = _path(home, number)
    path.parent.mkdir(exist_ok=True)
    replace_file(path, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())
