"""Tests of appliance.web.gate and rules: every role tries every address of every other, Gradio's own included."""

import re
import sys

import pytest

from appliance.web.gate import Streams
from appliance.web.identity import Level
from appliance.web.jobs import Owner
from appliance.web.rules import CLOSED, RULES, rule_for
from tests.support.site import ROOT, run

LEVELS = {"worker": Level.WORKER, "supervisor": Level.SUPERVISOR, "admin": Level.ADMIN}
BROWSER = {"accept": "text/html"}


@pytest.fixture(scope="module")
def routes(site) -> set[tuple[str, str]]:
    """Method and template of everything that the app, and what is mounted in it, answers to."""
    told = run(sys.executable, "-m", "tests.support.routes", site.place.home, env={"PYTHONPATH": str(ROOT)}).stdout
    return {tuple(line.split(" ", 1)) for line in told.splitlines()}


def address(template: str) -> str:
    """An address of this template, with something in each place."""
    return re.sub(r"\{[^}]*\}", "x1", template)


def every_address() -> list[tuple[str, str]]:
    ours = [(rule.method, address(rule.template)) for rule in RULES]
    return ours + [(method, address(template)) for template in CLOSED for method in ("GET", "POST")]


def test_every_route_of_the_app_is_decided_about(routes):
    known = {(rule.method, rule.template) for rule in RULES}
    undecided = [
        f"{method} {template}"
        for method, template in routes
        if method != "HEAD" and template not in CLOSED and (method, template) not in known
        if not template.startswith("/v1/")
    ]
    assert undecided == [], "give these a level in appliance/web/rules.py, or close them there"


def test_the_walk_finds_our_routes_and_gradios(routes):
    assert {("POST", "/api/ask"), ("GET", "/v1/models"), ("POST", "/gradio_api/queue/join"), ("GET", "/team")} <= routes
    assert len(routes) > 90


def test_nothing_stands_in_the_table_that_the_app_does_not_have(routes):
    found = {template for _, template in routes} | {"/v1/{path:path}"}
    assert {rule.template for rule in RULES} - found == set()
    assert CLOSED - found == set()


@pytest.mark.parametrize("name", ["stranger", *LEVELS])
def test_nobody_gets_what_is_not_theirs(site, name):
    client, level = (site.stranger(), Level.ANYBODY) if name == "stranger" else (site.role(name), LEVELS[name])
    for method, path in every_address():
        found = rule_for(method, path)
        if found and found[0].level <= level:
            continue
        answer = client.request(method, path)
        if found is None:
            assert answer.status_code == 404, f"{method} {path}"
            assert answer.text == "Not found."
        elif found[0].level > level:
            assert answer.status_code in (401, 403), f"{method} {path}: {answer.status_code}"
            assert answer.text.startswith(("Sign in first", "Your role"))


def test_each_role_has_addresses_of_its_own_and_gets_them(site):
    for name, path in {"worker": "/me", "supervisor": "/team"}.items():
        assert site.role(name).get(path).status_code == 200
    for name, path in {"worker": "/team", "supervisor": "/admin"}.items():
        assert site.role(name).get(path).status_code in (403, 404)


@pytest.mark.parametrize(
    "path", ["/nowhere", "/admin/nowhere", "/gradio_api/new-thing", "/gradio_api/queue/join/", "/lite/a/b"]
)
def test_what_is_not_in_the_table_is_not_there_even_for_an_administrator(site, path):
    assert site.role("admin").get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/svelte/..%2f..%2fetc/passwd",
        "/source/field-guides/..%2f..%2frelease.json?start=0&end=1",
        "/source/..%2f..%2fdata/accounts.sqlite?start=0&end=1",
        "/assets/%00",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file%3d/etc/passwd",
        "/theme.css/..;/admin",
    ],
)
def test_no_path_leads_out_of_what_is_served(site, path):
    answer = site.role("worker").get(path)
    assert answer.status_code in (400, 403, 404)
    assert "root:" not in answer.text


def test_a_browser_that_is_nobody_yet_is_led_to_sign_in_and_back(site):
    stranger = site.stranger()
    for path, leads in {
        "/": "/sign-in?to=",
        "/lite": "/sign-in?to=lite",
        "/lite/abc": "/sign-in?to=lite",
        "/me": "/sign-in?to=me",
    }.items():
        assert stranger.get(path, headers=BROWSER).headers["location"] == leads
    assert stranger.get("/api/jobs/1").status_code == 401


def test_an_access_code_lets_ask_and_nothing_else(site):
    site.people.decide("entry", "code")
    try:
        visitor = site.stranger()
        assert visitor.get("/", headers=BROWSER).headers["location"] == "/enter"
        code = (site.place.home / "data" / "access-code").read_text().strip()
        assert visitor.post("/enter", data={"code": code}).status_code == 303
        assert visitor.get("/lite").status_code == 200
        assert visitor.get("/me").status_code == 401
        assert visitor.get("/team").status_code == 401
    finally:
        site.people.decide("entry", "people")
    assert visitor.get("/lite").status_code == 401, "the site went over to people, and the code is worth nothing"


def test_a_question_is_found_by_its_owner_only(site):
    asked = site.role("worker").post("/api/ask", json={"text": "Is a xylophone safe in the rain?", "lang": "en"})
    job = asked.json()["id"]
    assert site.role("worker").get(f"/api/jobs/{job}").status_code == 200
    for other in ("supervisor", "admin"):
        assert site.role(other).get(f"/api/jobs/{job}").status_code == 404
        assert site.role(other).post(f"/api/jobs/{job}/stop").status_code == 404
        assert site.role(other).get(f"/api/jobs/{job}/stream").status_code == 404
        page = site.role(other).get(f"/lite/{job}")
        assert page.status_code == 404
        assert "xylophone" not in page.text
    again = site.signed_in("worker")
    assert again.get(f"/api/jobs/{job}").status_code == 200, "the same person on another phone"


def test_a_gradio_session_belongs_to_whoever_named_it_first(site):
    # Its id is made by the browser, with Math.random: nobody must be able to read along who guesses it.
    join = {"data": ["", "en", "", ""], "fn_index": 99, "session_hash": "abc123"}
    assert site.role("worker").get("/gradio_api/heartbeat/", headers=BROWSER).status_code == 404
    streams = Streams()
    amina, juma = Owner(key="p-1"), Owner(key="p-2")
    assert streams.claim("abc123", amina)
    assert streams.claim("abc123", amina)
    assert not streams.claim("abc123", juma)
    assert not streams.claim("", juma)
    assert site.role("supervisor").post("/gradio_api/queue/join", json=join).status_code >= 400
