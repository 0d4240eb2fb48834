"""Tests of appliance.web.lite: HTML that grows, and is whole whenever somebody looks."""

import asyncio
import re
import threading

import httpx
import pytest

from appliance.config import Config
from appliance.exchange import Question
from appliance.language.glossary import Glossary
from appliance.pipeline import Pipeline
from appliance.web import lite
from appliance.web.jobs import HERE, Jobs
from tests.journeys.demo import ENGLISH
from tests.support.people import printed, with_access_code
from tests.support.scripted import ListLog, ScriptedEngine, ScriptedFinder, ScriptedTranslator, eventually, passage
from tests.support.site import serving


@pytest.fixture
def gate():
    return threading.Event()


@pytest.fixture
def jobs(gate):
    pipeline = Pipeline(
        engine=ScriptedEngine(["Boil <b>it", " & wait. [1]"], gate=gate),
        finder=ScriptedFinder([passage("Boil it.")]),
        translator=ScriptedTranslator({}),
        log=ListLog(),
        config=Config(),
        working_lang="en",
        documents=lambda: True,
    )
    jobs = Jobs(pipeline)
    yield jobs
    gate.set()
    jobs.close()


def test_it_grows_while_the_answer_is_made_and_ends_with_the_whole_of_it(jobs, gate):
    job = jobs.start(Question(text="How <i>long</i>?", lang="en"), HERE)

    async def read():
        pieces = lite._answer(job, "en", "en", Glossary())
        first = [await anext(pieces), await anext(pieces), await anext(pieces)]
        gate.set()
        return "".join(first), "".join([piece async for piece in pieces])

    before, after = asyncio.run(read())
    assert not job.snapshot.passages or "Boil &lt;b&gt;it" not in before
    assert "How &lt;i&gt;long&lt;/i&gt;?" in before
    assert 'action="/lite/' in before
    growing, _, whole = after.partition("<style>.growing{display:none}</style>")
    assert "Boil &lt;b&gt;it &amp; wait." in growing
    assert 'data-state="done"' in whole
    assert "Boil &lt;b&gt;it &amp; wait." in whole
    assert "<b>it" not in before + after


def test_whoever_comes_back_later_gets_it_whole_at_once(jobs, gate):
    gate.set()
    job = jobs.start(Question(text="How long?", lang="en"), HERE)
    eventually(lambda: job.snapshot.over)

    async def read():
        return "".join([piece async for piece in lite._answer(job, "en", "en", Glossary())])

    page = asyncio.run(read())
    assert 'data-state="done"' in page
    assert "growing" not in page
    assert page.endswith("</html>")


@pytest.fixture(scope="module")
def box(demo_site):
    with serving("fieldpost", "--home", demo_site.home) as server:
        yield server


def ask(url, **form):
    return httpx.post(f"{url}/lite", data={"lang": "en", **form}, follow_redirects=True)


def test_a_question_leads_to_an_address_where_its_answer_stays(box):
    page = ask(box.url, text=ENGLISH)
    assert page.status_code == 200
    assert re.fullmatch(r"/lite/[0-9a-f]{32}", page.url.path)
    assert "1 minute" in page.text
    again = httpx.get(page.url)
    assert "1 minute" in again.text
    assert "growing" not in again.text


@pytest.mark.parametrize("path", ["/lite", "/lite?lang=sw", "/lite?lang=xx", "/lite?lang=ur"])
def test_the_form_is_small_and_has_no_script_and_no_other_file(box, path):
    page = httpx.get(f"{box.url}{path}")
    assert page.status_code == 200
    assert len(page.content) < 30_000
    text = re.sub(r'<link rel="icon" href="data:[^"]*">', "", page.text)  # the only one, and it holds its picture
    assert not re.search(r"<script|<link|<img|@import|url\(|https?://", text)


def test_an_answer_is_under_thirty_kilobytes(box):
    assert len(ask(box.url, text=ENGLISH).content) < 30_000


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"text": "  "}, "Type a question first."),
        ({"text": " ", "lang": "fr"}, "Écrivez d’abord une question."),
        ({"text": "Hi", "adapter": "none"}, "has no adapter"),
        ({"text": "Hi", "adapter": "none", "lang": "sw"}, "Aina hii ya jibu haipo tena."),
    ],
)
def test_mistakes_are_told_on_the_form(box, form, words):
    page = ask(box.url, **form)
    assert page.status_code == 422
    assert words in page.text
    assert "<textarea" in page.text


def test_a_language_the_box_does_not_answer_in_still_has_the_page(box):
    page = ask(box.url, text=ENGLISH, lang="ur")
    assert '<html lang="ur" dir="rtl">' in page.text
    assert "1 minute" in page.text
    assert "ڈبے نے آپ کے سوال کی زبان کا اندازہ لگایا۔" in page.text
    assert "⟦" not in page.text


def test_a_chosen_language_is_kept_by_the_phone(box):
    with httpx.Client(base_url=box.url) as phone:
        phone.get("/lite?lang=ha")
        assert '<html lang="ha"' in phone.get("/lite").text
        phone.get("/language/am?to=lite")
        assert '<html lang="am"' in phone.get("/lite").text


def test_a_question_to_choose_is_put_into_the_field(box):
    form = httpx.get(f"{box.url}/lite?lang=en").text
    card = re.search(r'class="fp-card" href="(/lite\?q=[^"]+)"[^>]*>([^<]+)<', form)
    chosen = httpx.get(box.url + card[1], headers={"Accept-Language": "en"}).text
    assert f">{card[2]}</textarea>" in chosen


def test_an_answer_that_is_gone_leads_back_to_the_form(box):
    page = httpx.get(f"{box.url}/lite/{'0' * 32}", headers={"Accept-Language": "sw"})
    assert page.status_code == 404
    assert "Uliza tena" in page.text
    assert httpx.post(f"{box.url}/lite/{'0' * 32}/stop").headers["location"] == "/lite"


def test_behind_a_door_an_old_phone_enters_and_comes_to_the_plain_page(demo_site, tmp_path):
    home = with_access_code(demo_site, tmp_path)
    with serving("fieldpost", "--home", home, "--host", "0.0.0.0") as server:
        code = printed(server, "Access code:")
        with httpx.Client(base_url=server.url, follow_redirects=True, headers={"Accept": "text/html"}) as phone:
            door = phone.get("/lite")
            assert 'action="/enter?to=lite"' in door.text
            assert phone.post("/lite", data={"text": "x", "lang": "en"}).status_code == 401
            page = phone.post("/enter?to=lite", data={"code": code})
            assert page.url.path == "/lite"
            assert phone.post("/enter?to=//elsewhere.example", data={"code": code}).url.path == "/"
