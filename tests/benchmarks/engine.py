"""The engine beside llama-server and llama-bench, built from the very same sources with the same libraries.

Engines take turns within a round, in an order of its own, and each ratio is made within a round, so that a busy machine
slows all alike. Every prompt is new, or a server's own cache would answer. llama-server is asked over its HTTP, the
engine over its protocol; the engine's HTTP is measured where it is served.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from appliance.engine.client import WorkerEngine
from appliance.engine.settings import EngineSettings
from tests.benchmarks.frame import Row
from tests.benchmarks.load import Figures, LlamaServer, Ours, beside, closed_loop, poisson, words
from tests.support.scripted import eventually
from tests.support.site import ROOT

ADAPTERS = ("one", "two", "three")
CONTEXT, SLOTS = 2048, 16
MOST_ROUNDS = 5
_SHARED_VOCABULARY = ROOT.parent / "shared" / "models" / "vocab-qwen2.5.gguf"
_DEMO = ROOT / "bundles" / "demo" / "model" / "fieldpost-demo.gguf"


def measure(quick: bool) -> list[Row]:
    """Medians over the rounds: as many as fit into ``FIELDPOST_BENCH_MINUTES`` (16), at least one and at most five.

    ``quick`` runs every part once, with a tiny model: whether it all works, and no figure to believe.
    """
    chosen = os.environ.get("FIELDPOST_BENCH_MODELS", "tiny hybrid-tiny" if quick else "0.5b 1.5b hybrid").split()
    shares = (0.7, 0.18, 0.12)[: len(chosen)]  # of the minutes, for each model
    minutes = float(os.environ.get("FIELDPOST_BENCH_MINUTES", "0" if quick else "16"))
    rows: list[Row] = []
    for size, share in zip(chosen, shares, strict=True):
        rows += _model(size, seconds=60 * minutes * share / sum(shares), main=size == chosen[0])
    # A tiny model is all overhead: it would only be said to miss what it was never meant for.
    return [replace(row, target=None) for row in rows] if quick else rows


def _model(size: str, *, seconds: float, main: bool) -> list[Row]:
    """All of one model.

    Args:
        seconds: after which no further round begins.
        main: with all numbers of clients, with adapters, Poisson arrivals and the hog; else with 1 and 8 clients.
    """
    loras = _adapters(size) if main else {}
    clients = (1, 6, 8, 12) if main else (1, 8)
    rows: list[Row] = []
    say = _say(size)
    with _both(_synthetic(size), loras) as (ours, server):
        # The single parts first: they are short, and the rounds then take what time is left.
        began = time.monotonic()
        say("prefix, llama-bench")
        rows += _prefix(size, ours, rounds=3)
        rows += _bare(size, ours, rounds=3)
        turns = _Turns(seed=len(clients))
        for round_ in range(MOST_ROUNDS):
            round_began = time.monotonic()
            for count in clients:
                say(f"round {round_ + 1}: {count} clients")
                turns.take(
                    f"{count} clients", ours, server, lambda peer, seed, n=count: closed_loop(peer, n, seed=seed)
                )
            if main and round_ == 0:  # no target hangs on these
                say(f"round {round_ + 1}: Poisson arrivals, adapters")
                turns.take("Poisson", ours, server, lambda peer, seed: poisson(peer, seed=seed))
                turns.take(
                    "4 adapters",
                    ours,
                    server,
                    lambda peer, seed: closed_loop(peer, 8, seed=seed, each=1, adapters=(None, *ADAPTERS)),
                )
            now = time.monotonic()
            if now - began + (now - round_began) > seconds:
                break
        rows.append(Row(metric=f"{size}: rounds", value=round_ + 1, unit="rounds"))
        rows += _compared(size, turns, clients)
        if main:  # at the end: after it our threads may wait otherwise than the other engine's
            say("hog")
            rows += _hog(size, ours, rounds=1)
    return rows


class _Turns:
    """The figures of both engines, by what was measured, round after round."""

    def __init__(self, seed: int) -> None:
        self.figures: dict[str, list[tuple[Figures, Figures]]] = {}
        self._order = random.Random(seed)
        self._seed = 0

    def take(self, name: str, ours: Ours, server: LlamaServer, run: Callable[..., Figures]) -> None:
        self._seed += 1
        found: dict[int, Figures] = {}
        for place in self._order.sample((0, 1), 2):
            found[place] = run((ours, server)[place], 2 * self._seed + place)
        self.figures.setdefault(name, []).append((found[0], found[1]))


def _compared(size: str, turns: _Turns, clients: tuple[int, ...]) -> list[Row]:
    wanted = {1: 1.0, 6: 1.15, 8: 1.0, 12: 1.15}
    rows = []
    for name, pairs in turns.figures.items():
        count = next((c for c in clients if name == f"{c} clients"), 0)
        at = f"{size}, {name}"
        rows.append(_ratio(f"{at}: tokens/s", pairs, lambda f: f.tokens_s, target=wanted.get(count)))
        eight = 0.5 if count == 8 else None
        rows.append(_ratio(f"{at}: first token p50", pairs, lambda f: f.first(0.5), target=eight, lower=True))
        late = 1.5 if count == 8 else None
        if count != 1:
            rows.append(_ratio(f"{at}: between tokens p95", pairs, lambda f: f.gap(0.95), target=late, lower=True))
        for who, which in (("ours", 0), ("llama-server", 1)):
            rows.append(_row(f"{at}: {who}", [pair[which].tokens_s for pair in pairs], "tok/s"))
    return rows


def _prefix(size: str, ours: Ours, rounds: int) -> list[Row]:
    """First token with 1,000 tokens read before, against the same length unread."""
    ratios = []
    for number in range(rounds):
        shared = words(random.Random(f"prefix {number}"), 660)  # about 1,000 tokens
        cold, warm = (ours.first_with(shared, f" Question {n}: why is it so?") for n in range(2))
        ratios.append(warm / cold)
    return [_row(f"{size}: first token, 1,000 tokens warm / cold", ratios, "ratio", target=0.15, lower=True)]


def _hog(size: str, ours: Ours, rounds: int) -> list[Row]:
    """Tokens a second beside one process that never rests, against without: at once, and when threads wait otherwise.

    On a box the caretaker looks every five seconds, and changes what is to be changed as soon as nobody is answered.
    """
    at_once, after = [], []
    for number in range(rounds):
        quiet = closed_loop(ours, 4, seed=9000 + number, each=1).tokens_s
        hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            at_once.append(closed_loop(ours, 4, seed=9300 + number, each=1).tokens_s / quiet)
            ours.adapt()
            after.append(closed_loop(ours, 4, seed=9600 + number, each=1).tokens_s / quiet)
        finally:
            hog.kill()
            hog.wait()
        closed_loop(ours, 4, seed=9900 + number, each=1)  # what it waited is known now, and that it need not
        ours.adapt()
    where = f"{size}, 4 clients: tokens/s beside a CPU hog / without"
    return [_row(f"{where}, at once", at_once, "ratio"), _row(f"{where}, adapted", after, "ratio", target=0.6)]


def _bare(size: str, ours: Ours, rounds: int) -> list[Row]:
    """Reading 512 tokens, and writing 64, alone: inside the engine against llama-bench."""
    read, wrote = [], []
    environment = beside(_peers() / "llama-bench", ours.environment)
    for number in range(rounds):
        command = [str(_peers() / "llama-bench"), "-m", str(ours.path), "-p", "512", "-n", "64", "-r", "1"]
        done = subprocess.run(
            [*command, "-t", str(_threads()), "-o", "json"], capture_output=True, check=True, env=environment
        )
        theirs = {test["n_prompt"]: test["avg_ts"] for test in json.loads(done.stdout)}
        usage = ours.alone(prompt=512, tokens=1, seed=number)
        read.append(usage.prompt_tokens / usage.first_token_s / theirs[512])
        usage = ours.alone(prompt=8, tokens=65, seed=number)  # llama-bench writes after nothing at all
        wrote.append((usage.generated_tokens - 1) / (usage.total_s - usage.first_token_s) / theirs[0])
    return [
        _row(f"{size}: reading 512 / llama-bench", read, "ratio", target=0.95),
        _row(f"{size}: writing / llama-bench", wrote, "ratio", target=0.95),
    ]


def _ratio(
    metric: str,
    pairs: list[tuple[Figures, Figures]],
    figure: Callable[[Figures], float],
    *,
    target: float | None,
    lower: bool = False,
) -> Row:
    ratios = [figure(ours) / figure(theirs) for ours, theirs in pairs]
    return _row(f"{metric} / llama-server", ratios, "ratio", target=target, lower=lower)


def _row(metric: str, values: list[float], unit: str, *, target: float | None = None, lower: bool = False) -> Row:
    return Row(metric=metric, value=statistics.median(values), unit=unit, target=target, lower=lower)


@contextmanager
def _both(model: Path, loras: dict[str, Path]) -> Iterator[tuple[Ours, LlamaServer]]:
    """Both engines, loaded, with the same threads and the same way of waiting; ours has measured its curve."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        # On disk so that the curve's file tells when it is measured; cold prompts are never repeated.
        settings = EngineSettings(slots=SLOTS, memory_mb=2048, folder=folder, digest=f"synthetic {model.name}")
        engine = opened.enter_context(
            WorkerEngine(model, loras, context=CONTEXT, threads=_threads(), settings=settings)
        )
        eventually(lambda: any(folder.glob("cost-*.json")), within_s=600)
        ours = Ours(engine, model)
        ours.adapt()  # it may have begun while something else was being built
        yield (
            ours,
            opened.enter_context(
                LlamaServer(
                    _peers() / "llama-server",
                    model,
                    loras,
                    context=CONTEXT,
                    slots=SLOTS,
                    threads=_threads(),
                    environment=ours.environment,
                )
            ),
        )


