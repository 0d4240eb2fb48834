"""From a stick to an answer on a machine that has nothing: a clean Debian, no route, ``sh install.sh``, a browser.

The bundle is the demo with a real runtime. Chromium runs outside the clean root, in its network. Needs root, some
2 GB of disk, and the network for debootstrap and the wheels the first time. Rounds are not used.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.journeys.demo import ENGLISH, SWAHILI
from tests.soak.frame import Outcome
from tests.support.clean_root import Running, inside, make_root, running
from tests.support.site import DEMO_RECIPE, ROOT, Site, copy_recipe

ROUNDS = 1
URL = "http://127.0.0.1:7860"
_OUTSIDE = re.compile(r"^\s*(?!lo:)\S+:\s*\d", re.MULTILINE)
"""An interface of /proc/net/dev that is not loopback."""


def soak(rounds: int, seed: int) -> Outcome:
    """Rows of what was done, what came of it, and seconds."""
    rows: list[tuple[str, ...]] = []
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="fieldpost-clean-", dir="/var/tmp") as scratch:
        folder = Path(scratch)
        site = demo_with_runtime(folder / "site")
        root = make_root(folder / "root")
        steps = [
            ("the machine", lambda: _machine(root)),
            ("sh install.sh, to the page's address", lambda: _installed(root, site)),
        ]
        for name, act in steps:
            began = time.monotonic()
            try:
                came = act()
            except AssertionError as error:
                came = str(error)
                failures.append(f"{name}: {error}")
            rows.append((name, came, f"{time.monotonic() - began:.0f}"))
        if not failures:
            command = ("sh", "/media/usb/install.sh", "/srv/fieldpost", "--serve")
            with running(root, *command, stick=site.stick, until=" is at http") as box:
                for words, lang in ((ENGLISH, "en"), (SWAHILI, "sw")):
                    began = time.monotonic()
                    came = _visit(box, words, lang)
                    if not came.startswith("answered"):
                        failures.append(f"{words}: {came}")
                    rows.append((f"Chromium: {words}", came, f"{time.monotonic() - began:.0f}"))
    return Outcome(heads=("step", "what came of it", "seconds"), rows=tuple(rows), failures=tuple(failures))


def demo_with_runtime(folder: Path) -> Site:
    """The demo's stick with the programs of this kind of machine on it."""
    name = f"linux-{os.uname().machine}-cp3{sys.version_info.minor}"
    tar = ROOT / "dist" / "runtime" / f"{name}.tar"
    if not tar.exists():
        subprocess.run([ROOT / "scripts/build", "--runtime"], check=True, stdout=sys.stderr)
    folder.mkdir()
    recipe = copy_recipe(DEMO_RECIPE, folder)
    shutil.copy(tar, recipe.parent / tar.name)
    table = {"name": "box", "version": "0.1.0", "licence": "Apache-2.0", "platform": name, "file": tar.name}
    lines = "".join(f'{key} = "{value}"\n' for key, value in table.items())
    recipe.write_text(f"{recipe.read_text()}\n[[runtime]]\n{lines}")
    site = Site(folder=folder)
    site.make_keys()
    site.build(recipe)
    site.write_stick()
    shutil.rmtree(recipe.parent)
    return site


def _machine(root: Path) -> str:
    words = "cat /etc/debian_version; python3 --version; ls /usr/lib/python3/dist-packages | wc -l; cat /proc/net/dev"
    done = subprocess.run(inside(root, "sh", "-c", words), capture_output=True, text=True, check=True)
    version, python, packages, *net = done.stdout.splitlines()
    assert not _OUTSIDE.search("\n".join(net)), "there is a network"
    return f"Debian {version}, {python}, {packages} Debian modules of Python, loopback only"


def _installed(root: Path, site: Site) -> str:
    command = ("sh", "/media/usb/install.sh", "/srv/fieldpost", "--fingerprint", site.fingerprint(), "--serve")
    with running(root, *command, stick=site.stick, until=" is at http") as box:
        return next(line for line in box.lines if " is at http" in line)


def _visit(box: Running, words: str, lang: str) -> str:
    enter = ["nsenter", f"--net=/proc/{box.first_pid}/ns/net", sys.executable, "-m", "tests.soak.clean_root"]
    done = subprocess.run([*enter, words, lang], capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip() or done.stderr[-400:]


def visit(words: str, lang: str) -> None:
    """Ask on the page, and print the answer and its source. Run inside the clean root's network."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_context(locale="sw-KE" if lang == "sw" else "en-GB").new_page()
        page.goto(URL)
        expect(page.locator("button#ask")).to_have_text("Uliza" if lang == "sw" else "Ask")
        page.locator("#question textarea").fill(words)
        page.locator("button#ask").click()
        expect(page.locator('.fp-status[data-state="done"]')).to_be_visible(timeout=120_000)
        answer = " ".join(page.locator(".fp-answer").inner_text().split())
        source = page.locator(".fp-source summary").first.inner_text()
        print(f"answered: {answer} Source: {' '.join(source.split())}")
        browser.close()


if __name__ == "__main__":
    visit(*sys.argv[1:])
