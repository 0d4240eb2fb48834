"""Fifty people at one engine, some of whom hang up, while its process is shot again and again.

Each prompt's right answer is known beforehand, asked alone, and no two begin alike: so an answer tells whose it is.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gguf

from appliance.engine.client import WorkerEngine
from appliance.engine.protocol import GenerationRequest, Logprobs
from appliance.engine.reading import common
from appliance.errors import EngineError
from appliance.exchange import Usage

TOKENS = 16
_CLOSE = 0.02
_WHO = ("girl", "boy", "dog", "cat", "bird", "king", "tree", "boat", "fish", "frog", "bear", "car", "mom", "man")
_LOST = ("while it answered", "times in a row", "was loaded", "Nobody was free")
"""How the errors read that a request may rightly end in."""
Which = tuple[str, str | None]
"""A prompt and an adapter."""


def scaled_adapter(source: Path, target: Path, factor: float) -> None:
    """The same LoRA, stronger or weaker: another adapter."""
    reader = gguf.GGUFReader(source)
    out = gguf.GGUFWriter(target, "llama")
    for key, held in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            inner = held.types[1] if held.types[0] == gguf.GGUFValueType.ARRAY else None
            out.add_key_value(key, held.contents(), held.types[0], sub_type=inner)
    for tensor in reader.tensors:
        b = tensor.name.endswith("lora_b")
        out.add_tensor(tensor.name, tensor.data * tensor.data.dtype.type(factor) if b else tensor.data)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


@dataclass(slots=True, kw_only=True)
class Storm:
    """What happened."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    requests: int = 0
    kills: int = 0
    back_s: list[float] = field(default_factory=list)
    """Seconds from each kill to the first sign of life of the next process."""


def right_answers(engine: WorkerEngine, adapters: Sequence[str | None]) -> dict[Which, str]:
    """Every prompt's answer through every adapter, asked alone.

    Left out are those that begin like another's, and those with a close choice: in a batch with others the last bits
    of the scores differ, and it may turn.
    """
    answers: dict[Which, str] = {}
    for who in _WHO:
        for adapter in adapters:
            prompt = f"One day, a {who} went to the"
            text, margin = _whole(engine, prompt, adapter)
            if margin > _CLOSE and all(common(text, old) < 20 for old in answers.values()):
                answers[prompt, adapter] = text
    return answers


def storm(
    engine: WorkerEngine, answers: dict[Which, str], *, requests: int, kills: int, clients: int = 50, seed: int = 0
) -> Storm:
    """Ask ``requests`` times from ``clients`` threads, and kill the process ``kills`` times meanwhile."""
    seen = Storm()
    lock = threading.Lock()
    left = iter(range(requests))
    ended = threading.Event()

    def client(number: int) -> None:
        random_ = random.Random(f"{seed} {number}")
        while True:
            with lock:
                if next(left, None) is None:
                    return
                seen.requests += 1
            which = random_.choice(sorted(answers, key=str))
            try:
                outcome = _one(engine, which, answers, random_, user=f"user {number}")
            except Exception as error:
                outcome = f"FAILED {which}: {error!r}"
            with lock:
                seen.outcomes[outcome.split(" ", 1)[0]] += 1
                if outcome.startswith("FAILED"):
                    seen.failures.append(outcome)

    def killer() -> None:
        for number in range(kills):
            while seen.requests < requests * (number + 1) // (kills + 1) and not ended.wait(0.01):
                pass
            if ended.is_set() or (pid := engine.pid) is None:
                continue
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            while not ended.wait(0.005) and not (engine._up and engine.pid not in (None, pid)):
                pass
            seen.kills += 1
            seen.back_s.append(time.monotonic() - began)

    threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(clients)]
    shooter = threading.Thread(target=killer, daemon=True)
    for thread in (*threads, shooter):
        thread.start()
    for thread in threads:
        thread.join(600)
    ended.set()
    shooter.join(60)
    hanging = sum(thread.is_alive() for thread in threads)
    if hanging:
        seen.failures.append(f"FAILED {hanging} clients still wait")
    return seen


def resident(pid: int) -> int:
    """Bytes of memory that the process itself has (not the files it maps); 0 is this process."""
    lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))


def _whole(engine: WorkerEngine, prompt: str, adapter: str | None) -> tuple[str, float]:
    """The answer, and how much likelier than the next the least certain of its tokens was (natural logarithm)."""
    text, margin = "", 9.0
    request = GenerationRequest(prompt=prompt, adapter=adapter, max_tokens=TOKENS, logprobs=2)
    for piece in engine.generate(request):
        if isinstance(piece, Logprobs):
            margin = min(margin, piece.top[0].logprob - piece.top[1].logprob)
        elif isinstance(piece, str):
            text += piece
    return text, margin


def _one(engine: WorkerEngine, which: Which, answers: dict[Which, str], random_: random.Random, *, user: str) -> str:
    """One request's life, and what to call it."""
    prompt, adapter = which
    deadline = random_.choice([None, None, None, random_.uniform(0.05, 5)])
    request = GenerationRequest(prompt=prompt, adapter=adapter, max_tokens=TOKENS, user=user, deadline_s=deadline)
    leaves = random_.choice(["", "", "", "cancels", "hangs up"])
    after = random_.randrange(TOKENS)
    text, usage, lost = "", None, ""
    stream = engine.generate(request)
    try:
        for number, piece in enumerate(stream):
            if isinstance(piece, Usage):
                usage = piece
                break
            text += str(piece)
            if leaves == "cancels" and number == after:
                engine.cancel(request.id)
            if leaves == "hangs up" and number == after:
                break
    except EngineError as error:
        lost = str(error)
    finally:
        stream.close()  # type: ignore[attr-defined]
    if not answers[which].startswith(text):
        return f"FAILED {which} was told {text!r}"
    if lost:
        return "lost" if any(words in lost for words in _LOST) else f"FAILED {which} ended in: {lost}"
    if usage is None:
        return "hung-up"
    if usage.finish in ("cancelled", "deadline"):
        return usage.finish
    return "answered" if text == answers[which] else f"FAILED {which} was only told {text!r}"
