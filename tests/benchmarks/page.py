"""What the page weighs, and how soon it can be used on a cheap phone, beside Gradio's own chat page in the same run.

Chromium by its DevTools: a link of 1.6 Mbit/s with 150 ms there and back, a processor slowed down four times (about a
Moto G4 beside a desktop), nothing kept from before. Usable is when the question's field and its button can be used.
Names of other hosts are not found, at once: Gradio's own page asks a font service, and would wait where there is none.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx
from playwright.sync_api import Browser

from tests.benchmarks.frame import Row
from tests.support.site import free_port, installed_demo, serving
from tests.support.views import chromium

BITS_PER_S = 1_600_000
LATENCY_MS = 150
SLOWER = 4
ROUNDS, LONGEST_S = 7, 120.0
DEFAULT = """
import sys, gradio as gr
gr.ChatInterface(lambda message, history: message).launch(server_port=int(sys.argv[1]), quiet=True)
"""


def measure(quick: bool) -> list[Row]:
    """Bytes as they travel, in kB of 1,000; seconds. ``quick`` loads each page once, else up to seven times in turn.

    On a busy machine no round begins after ``LONGEST_S``; how many there were is a row.
    """
    loads: dict[str, list[tuple[int, int, float]]] = {"ask": [], "lite": [], "default Gradio": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("fieldpost", "--home", installed_demo(Path(folder)).home) as box,
        _default_gradio() as default,
        chromium() as browser,
    ):
        pages = {
            "ask": (box.url, "button#ask"),
            "lite": (f"{box.url}/lite", "button.go"),
            "default Gradio": (default, "textarea"),
        }
        began = time.monotonic()
        for number in range(1, 2 if quick else ROUNDS + 1):
            if number > 1 and time.monotonic() - began > LONGEST_S:
                break
            for name, (url, ready) in pages.items():
                loads[name].append(_load(browser, url, ready))
                print(f"round {number}: {name}, usable after {loads[name][-1][2]:.1f} s", file=sys.stderr, flush=True)
    bounds = {"ask": (300.0, 52.0, 4.5), "lite": (30.0, 1.0, None), "default Gradio": (None, None, None)}
    rows = [Row(metric="rounds", value=len(loads["ask"]), unit="")]
    for name, seen in loads.items():
        size, requests, seconds = bounds[name]
        rows += [
            Row(
                metric=f"{name}: first load",
                value=median(s[0] for s in seen) / 1000,
                unit="kB",
                target=size,
                lower=True,
            ),
            Row(metric=f"{name}: requests", value=median(s[1] for s in seen), unit="", target=requests, lower=True),
            Row(metric=f"{name}: usable after", value=median(s[2] for s in seen), unit="s", target=seconds, lower=True),
        ]
    usable = {name: median(s[2] for s in seen) for name, seen in loads.items()}
    rows.append(Row(metric="ask beside default Gradio, usable after", value=usable["ask"] / usable["default Gradio"],
                    unit="x", target=1.0, lower=True))  # fmt: skip
    return rows


def _load(browser: Browser, url: str, ready: str) -> tuple[int, int, float]:
    """(bytes, requests, seconds until usable) of one first load."""
    context = browser.new_context(viewport={"width": 360, "height": 640}, device_scale_factor=3, has_touch=True)
    page = context.new_page()
    tools = context.new_cdp_session(page)
    tools.send("Network.enable")
    rate = BITS_PER_S / 8
    slow = {"offline": False, "latency": LATENCY_MS, "downloadThroughput": rate, "uploadThroughput": rate}
    tools.send("Network.emulateNetworkConditions", slow)
    tools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    size: list[int] = []
    asked: list[str] = []
    tools.on("Network.loadingFinished", lambda event: size.append(int(event["encodedDataLength"])))
    tools.on(
        "Network.requestWillBeSent",
        lambda event: asked.append(event["request"]["url"]) if event["request"]["url"].startswith("http") else None,
    )
    began = time.monotonic()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(f"{ready}:enabled", state="visible", timeout=120_000)
    usable = time.monotonic() - began
    page.wait_for_load_state("load", timeout=120_000)
    page.wait_for_timeout(3000)  # what comes after the page is usable is part of its weight
    context.close()
    return sum(size), len(asked), usable


@contextmanager
def _default_gradio() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", DEFAULT, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                httpx.get(url, timeout=5)
                break
            except httpx.HTTPError:
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)
