"""Tests of appliance.web.visitor: the language a visitor sees, and the page filled with it."""

import json
import re

import httpx
import pytest
from starlette.datastructures import Headers

from appliance.exchange import AUTO
from appliance.web import visitor
from appliance.web.strings import words
from tests.support.site import serving

SITE = ("sw", "en")


@pytest.mark.parametrize(
    ("headers", "lang"),
    [
        ({}, "sw"),
        ({"accept-language": "ar-EG,en;q=0.5"}, "ar"),
        ({"accept-language": "zu,en;q=0.5"}, "en"),
        ({"cookie": "fieldpost-lang=ur", "accept-language": "en"}, "ur"),
        ({"cookie": "fieldpost-lang=../../x", "accept-language": "en"}, "en"),
        ({"cookie": "a=b; fieldpost-lang=zu"}, "sw"),
        ({"cookie": "\x00;;==", "accept-language": "hi"}, "hi"),
    ],
)
def test_the_choice_comes_first_then_the_browsers_list_then_the_sites(headers, lang):
    assert visitor.shown(Headers(headers), SITE) == lang


def test_an_answer_comes_in_the_pages_language_where_the_site_has_it():
    assert visitor.answered("sw", SITE) == "sw"
    assert visitor.answered("ur", SITE) == AUTO


@pytest.fixture(scope="module")
def box(demo_site):
    with serving("fieldpost", "--home", demo_site.home) as server:
        yield server


@pytest.mark.parametrize("lang", ["am", "ar", "en", "es", "fr", "ha", "hi", "pt", "sw", "ur"])
def test_the_first_thing_a_phone_gets_is_in_its_language(box, lang):
    page = httpx.get(box.url, headers={"Accept-Language": lang})
    config = json.loads(re.search(r"window.gradio_config = (.*?);</script>", page.text)[1])
    labels = {part["props"].get("elem_id"): part["props"] for part in config["components"]}
    assert labels["question"]["label"] == words(lang)["question"]
    assert labels["ask"]["value"] == words(lang)["ask"]
    direction = "rtl" if lang in ("ar", "ur") else "ltr"
    assert f'<html lang="{lang}" dir="{direction}"' in page.text
    assert "@@" not in page.text
    assert "⟦" not in page.text
    assert page.headers["cache-control"] == "no-store"


def test_the_page_asks_for_nothing_that_only_hosts_of_such_pages_need(box):
    page = httpx.get(box.url).text
    for needless in ("iframeResizer.contentWindow", "manifest.json", "og:image", "twitter:", "raw.githubusercontent"):
        assert needless not in page
    assert '<link rel="icon" href="data:image/svg+xml,' in page
    # What stands around it is still whole.
    assert page.count("<script") == page.count("</script>")
    assert "<gradio-app" in page
    assert 'name="viewport"' in page


def test_a_text_cannot_end_the_script_it_is_put_into():
    speaks = visitor.Speaks(None, site=SITE, say=lambda key, lang: f'</script><b>"{key}\\', style="")
    filled = speaks._filled('<script>window.x = {"label": "@@ask@@"};</script>', "sw")
    assert filled.count("</script>") == 1
    assert json.loads(filled[filled.index("{") : filled.index("}") + 1])["label"] == '</script><b>"ask\\'
