"""Tests of appliance.web.guard: what a stranger on the Wi-Fi, or a hostile page in a phone's browser, gets."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from appliance.web.door import Door
from appliance.web.guard import COOKIE, Guard, asker


async def page(request):
    return PlainTextResponse(f"inside {request.headers.get('x-forwarded-host', '')}")


def client(door=None):
    app = Starlette(routes=[Route("/{path:path}", page, methods=["GET", "POST"])])
    guarded = Guard(app, names=frozenset({"localhost", "fieldpost.local"}), door=door)
    return TestClient(guarded, base_url="http://fieldpost.local", follow_redirects=False)


@pytest.mark.parametrize("host", ["fieldpost.local", "localhost:7860", "192.168.4.1", "[fd00::1]:7860", "127.0.0.1:1"])
def test_our_names_and_bare_addresses_are_answered(host):
    assert client().get("/", headers={"host": host}).text == "inside "


@pytest.mark.parametrize("host", ["evil.example", "fieldpost.local.evil.example", "", "[bad", "1.2.3.4.evil.example"])
def test_another_name_for_this_address_is_refused(host):
    # A page on that name would otherwise read answers through the visitor's browser (DNS rebinding).
    assert client().get("/", headers={"host": host}).status_code == 400


def test_a_form_on_another_page_cannot_ask_here():
    refused = client().post("/api/ask", headers={"origin": "http://evil.example"})
    assert refused.status_code == 403
    assert client().post("/api/ask", headers={"origin": "http://fieldpost.local"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/openapi.json", "/gradio_api/info", "/proxy=http://x", "/monitoring", "/a/run-history"]
)
def test_what_the_box_does_not_need_is_closed(path):
    assert client().get(path).status_code == 404


def test_answers_carry_headers_that_keep_the_page_to_itself():
    headers = client().get("/").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_a_forwarded_host_is_not_believed():
    assert client().get("/", headers={"x-forwarded-host": "evil.example"}).text == "inside "


def test_without_the_code_a_browser_is_sent_to_the_door_and_the_api_is_refused():
    door = Door("12345678")
    browser = client(door).get("/", headers={"accept": "text/html"})
    assert (browser.status_code, browser.headers["location"]) == (303, "/enter")
    assert client(door).get("/api/jobs/1").status_code == 401
    assert client(door).post("/api/ask").status_code == 401
    assert client(door).get("/", headers={"cookie": f"{COOKIE}=guess"}).status_code == 401


def test_another_services_odd_cookie_does_no_harm():
    door = Door("12345678")
    token = door.enter("12345678")
    odd = f'a"b[c]=1; =; {{"x"}}; {COOKIE}={token}; y'
    assert client(door).get("/", headers={"cookie": odd}).text == "inside "


def test_with_a_session_one_is_in():
    door = Door("12345678")
    token = door.enter("12345678")
    assert client(door).get("/", headers={"cookie": f"a=b; {COOKIE}={token}"}).text == "inside "


def test_a_phone_is_told_from_another_by_its_session_else_by_its_address():
    ann, ben = ({"cookie": f"x=1; fieldpost={token}"} for token in ("a", "b"))
    assert asker(ann, "10.0.0.2") == asker(ann, "10.0.0.3") != asker(ben, "10.0.0.2")
    assert asker({}, "10.0.0.2") != asker({}, "10.0.0.3")
    assert asker({}, None) == asker({}, None)
    assert "a" * 3 not in asker({"cookie": "fieldpost=aaaa"}, None), "a session's token goes no further"
