"""The demo: one question's whole journey, with the real commands, told step by step. ``scripts/demo`` runs it."""

import json
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click

from tests.support.site import DEMO_RECIPE, Site, ask_page, files_holding, free_port, run, serving

ENGLISH = "For how long must the water boil?"
SWAHILI = "Maji yachemke kwa muda gani?"
TELEPHONE = "+254 712 345 678"
EMAIL = "amina.otieno@example.org"


class DemoFailed(Exception):
    """A step did not give what it must."""


@dataclass(slots=True)
class Told:
    """What was done, what came of it, and how long it took."""

    rows: list[tuple[str, str, float]] = field(default_factory=list)

    def step(self, name: str, act: Callable[[], str]) -> None:
        began = time.monotonic()
        click.echo(f"{len(self.rows) + 1:>2}. {name} ...", err=True)
        result = act()
        self.rows.append((name, result, time.monotonic() - began))

    def table(self) -> str:
        names = max(len(row[0]) for row in self.rows)
        results = min(90, max(len(row[1]) for row in self.rows))
        lines = [f"{'step':<{names}}  {'result':<{results}}  time"]
        lines += [f"{n:<{names}}  {_short(r, results):<{results}}  {s:5.1f} s" for n, r, s in self.rows]
        return "\n".join(lines)


