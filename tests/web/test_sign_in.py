"""Tests of signing in over HTTP: guessing, fixation, forged forms, what is not theirs, and what a raw client can do."""

import re
import socket
import time

import httpx
import pytest

from appliance.accounts.people import Role
from appliance.web.identity import COOKIE, FORM_COOKIE
from tests.support.people import sign_in, token_in
from tests.support.scripted import eventually

BOIL = "How long should I boil water?"


@pytest.fixture
def amina(site):
    """A worker of her own for one test: her name and PIN."""
    name = f"Amina {time.monotonic_ns()}"
    site.people.add(name, Role.WORKER, "pin", "482915")
    return name


def posted(client, page, action, **fields):
    """Send a form of a page, with the token that stands in it."""
    return client.post(action, data={"token": token_in(client.get(page).text), **fields})


def test_guessing_is_slowed_and_an_unknown_name_looks_the_same(site, amina):
    told = []
    for name in (amina, "Nobody At All"):
        client = site.stranger()
        answers = [sign_in(client, name, "000001") for _ in range(6)]
        assert [answer.status_code for answer in answers] == [403] * 6
        assert "Wait" not in answers[0].text
        assert "Wait" in answers[-1].text
        told.append(re.sub(r'value="[^"]*"', "", answers[0].text))
    assert told[0] == told[1], "who guesses names learns nothing"


def test_the_right_pin_waits_too_from_any_phone(site, amina):
    with site.people.writing() as database:  # as after a restart: the count is there, the wait is owed in full
        database.execute("UPDATE people SET failures = 20 WHERE name = ?", (amina,))
    answer = sign_in(site.stranger(), amina, "482915")
    assert answer.status_code == 403
    assert "Wait" in answer.text


def test_a_session_that_was_there_before_is_worth_nothing_after_signing_in(site, amina):
    client = site.stranger()
    planted = "planted-by-somebody-else"
    client.cookies.set(COOKIE, planted)
    assert sign_in(client, amina, "482915").status_code == 303
    mine = [cookie.value for cookie in client.cookies.jar if cookie.name == COOKIE]
    assert planted not in mine[-1:]
    thief = site.stranger()
    thief.cookies.set(COOKIE, planted)
    assert thief.get("/me").status_code == 401


def test_each_sign_in_has_a_token_of_its_own_and_ends_the_one_before(site, amina):
    client = site.signed_in(amina, "482915")
    before = client.cookies[COOKIE]
    assert sign_in(client, amina, "482915").status_code == 303
    assert client.cookies[COOKIE] != before
    thief = site.stranger()
    thief.cookies.set(COOKIE, before)
    assert thief.get("/me").status_code == 401


