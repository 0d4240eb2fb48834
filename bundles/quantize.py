"""Smaller weights from a model in F16, and what is lost: by the box's own command, as a process."""

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundles.box_command import last_words, run_box
from bundles.errors import TrialFailed

KINDS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")
_TIMEOUT_S = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One file of weights, and how well it foresees the text."""

    kind: str
    """``source``, or one of ``KINDS``."""
    path: Path
    bytes: int
    perplexity: float | None
    """None where no text was given."""


def shrink(
    source: Path, kinds: Sequence[str], out: Path, *, texts: Sequence[Path], tell: Callable[[str], object]
) -> list[Weights]:
    """Write ``source`` in every kind into the folder ``out``; the source comes first in the answer.

    Raises:
        TrialFailed: llama.cpp refused, in its own words.
    """
    out.mkdir(parents=True, exist_ok=True)
    stem = source.stem
    for ending in ("F16", "BF16", "F32", "f16", "bf16", "f32"):
        stem = stem.removesuffix(f"-{ending}").removesuffix(f".{ending}")
    made = [("source", source)]
    for kind in kinds:
        target = out / f"{stem}-{kind}.gguf"
        tell(f"making {target.name} ...")
        _run("quantize", source, "--to", kind, "--out", target)
        made.append((kind, target))
    weights = []
    for kind, path in made:
        if texts:
            tell(f"reading the text with {path.name} ...")
        size = path.stat().st_size
        weights.append(Weights(kind=kind, path=path, bytes=size, perplexity=_perplexity(path, texts)))
    return weights


def _perplexity(path: Path, texts: Sequence[Path]) -> float | None:
    if not texts:
        return None
    words = [word for text in texts for word in ("--text", str(text))]
    return float(json.loads(_run("perplexity", path, *words, "--json").stdout)["value"])


def _run(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    try:
        child = run_box(*words, timeout_s=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrialFailed(f"fieldpost {words[0]} did not run: {error}.", todo="Run scripts/setup.") from error
    if child.returncode:
        raise TrialFailed(f"fieldpost {words[0]}: {last_words(child).removeprefix('Error: ')}")
    return child
