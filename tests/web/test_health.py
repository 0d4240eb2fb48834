"""Tests of /api/status and /metrics on a real box whose battery runs down, and of the page that says so."""

import json
import shutil
from types import SimpleNamespace

import httpx
import pytest
from starlette.requests import Request

from appliance.accounts.keys import Keys
from appliance.web import health
from tests.journeys.demo import ENGLISH
from tests.support.scripted import eventually
from tests.support.site import ask_page, run, serving


@pytest.fixture(scope="module")
def solar(demo_site, tmp_path_factory):
    """A box with a charge controller, and the file that it writes."""
    folder = tmp_path_factory.mktemp("solar")
    shutil.copytree(demo_site.home, folder / "home", symlinks=True)
    battery = folder / "battery"
    battery.write_text("90")
    (folder / "home" / "config.toml").write_text(f'[power]\nbattery_file = "{battery}"\n')
    with serving("fieldpost", "--home", folder / "home") as server:
        yield SimpleNamespace(url=server.url, home=folder / "home", battery=battery)


def test_what_was_asked_is_counted_and_no_text_is_among_the_figures(solar):
    ask_page(solar.url, ENGLISH, "en")
    figures = httpx.get(f"{solar.url}/metrics")
    assert figures.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'fieldpost_requests_total{finish="stop"} 1.0' in figures.text
    assert 'fieldpost_tokens_total{kind="generated"}' in figures.text
    assert "fieldpost_battery_percent 90.0" in figures.text and "fieldpost_mode 0.0" in figures.text
    assert not any(word.lower() in figures.text.lower() for word in ENGLISH.split() if len(word) > 4)


def test_as_the_battery_runs_down_the_page_says_so_and_in_the_end_nothing_is_asked(solar):
    def mode():
        return httpx.get(f"{solar.url}/api/status").json()["mode"]

    assert mode() == "normal"
    solar.battery.write_text("20")
    eventually(lambda: mode() == "low", within_s=20)
    assert "extractive" in ask_page(solar.url, ENGLISH, "en")["exchange"]["flags"]
    assert "smaller model answers" in httpx.get(f"{solar.url}/lite?lang=en").text
    solar.battery.write_text("3")
    eventually(lambda: mode() == "pause", within_s=20)
    refused = httpx.post(f"{solar.url}/api/ask", json={"text": ENGLISH, "lang": "en"})
    assert refused.status_code == 503 and "battery is nearly empty" in refused.text
    said = httpx.post(f"{solar.url}/lite", data={"text": "Maji?", "lang": "sw"}, headers={"Origin": solar.url})
    assert said.status_code == 422 and "Kisanduku kinapumzika" in said.text
    status = json.loads(run("fieldpost", "status", "--home", solar.home, "--json").stdout)
    assert status["mode"] == "pause" and status["machine"]["battery"] == 3
    assert "Mode        pause for its battery" in run("fieldpost", "status", "--home", solar.home).stdout


@pytest.mark.parametrize(
    ("host", "key", "status"),
    [
        ("127.0.0.1", "", 200),
        ("::1", "", 200),
        ("10.0.0.9", "", 401),
        ("10.0.0.9", "wrong", 401),
        ("10.0.0.9", "ours", 200),
    ],
)
def test_figures_are_for_the_box_itself_and_for_whoever_has_a_key(tmp_path, host, key, status):
    class Bare:
        counters = None

    keys = Keys(tmp_path / "keys.json")
    secret = keys.make("monitor")
    route = next(one for one in health.routes(Bare(), keys).routes if one.path == health.METRICS)
    headers = [(b"authorization", f"Bearer {secret if key == 'ours' else key}".encode())] if key else []
    request = Request({"type": "http", "client": (host, 1234), "headers": headers})
    assert route.endpoint(request).status_code == status
