"""Tests of appliance.web.guard: what a hostile page in a phone's browser, or a lying client, gets."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from appliance.web.guard import Guard

HERE = "http://fieldpost.local"


async def page(request):
    return PlainTextResponse(f"inside {request.headers.get('x-forwarded-host', '')}")


def client():
    app = Starlette(routes=[Route("/{path:path}", page, methods=["GET", "POST"])])
    guarded = Guard(app, names=frozenset({"localhost", "fieldpost.local"}))
    return TestClient(guarded, base_url=HERE, follow_redirects=False)


@pytest.mark.parametrize("host", ["fieldpost.local", "localhost:7860", "192.168.4.1", "[fd00::1]:7860", "127.0.0.1:1"])
def test_our_names_and_bare_addresses_are_answered(host):
    assert client().get("/", headers={"host": host}).text == "inside "


@pytest.mark.parametrize("host", ["evil.example", "fieldpost.local.evil.example", "", "[bad", "1.2.3.4.evil.example"])
def test_another_name_for_this_address_is_refused(host):
    # A page on that name would otherwise read answers through the visitor's browser (DNS rebinding).
    refused = client().get("/", headers={"host": host})
    assert refused.status_code == 400
    assert "default-src 'self'" in refused.headers["content-security-policy"]


@pytest.mark.parametrize(
    "said",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://fieldpost.local"},  # another scheme is another page
        {"origin": "http://fieldpost.local.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"referer": "http://evil.example/fieldpost.local"},
    ],
)
def test_a_form_on_another_page_cannot_send_here(said):
    assert client().post("/api/ask", headers=said).status_code == 403
    assert client().get("/", headers=said).status_code == 200, "a link from there may lead here"


@pytest.mark.parametrize(
    "said", [{}, {"origin": HERE}, {"sec-fetch-site": "same-origin"}, {"referer": f"{HERE}/sign-in"}]
)
def test_our_own_forms_and_programs_may(said):
    assert client().post("/api/ask", headers=said).status_code == 200


def test_answers_carry_headers_that_keep_the_page_to_itself():
    headers = client().get("/").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_only_files_of_the_page_itself_stay_in_a_phones_cache():
    assert client().get("/me").headers["cache-control"] == "no-store"
    assert client().get("/assets/index.js").headers["cache-control"] == "private, max-age=31536000, immutable"


def test_a_forwarded_host_is_not_believed():
    assert client().get("/", headers={"x-forwarded-host": "evil.example"}).text == "inside "