def _threads() -> int:
    return len(os.sched_getaffinity(0))


def _peers() -> Path:
    """The folder of llama-server and llama-bench, built when they are not there yet."""
    done = subprocess.run([ROOT / "scripts" / "build-llama", "--peers"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


def _synthetic(size: str) -> Path:
    """A model of random weights, made once and kept beside the built wheel."""
    from tests.support.synthetic import make_model, quantize

    vocabulary = _SHARED_VOCABULARY if _SHARED_VOCABULARY.is_file() else _DEMO
    path = _kept() / f"{size}-{'qwen2.5' if vocabulary is _SHARED_VOCABULARY else 'small'}-Q4_K_M.gguf"
    if not path.exists():
        _say(size)("making the model (some minutes, once)")
        whole, part = path.with_suffix(".f16"), path.with_suffix(".part")
        make_model(whole, size, tokenizer=vocabulary)
        quantize(whole, part)
        part.rename(path)
        whole.unlink()
    return path


def _adapters(size: str) -> dict[str, Path]:
    from tests.support.synthetic import make_adapter

    mark = "" if size == "0.5b" else f"-{size}"
    paths = {name: _kept() / f"lora{mark}-{number}.gguf" for number, name in enumerate(ADAPTERS, start=1)}
    for number, path in enumerate(paths.values(), start=1):
        if not path.exists():
            make_adapter(path, size, seed=number)
    return paths


def _kept() -> Path:
    cache = os.environ.get("FIELDPOST_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) / "fieldpost" / "synthetic"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _say(size: str) -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: print(f"[{time.monotonic() - began:5.0f} s] {size}: {text}", file=sys.stderr, flush=True)
