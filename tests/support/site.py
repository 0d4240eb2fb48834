"""A whole site made with the real commands, each a process of its own: keys, bundle, stick, box, hub.

Journeys, the demo and the benchmarks stand on it. Nothing here is a double.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
DEMO_RECIPE = ROOT / "bundles" / "demo" / "recipe.toml"
PASSPHRASE = "only for tests and the demo"


class CommandFailed(AssertionError):
    """A command that should have worked did not; its words are in the message."""


def run(*command: str | Path, check: bool = True, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess:
    """Run one of our commands (``fieldpost``, ``fieldpost-hub``, ``fieldpost-bundle``) or any program to its end."""
    words = [str(word) for word in command]
    if words[0].startswith("fieldpost"):
        words[0] = str(BIN / words[0])
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, cwd="/"
    )
    if check and done.returncode != 0:
        raise CommandFailed(f"{' '.join(words)}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def installer(*arguments: str | Path, pyz: Path | None = None, check: bool = True) -> subprocess.CompletedProcess:
    """Run installer.pyz on bare Python: no site-packages, no environment."""
    return run(sys.executable, "-I", "-S", pyz or ROOT / "dist" / "installer.pyz", *arguments, check=check)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the parts of one site lie."""

    folder: Path

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def stick(self) -> Path:
        return self.folder / "stick"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def hub(self) -> Path:
        return self.folder / "hub"

    def make_keys(self) -> None:
        run("fieldpost-bundle", "root", "init", "--out", self.keys, env={"FIELDPOST_PASSPHRASE": PASSPHRASE})

    def fingerprint(self) -> str:
        facts = json.loads(run("fieldpost-bundle", "inspect", self.bundle, "--json").stdout)
        return facts["fingerprint"]

    def build(self, recipe: Path = DEMO_RECIPE) -> None:
        """Lock the recipe as it is now, in a copy beside its files' own folder, and build."""
        run("fieldpost-bundle", "lock", recipe)
        env = {"FIELDPOST_PASSPHRASE": PASSPHRASE}
        run("fieldpost-bundle", "build", recipe, "--out", self.bundle, "--keys", self.keys, env=env)

    def write_stick(self) -> None:
        self.stick.mkdir(exist_ok=True)
        run("fieldpost-bundle", "stick", self.bundle, "--out", self.stick)

    def install(self) -> None:
        installer(
            "install", "--from", self.stick, "--home", self.home, "--fingerprint", self.fingerprint(),
            pyz=self.stick / "installer.pyz",
        )  # fmt: skip

    def ask(self, text: str, *options: str) -> dict[str, Any]:
        done = run("fieldpost", "ask", text, "--home", self.home, "--json", *options)
        return json.loads(done.stdout)

    def sync(self) -> dict[str, Any]:
        return json.loads(run("fieldpost", "sync", "run", "--home", self.home, "--json").stdout)

    def hub_status(self) -> dict[str, Any]:
        return json.loads(run("fieldpost-hub", "status", "--data", self.hub, "--json").stdout)


def installed_demo(folder: Path, recipe: Path = DEMO_RECIPE) -> Site:
    """A site whose box runs ``recipe``, made from nothing."""
    site = Site(folder=folder)
    site.make_keys()
    site.build(recipe)
    site.write_stick()
    site.install()
    return site


def free_port() -> int:
    """A loopback port that nobody holds at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Server:
    """A running ``serve`` process."""

    process: subprocess.Popen[str]
    url: str
    output: list[str]

    def kill(self) -> None:
        """As a pulled plug does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """As systemd does; its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=30)


@contextmanager
def serving(
    program: str, *arguments: str | Path, port: int | None = None, prefix: tuple[str, ...] = ()
) -> Iterator[Server]:
    """``program serve ...`` from its ready line on; stopped in the end, if it still runs."""
    port = port or free_port()
    command = [*prefix, str(BIN / program), "serve", *map(str, arguments), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
    lines: list[str] = []
    ready = threading.Event()

    def read(stream: IO[str]) -> None:
        for line in stream:
            lines.append(line.rstrip())
            if " is at http" in line:
                ready.set()
        ready.set()  # the process ended: do not wait for a line that cannot come

    reader = threading.Thread(target=read, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        if not ready.wait(120) or not any(" is at http" in line for line in lines):
            raise CommandFailed(f"{' '.join(command)} did not get ready:\n" + "\n".join(lines))
        yield Server(process=process, url=f"http://127.0.0.1:{port}", output=lines)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join(timeout=5)
        if process.stdout:
            process.stdout.close()


def ask_page(url: str, text: str, lang: str, adapter: str | None = None) -> dict[str, Any]:
    """Ask a serving box over its API and wait for the whole answer."""
    with httpx.Client(base_url=url, timeout=60) as client:
        started = client.post("/api/ask", json={"text": text, "lang": lang, "adapter": adapter})
        started.raise_for_status()
        last: dict[str, Any] = {}
        with client.stream("GET", f"/api/jobs/{started.json()['id']}/stream") as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    last = json.loads(line[6:])
        return last


def files_holding(folder: Path, needle: str) -> list[Path]:
    """Files under ``folder`` in whose bytes ``needle`` stands, in UTF-8."""
    wanted = needle.encode()
    return [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and wanted in p.read_bytes()]


def copy_recipe(recipe: Path, folder: Path) -> Path:
    """A recipe and all beside it in a folder of its own, so that locking it leaves the checkout alone."""
    target = folder / recipe.parent.name
    shutil.copytree(recipe.parent, target, ignore=shutil.ignore_patterns("training", "__pycache__"))
    return target / recipe.name
