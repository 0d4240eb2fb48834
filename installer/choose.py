"""Which parts of a bundle this box takes: the runtime for its machine, and the largest model that its memory holds.

Values in, values out. What a model needs was measured at headquarters and is signed with it; a file's size says little.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bundles.format.runtime_archive import Platform, parse_platform
from bundles.format.verify import VerifiedComponent
from installer.errors import Finding, NotReady
from installer.machine import Machine, Python

SYSTEM_MB = 400
"""Megabytes left for Linux and the page, besides what was measured with a model."""
_MEMORY = "org.fieldpost.memory-mb"
_TASK = "org.fieldpost.task"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a bundle comes onto this box."""

    components: tuple[VerifiedComponent, ...]
    runtime: VerifiedComponent | None
    python: Python | None
    """Runs the runtime."""
    model: VerifiedComponent | None
    """Answers; None where the box answers from documents alone."""
    why: str
    """The choice of the model, in a sentence."""
    findings: tuple[Finding, ...]


def choose(components: tuple[VerifiedComponent, ...], machine: Machine) -> Choice:
    """Choose for one machine."""
    findings: list[Finding] = []
    runtime, python = _runtime(components, machine, findings)
    model, left_out, why = _model(components, machine, findings)
    dropped = {part.manifest.target for part in left_out}
    dropped |= {p.manifest.target for p in components if p.manifest.kind == "runtime" and p is not runtime}
    bases = {_weights(part) for part in components if part.manifest.kind == "model" and part not in left_out}
    for part in components:
        base = part.manifest.annotations.get("org.fieldpost.base")
        if part.manifest.kind == "adapter" and left_out and base not in bases:
            dropped.add(part.manifest.target)
    kept = (part for part in components if part.manifest.target not in dropped)
    return Choice(
        # The box asks the first one, and a smaller one after it when its battery runs down.
        components=tuple(sorted(kept, key=lambda part: part is not model)),
        runtime=runtime,
        python=python,
        model=model,
        why=why,
        findings=tuple(findings),
    )


def platform_of(runtime: VerifiedComponent) -> Platform:
    """Where a runtime runs.

    Raises:
        ScanRefused: it does not say.
    """
    return parse_platform(runtime.manifest.annotations.get("org.fieldpost.platform", ""))


def _runtime(
    components: Iterable[VerifiedComponent], machine: Machine, findings: list[Finding]
) -> tuple[VerifiedComponent | None, Python | None]:
    runtimes = [(platform_of(part), part) for part in components if part.manifest.kind == "runtime"]
    for python in machine.pythons:
        for platform, part in runtimes:
            if (platform.system, platform.machine, platform.minor) == (machine.system, machine.processor, python.minor):
                return part, python
    if runtimes:
        pythons = ", ".join(f"Python 3.{python.minor}" for python in machine.pythons)
        made_for = ", ".join(f"{p.system} {p.machine} with Python 3.{p.minor}" for p, _ in runtimes)
        findings.append(
            Finding(
                found=f"This box has {machine.system} {machine.processor} and {pythons}.",
                needed=f"The programs on this stick are made for {made_for}.",
                todo="Install that Python, or ask your organisation for a stick for this box.",
                stops=NotReady,
            )
        )
    return None, None


def _model(
    components: tuple[VerifiedComponent, ...], machine: Machine, findings: list[Finding]
) -> tuple[VerifiedComponent | None, tuple[VerifiedComponent, ...], str]:
    """The model that answers, the answering models that are left out, and why."""
    answering = [
        part
        for part in components
        if part.manifest.kind == "model" and part.manifest.annotations.get(_TASK, "answer") == "answer"
    ]
    measured = sorted(((_need(part), part) for part in answering if _need(part)), key=lambda one: -one[0])
    if not measured:
        first = answering[0] if answering else None
        return first, (), "The bundle does not say how much memory its model needs." if first else ""
    has = machine.memory // 1_000_000
    for need, part in measured:
        if need + SYSTEM_MB <= has:
            others = tuple(other for other in answering if _need(other) > need)
            larger = [f"{p.manifest.name} needs {n + SYSTEM_MB:,} MB" for n, p in measured if n > need]
            why = (
                f"{part.manifest.name} answers: it needs {need + SYSTEM_MB:,} MB of memory, and this box has {has:,} MB"
            )
            return part, others, "; ".join([why, *larger]) + "."
    least = measured[-1][0] + SYSTEM_MB
    documents = any(part.manifest.kind == "docpack" for part in components)
    findings.append(
        Finding(
            found=f"This box has {has:,} MB of memory.",
            needed=f"The smallest model on this stick needs {least:,} MB.",
            todo="It will answer from documents alone, in their own words. More memory brings written answers."
            if documents
            else "Add memory, or ask your organisation for a stick with a smaller model.",
            stops=None if documents else NotReady,
        )
    )
    return None, tuple(answering), f"No model answers: the smallest needs {least:,} MB, and this box has {has:,} MB."


def _need(model: VerifiedComponent) -> int:
    told = model.manifest.annotations.get(_MEMORY, "")
    return int(told) if told.isdigit() and len(told) < 8 else 0


def _weights(model: VerifiedComponent) -> str:
    """Digest by which adapters name their model: of a model in pieces, the first's."""
    names = sorted((layer.path, layer.blob.digest) for layer in model.manifest.layers if layer.path.endswith(".gguf"))
    return names[0][1] if names else ""