def _short(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def prepare(site: Site, told: Told) -> None:
    """Recipe -> signed bundle -> stick -> installed box."""

    def keys() -> str:
        if not site.keys.exists():
            site.make_keys()
        return "root and signing key, passphrase-protected"

    def build() -> str:
        shutil.rmtree(site.bundle, ignore_errors=True)
        site.build(DEMO_RECIPE)
        return f"root {site.fingerprint()}"

    def verify() -> str:
        run("fieldpost-bundle", "verify", site.bundle, "--trust", site.keys / "1.root.json")
        return "every signature and every byte"

    def stick() -> str:
        site.write_stick()
        size = sum(p.stat().st_size for p in site.stick.rglob("*") if p.is_file())
        return f"{size / 1e6:.1f} MB, read back"

    def install() -> str:
        site.install()
        facts = json.loads(run("fieldpost", "status", "--home", site.home, "--json").stdout)
        return f"bundle {facts['bundle']} {facts['version']}, release {facts['release']}"

    told.step("Make the NGO's keys", keys)
    told.step("Lock and build the signed bundle", build)
    told.step("Verify the bundle", verify)
    told.step("Write the stick", stick)
    told.step("Install from the stick, on bare Python", install)


def enrol(site: Site, hub_url: str) -> str:
    """Join the box to the hub, once."""
    if (site.home / "data" / "enrolment.json").exists():
        return "enrolled before"
    token = run("fieldpost-hub", "enrol", "--data", site.hub, "--name", "Demo site", "--url", hub_url).stdout.split()[
        -1
    ]
    run("fieldpost", "sync", "enrol", token, "--home", site.home)
    return "with a one-time token"


def ask_all(url: str, told: Told) -> None:
    """English and Swahili, with and without the adapter."""

    def ask(text: str, lang: str, adapter: str | None) -> str:
        answer = ask_page(url, text, lang, adapter)
        if answer["state"] != "done":
            raise DemoFailed(f"{answer['state']}: {answer['error']}")
        exchange = answer["exchange"]
        sources = [exchange["passages"][n - 1]["document"] for n in exchange["cited"]]
        if "safe-water.md" not in sources:
            raise DemoFailed(f"the answer cites {sources or 'nothing'}, not safe-water.md: {exchange['answer']}")
        if adapter and not exchange["answer_working"].startswith("1."):
            raise DemoFailed(f"the adapter did not shape the answer: {exchange['answer_working']}")
        return f"{exchange['answer']}  <- {', '.join(dict.fromkeys(sources))}"

    told.step("Ask in English", lambda: ask(ENGLISH, "en", None))
    told.step("Ask in English through the adapter", lambda: ask(ENGLISH, "en", "steps"))
    told.step("Ask in Swahili", lambda: ask(SWAHILI, "sw", None))
    told.step("Ask in Swahili through the adapter", lambda: ask(SWAHILI, "sw", "steps"))


def check(folder: Path) -> None:
    """Everything, with the hub taken away and brought back; prints the table of steps."""
    site = Site(folder=folder)
    told = Told()
    prepare(site, told)
    hub_port = free_port()
    hub_url = f"http://127.0.0.1:{hub_port}"
    with serving("fieldpost-hub", "--data", site.hub, port=hub_port) as hub:
        told.step("Start the hub and enrol the box", lambda: enrol(site, hub_url))
        with serving("fieldpost", "--home", site.home) as box:
            ask_all(box.url, told)

            def first_sync() -> str:
                site.sync()
                return f"{_chats(site)} exchanges at the hub"

            told.step("Sync over HTTP", first_sync)

            def lost_hub() -> str:
                hub.kill()
                ask_page(box.url, f"{SWAHILI} {TELEPHONE} {EMAIL}", "sw")
                done = run("fieldpost", "sync", "run", "--home", site.home, check=False)
                if done.returncode == 0:
                    raise DemoFailed("sync claims success though the hub is away")
                return f"asked; sync says: {done.stderr.strip()}"

            told.step("Take the hub away and ask", lost_hub)
    before = _chats(site)

    def by_stick() -> str:
        run("fieldpost", "sync", "export", "--stick", site.stick, "--home", site.home)
        run("fieldpost-hub", "import", site.stick, "--data", site.hub)
        return _grown(site, before)

    told.step("Carry the log to the hub on the stick", by_stick)
    with serving("fieldpost-hub", "--data", site.hub, port=hub_port):

        def again() -> str:
            site.sync()
            return _grown(site, before) + ", still once"

        told.step("Bring the hub back and sync the same over HTTP", again)

    def redacted() -> str:
        for needle in (TELEPHONE, TELEPHONE.replace(" ", ""), EMAIL):
            held = (
                files_holding(site.home, needle) + files_holding(site.hub, needle) + files_holding(site.stick, needle)
            )
            if held:
                raise DemoFailed(f"{needle} stands in {held[0]}")
        return "telephone number and e-mail in no file of box, stick or hub"

    told.step("Look for what must not be stored", redacted)
    told.step("Verify the log", lambda: run("fieldpost", "log", "verify", "--home", site.home).stdout.splitlines()[-1])
    print(told.table())


def stay(folder: Path, port: int, hub_port: int) -> None:
    """The page, until Ctrl-C, with a hub beside it."""
    for taken in (port, hub_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", taken))
            except OSError as error:
                raise DemoFailed(f"port {taken} is taken; choose another with --port or --hub-port") from error
    site = Site(folder=folder)
    told = Told()
    prepare(site, told)
    with serving("fieldpost-hub", "--data", site.hub, port=hub_port):
        told.step("Start the hub and enrol the box", lambda: enrol(site, f"http://127.0.0.1:{hub_port}"))
        with serving("fieldpost", "--home", site.home, port=port) as box:
            ask_all(box.url, told)
            print(told.table())
            print(f"\nThe page: {box.url}   (Ctrl-C ends it; everything lies in {folder})", flush=True)
            box.process.wait()


def _chats(site: Site) -> int:
    return int(site.hub_status()["records"].get("chat", 0))


def _grown(site: Site, before: int) -> str:
    now = _chats(site)
    if now != before + 1:
        raise DemoFailed(f"the hub has {now} exchanges, {before + 1} were asked")
    return f"{now} exchanges at the hub, each once"


@click.command()
@click.option("--check", "checking", is_flag=True, help="Do everything, end with a table of steps and exit 0.")
@click.option("--port", default=7860, show_default=True, type=click.IntRange(1, 65535), help="Of the page.")
@click.option("--hub-port", default=8470, show_default=True, type=click.IntRange(1, 65535), help="Of the hub.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    help="Where it all lies.",
)
def main(checking: bool, port: int, hub_port: int, folder: Path) -> None:
    """Make the demo bundle, install it, serve it and ask it.

    \b
    scripts/demo            and open http://127.0.0.1:7860
    scripts/demo --check    without staying
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of every "with": nothing is left running
    try:
        if checking:
            with tempfile.TemporaryDirectory(prefix="fieldpost-demo-") as fresh:
                check(Path(fresh))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            stay(folder.resolve(), port, hub_port)
    except KeyboardInterrupt:
        print("Stopped.")
    except (DemoFailed, AssertionError) as error:
        sys.exit(f"The demo failed: {error}")


if __name__ == "__main__":
    main()
