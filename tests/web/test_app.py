"""Tests of the whole web app on a real box, over real HTTP."""

import json
import re
import subprocess

import httpx
import pytest

from tests.journeys.demo import ENGLISH
from tests.support.people import printed, with_access_code
from tests.support.site import ask_page, run, serving


@pytest.fixture(scope="module")
def box(demo_site):
    with serving("fieldpost", "--home", demo_site.home) as server:
        yield server


def test_a_question_over_the_api_is_answered_with_its_source(box):
    answer = ask_page(box.url, ENGLISH, "en")
    assert answer["state"] == "done"
    assert "1 minute" in answer["answer"]
    cited = [answer["passages"][n - 1] for n in answer["exchange"]["cited"]]
    assert [p["document"] for p in cited] == ["safe-water.md"]
    place = {"start": cited[0]["start"], "end": cited[0]["end"]}
    page = httpx.get(f"{box.url}/source/{cited[0]['docpack']}/safe-water.md", params=place)
    assert page.status_code == 200
    assert cited[0]["text"] in page.text


def test_a_job_can_be_looked_at_again_by_its_id_only(box):
    answer = ask_page(box.url, ENGLISH, "en")
    again = httpx.get(f"{box.url}/api/jobs/{answer['id']}").json()
    assert again["answer"] == answer["answer"]
    assert httpx.get(f"{box.url}/api/jobs/{'0' * 32}").status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"text": "", "lang": "en"}, "at least 1 character"),
        ({"text": "a" * 2001, "lang": "en"}, "at most 2000"),
        ({"text": "Hi", "lang": "xx"}, "does not have the language"),
        ({"text": "Hi", "lang": "en", "adapter": "none"}, "has no adapter"),
        ({"text": "Hi", "lang": "en", "speed": 3}, "Extra inputs"),
    ],
)
def test_mistakes_over_the_api_are_named(box, body, words):
    refused = httpx.post(f"{box.url}/api/ask", json=body)
    assert refused.status_code == 422
    assert words in refused.text


@pytest.mark.parametrize(
    "path",
    [
        "/source/field-guides/..%2f..%2frelease.json?start=0&end=1",
        "/source/field-guides/safe-water.md?start=5&end=1",
        "/source/field-guides/safe-water.md?start=0&end=99999999",
        "/source/other/safe-water.md?start=0&end=1",
    ],
)
def test_only_indexed_documents_can_be_opened(box, path):
    assert httpx.get(box.url + path).status_code == 404


def test_the_page_names_no_other_host(box):
    page = httpx.get(box.url).text
    others = set(re.findall(r"""(?:src|href)=["'](?:https?:)?//([^/"']+)""", page))
    assert others == set()


def test_phones_need_the_access_code_that_the_box_printed(demo_site, tmp_path):
    with (
        serving("fieldpost", "--home", with_access_code(demo_site, tmp_path), "--host", "0.0.0.0") as server,
        httpx.Client(base_url=server.url) as phone,
    ):
        assert phone.get("/", headers={"accept": "text/html"}).headers["location"] == "/enter"
        assert phone.post("/enter", data={"code": "00000000"}).status_code == 403
        assert phone.post("/api/ask", json={"text": "Hi", "lang": "en"}).status_code == 401
        assert phone.post("/enter", data={"code": printed(server, "Access code:")}).status_code == 303
        assert phone.get("/", headers={"accept": "text/html"}).status_code == 200


def test_sigterm_ends_it_cleanly(demo_site):
    with serving("fieldpost", "--home", demo_site.home) as server:
        assert server.stop() == 0
    left = subprocess.run(["pgrep", "-f", f"appliance.*{demo_site.home}"], capture_output=True, text=True)
    assert left.stdout == ""


def test_a_taken_port_is_told_in_words_before_the_model_is_loaded(demo_site, box):
    port = box.url.rpartition(":")[2]
    done = run("fieldpost", "serve", "--home", demo_site.home, "--port", port, check=False)
    assert done.returncode == 1
    assert f"127.0.0.1 port {port} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_tells_what_is_installed(demo_site):
    facts = json.loads(run("fieldpost", "status", "--home", demo_site.home, "--json").stdout)
    assert (facts["bundle"], facts["languages"]) == ("demo", ["en", "sw"])
    assert "model answers 0.1.0" in facts["components"]
    shown = run("fieldpost", "status", "--home", demo_site.home).stdout
    assert "demo 0.1.0" in shown


def test_a_home_without_a_release_says_what_to_do(tmp_path):
    done = run("fieldpost", "ask", "Hi", "--home", tmp_path, check=False)
    assert done.returncode == 1
    assert "Nothing is installed" in done.stderr
    assert "installer.pyz install" in done.stderr
    assert "Traceback" not in done.stderr