def test_cookies_are_out_of_reach_of_scripts_and_other_pages(site, amina):
    for shared in ("", "1"):
        answer = sign_in(site.stranger(), amina, "482915", shared=shared)
        (told,) = [line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{COOKIE}=")]
        assert "HttpOnly" in told
        assert "SameSite=strict" in told
        assert ("Max-Age" in told) == (not shared), "on a shared device it ends with the browser"


@pytest.mark.parametrize("token", ["", "0" * 32, "é"])
@pytest.mark.parametrize(
    ("role", "path", "fields"),
    [
        ("worker", "/sign-out", {}),
        ("worker", "/me/consent", {"consent": "1"}),
        ("worker", "/history/forget", {"exchange": "all"}),
        ("admin", "/admin/people", {"name": "Mallory", "role": "admin"}),
        ("admin", "/admin/setting", {"name": "transport", "value": "http"}),
        ("admin", "/admin/keys", {"name": "mallory"}),
    ],
)
def test_a_form_without_its_token_does_nothing(site, role, path, fields, token):
    assert site.role(role).post(path, data={"token": token, **fields}).status_code == 403


def test_a_form_with_the_token_of_another_visitor_does_nothing(site):
    token = token_in(site.role("supervisor").get("/me").text)
    assert site.role("admin").post("/admin/keys", data={"token": token, "name": "mallory"}).status_code == 403


@pytest.mark.parametrize(
    "said", [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
def test_a_page_elsewhere_can_send_nothing_even_with_the_token(site, said):
    client = site.role("admin")
    token = token_in(client.get("/admin/keys").text)
    assert client.post("/admin/keys", data={"token": token, "name": "mallory"}, headers=said).status_code == 403


def test_a_form_to_sign_in_must_be_ours_too(site, amina):
    client = site.stranger()
    client.get("/sign-in")
    assert FORM_COOKIE in client.cookies
    refused = client.post("/sign-in", data={"token": "", "name": amina, "pin": "482915"})
    assert refused.status_code == 403, "else a page could sign a phone in under the attacker's name"


def test_a_role_that_is_taken_back_ends_at_once(site):
    name = f"Neema {time.monotonic_ns()}"
    person, pin = site.people.add(name, Role.SUPERVISOR)
    client = site.signed_in(name, pin)
    assert client.get("/team").status_code == 200
    site.people.give_role(person.id, Role.WORKER)
    assert client.get("/team").status_code == 401


def test_another_persons_session_cannot_be_ended(site, amina):
    client = site.signed_in(amina, "482915")
    victim = next(p for p in site.people.all() if p.name == "worker")
    site.role("worker")
    (theirs,) = site.people.rows("SELECT hash FROM sessions WHERE person = ? LIMIT 1", (victim.id,))
    assert posted(client, "/me", "/me/sessions/end", session=theirs[0]).status_code == 404


def test_history_is_the_persons_own_and_shared_devices_leave_none(site, amina):
    def ask(client, text):
        job = client.post("/api/ask", json={"text": text, "lang": "en"}).json()["id"]
        eventually(lambda: client.get(f"/api/jobs/{job}").json()["state"] == "done")
        return job

    own = site.signed_in(amina, "482915")
    ask(own, f"{BOIL} Call +254 712 345 678.")
    ask(site.signed_in(amina, "482915", shared="1"), "Which soap is left behind?")
    page = own.get("/history").text
    assert BOIL in page
    assert "712 345" not in page, "redacted like the log"
    assert "left behind" not in page
    assert BOIL not in site.role("supervisor").get("/history").text
    person = next(p for p in site.people.all() if p.name == amina)
    assert site.role("supervisor").get(f"/team/{person.id}").status_code == 403
    assert "left behind" not in site.role("supervisor").get("/team").text
    posted(own, "/me", "/me/consent", consent="1")
    assert BOIL in site.role("supervisor").get(f"/team/{person.id}").text
    posted(own, "/history", "/history/forget", exchange="all")
    assert BOIL not in own.get("/history").text


def test_one_signed_out_client_finds_nothing_of_its_own_any_more(site, amina):
    client = site.signed_in(amina, "482915")
    token = client.cookies[COOKIE]
    answer = posted(client, "/sign-out", "/sign-out")
    assert answer.headers["location"] == "/sign-in?out=1"
    assert '"storage"' in answer.headers["clear-site-data"]
    client.cookies.set(COOKIE, token)
    assert client.get("/me").status_code == 401


def test_pages_with_something_of_somebody_are_in_no_cache(site):
    for path in ("/", "/me", "/history", "/lite", "/config"):
        assert site.role("worker").get(path).headers["cache-control"] == "no-store"


def test_a_raw_client_gets_no_more_out_of_gradio_than_the_page_does(site):
    """Every event of the page, called by number, with another person's question: nothing of it comes back."""
    asked = site.role("supervisor").post("/api/ask", json={"text": BOIL, "lang": "en"}).json()["id"]
    eventually(lambda: site.role("supervisor").get(f"/api/jobs/{asked}").json()["state"] == "done")
    answer = site.role("supervisor").get(f"/api/jobs/{asked}").json()["answer"]
    worker = site.role("worker")
    config = worker.get("/config").json()
    came = ""
    for event in config["dependencies"]:
        data = [asked] * len(event["inputs"])
        body = {"data": data, "fn_index": event["id"], "session_hash": f"raw{event['id']}", "event_data": None}
        came += worker.post("/gradio_api/run/predict", json=body).text
    assert answer.strip()
    assert answer not in came
    assert BOIL not in came
    for path in ("call/ask", "api/ask", "run/ask/", "upload", "component_server", "reset"):
        assert worker.post(f"/gradio_api/{path}", json={"data": []}).status_code == 404


def test_one_request_cannot_be_too_large_or_too_slow(site):
    big = "x" * (70 << 10)
    assert site.role("worker").post("/api/ask", json={"text": big, "lang": "en"}).status_code == 413
    host, port = site.server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as slow:
        cookie = f"{COOKIE}={site.role('worker').cookies[COOKIE]}"
        slow.sendall(
            f"POST /api/ask HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nContent-Type: application/json\r\n"
            "Content-Length: 60000\r\n\r\n{".encode()
        )
        began = time.monotonic()
        said = slow.recv(200)
        assert b"408" in said
        assert time.monotonic() - began < 40
    assert httpx.get(f"{site.server.url}/healthz").status_code == 200
