"""Tests of appliance.web.forms: a language chosen, and what became of an answer."""

import json

import httpx
import pytest

from tests.journeys.demo import ENGLISH
from tests.support.site import ask_page, run, serving


@pytest.fixture(scope="module")
def box(demo_site):
    with serving("fieldpost", "--home", demo_site.home) as server:
        yield server


@pytest.fixture(scope="module")
def job(box):
    return ask_page(box.url, ENGLISH, "en")["id"]


def said(url, job, **form):
    return httpx.post(f"{url}/feedback/{job}", data=form)


def test_what_a_person_says_is_in_the_log_redacted(box, job, demo_site):
    words = "Wrong, call 0712 345 678"
    assert said(box.url, job, verdict="wrong", reason="not-true", words=words).status_code == 303
    shown = run("fieldpost", "log", "show", "--stream", "feedback", "--home", demo_site.home).stdout
    assert "Wrong, call [telephone]" in shown
    assert "0712" not in shown
    assert job in shown
    assert json.loads(shown.splitlines()[-1][shown.splitlines()[-1].index("{") :])["reason"] == "not-true"


def test_thanks_are_shown_on_the_plain_page(box, job):
    page = httpx.post(
        f"{box.url}/feedback/{job}",
        data={"verdict": "helped"},
        follow_redirects=True,
        headers={"Accept-Language": "pt"},
    )
    assert "Obrigado. Ficou anotado." in page.text


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"verdict": "maybe"}, 422),
        ({"verdict": "wrong", "reason": "bored"}, 422),
        ({"verdict": "wrong", "words": "x" * 1001}, 422),
        ({}, 422),
    ],
)
def test_anything_else_is_refused(box, job, form, code):
    assert said(box.url, job, **form).status_code == code


def test_an_unknown_answer_and_too_much_said_are_refused(box):
    assert said(box.url, "0" * 32, verdict="helped").status_code == 404
    job = ask_page(box.url, ENGLISH, "en")["id"]
    codes = [said(box.url, job, verdict="helped").status_code for _ in range(6)]
    assert codes == [303] * 5 + [429]


def test_another_page_cannot_say_it(box, job):
    foreign = httpx.post(
        f"{box.url}/feedback/{job}", data={"verdict": "helped"}, headers={"Origin": "http://elsewhere.example"}
    )
    assert foreign.status_code == 403


def test_only_a_language_of_the_page_is_remembered_and_it_leads_nowhere_else(box):
    chosen = httpx.get(f"{box.url}/language/ar?to=//elsewhere.example")
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/")
    assert "fieldpost-lang=ar" in chosen.headers["set-cookie"]
    assert "HttpOnly" in chosen.headers["set-cookie"]
    assert "set-cookie" not in httpx.get(f"{box.url}/language/xx").headers
