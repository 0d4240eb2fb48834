"""People at an engine: closed loops and Poisson arrivals, and the two engines they are put to."""

import random
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import httpx

from appliance.engine.client import WorkerEngine
from appliance.engine.protocol import GenerationRequest, Message
from appliance.exchange import Usage
from tests.support.scripted import eventually

PROMPT_WORDS, TOKENS = 128, 64
_SYLLABLES = [a + b for a in "bdfgklmnprstvw" for b in "aeiou"]


def words(rng: random.Random, count: int) -> str:
    """Made-up words, as many tokens as English has and a third."""
    return " ".join("".join(rng.choices(_SYLLABLES, k=rng.randint(1, 2))) for _ in range(count))


@dataclass(slots=True, kw_only=True)
class Figures:
    """What the clients saw."""

    seconds: float = 0.0
    tokens: int = 0
    firsts: list[float] = field(default_factory=list)
    """Seconds to each answer's first token."""
    gaps: list[float] = field(default_factory=list)
    """Seconds between two tokens of an answer."""

    @property
    def tokens_s(self) -> float:
        return self.tokens / self.seconds

    def first(self, share: float) -> float:
        return _quantile(self.firsts, share)

    def gap(self, share: float) -> float:
        return _quantile(self.gaps, share)


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Peer(Protocol):
    """An engine that writes."""

    def stream(self, prompt: str, tokens: int, adapter: str | None) -> Iterator[int]:
        """Yields with each piece how many tokens there are now."""
        ...


def closed_loop(
    peer: Peer, clients: int, *, seed: int, each: int = 2, adapters: Sequence[str | None] = (None,)
) -> Figures:
    """Clients that ask again as soon as they are answered."""
    figures = Figures()

    def client(number: int) -> None:
        rng = random.Random(f"{seed} {number}")
        for _ in range(each):
            _ask(peer, words(rng, PROMPT_WORDS), adapters[number % len(adapters)], figures)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(client, range(clients)))
    figures.seconds = time.perf_counter() - began
    return figures


def poisson(peer: Peer, *, seed: int, requests: int = 12, rate: float = 0.6) -> Figures:
    """Requests that come when they come, ``rate`` a second."""
    figures = Figures()
    rng = random.Random(f"poisson {seed}")
    began = time.perf_counter()
    with ThreadPoolExecutor(requests) as threads:
        for _ in range(requests):
            time.sleep(rng.expovariate(rate))
            threads.submit(_ask, peer, words(rng, PROMPT_WORDS), None, figures)
    figures.seconds = time.perf_counter() - began
    return figures


def _ask(peer: Peer, prompt: str, adapter: str | None, figures: Figures) -> None:
    last = began = time.perf_counter()
    tokens = 0
    for count in peer.stream(prompt, TOKENS, adapter):
        now = time.perf_counter()
        if tokens:
            figures.gaps.append(now - last)
        elif count:
            figures.firsts.append(now - began)
        tokens, last = count, now
    figures.tokens += tokens


class Ours:
    """The engine of this project."""

    def __init__(self, engine: WorkerEngine, path: Path) -> None:
        self._engine = engine
        self.path = path

    @property
    def environment(self) -> dict[str, str]:
        """How its threads wait, for the others to wait alike."""
        raw = Path(f"/proc/{self._engine.pid}/environ").read_bytes().decode()
        named = dict(entry.split("=", 1) for entry in raw.split("\0") if "=" in entry)
        return {name: value for name, value in named.items() if name.startswith(("OMP", "GOMP"))}

    def adapt(self) -> None:
        """Let its threads wait as they had better, and be up again."""
        self._engine.adapt(hold_s=0)
        self._engine.count([Message(role="user", content="Are you there?")])

    def stream(self, prompt: str, tokens: int, adapter: str | None) -> Iterator[int]:
        count = 0
        asked = GenerationRequest(prompt=prompt, adapter=adapter, max_tokens=tokens, temperature=0.8)
        for piece in self._engine.generate(asked):
            count = piece.generated_tokens if isinstance(piece, Usage) else count + 1
            if not isinstance(piece, Usage):
                yield count
        yield count

    def first_with(self, shared: str, own: str) -> float:
        """Seconds to the first token of a conversation that begins with shared words."""
        message = Message(role="user", content=shared + own, shared=len(shared))
        began = time.perf_counter()
        stream = self._engine.generate(GenerationRequest(messages=(message,), max_tokens=4))
        next(stream)
        first = time.perf_counter() - began
        list(stream)
        return first

    def alone(self, *, prompt: int, tokens: int, seed: int) -> Usage:
        """What a prompt of about so many tokens costs alone, measured inside."""
        text = words(random.Random(f"alone {seed}"), prompt)
        # Made-up words are of one to three tokens: cut to what is wanted, by a first try that writes one token.
        *_, usage = self._engine.generate(GenerationRequest(prompt=text, max_tokens=1))
        assert isinstance(usage, Usage)
        text = " ".join(words(random.Random(f"again {seed}"), prompt).split()[: prompt * prompt // usage.prompt_tokens])
        *_, usage = self._engine.generate(GenerationRequest(prompt=text, max_tokens=tokens, temperature=0.8))
        assert isinstance(usage, Usage)
        return usage


def beside(program: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """What a peer's program needs: its libraries lie beside it, wherever it was built."""
    return {**environment, "LD_LIBRARY_PATH": str(program.parent)}


class LlamaServer:
    """llama-server over its own HTTP. A context manager."""

    def __init__(
        self,
        program: Path,
        model: Path,
        loras: Mapping[str, Path],
        *,
        context: int,
        slots: int,
        threads: int,
        environment: Mapping[str, str],
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._loras = list(loras)
        self._command = [str(program), "-m", str(model), "-np", str(slots), "-c", str(context * slots)]
        self._command += ["-t", str(threads), "--host", "127.0.0.1", "--port", str(port), "--no-webui"]
        if loras:
            self._command += ["--lora", ",".join(map(str, loras.values())), "--lora-init-without-apply"]
        self._environment = beside(program, environment)
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=0)  # it closes idle ones
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600, limits=limits)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self._environment, cwd="/"
        )
        eventually(self._is_up, within_s=120)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._client.close()

    def stream(self, prompt: str, tokens: int, adapter: str | None) -> Iterator[int]:
        body = {"prompt": prompt, "n_predict": tokens, "stream": True, "temperature": 0.8, "cache_prompt": True}
        if self._loras:
            body["lora"] = [{"id": i, "scale": float(name == adapter)} for i, name in enumerate(self._loras)]
        count = 0
        with self._client.stream("POST", "/completion", json=body) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith("data:") and '"stop":true' not in line:
                    count += 1
                    yield count

    def _is_up(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"llama-server ended: {' '.join(self._command)}")
        try:
            return self._client.get("/health").status_code == 200
        except httpx.TransportError:
            return False
