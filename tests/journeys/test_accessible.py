"""WCAG 2.2 by axe-core, with no rule and no element left out: every view, light and dark, from left and from right."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.support.site import serving
from tests.support.views import VIEWS, chromium

pytestmark = pytest.mark.browser
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.fixture(scope="module")
def box(demo_site):
    with serving("fieldpost", "--home", demo_site.home) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


# The other two pairs show the same colours on the same elements; scripts/screenshots draws them all.
@pytest.mark.parametrize(("lang", "scheme"), [("sw", "light"), ("ar", "dark")])
def test_every_view_is_accessible(browser, box, lang, scheme):
    context = browser.new_context(viewport={"width": 360, "height": 740}, locale=lang, color_scheme=scheme)
    page = context.new_page()
    broken = []
    for view in VIEWS:
        view.reach(page, box.url, lang)
        found = Axe().run(page, options={"runOnly": {"type": "tag", "values": [*STANDARD, "best-practice"]}})
        broken += [
            (view.name, rule["id"], node["html"][:160], node["failureSummary"][:200])
            for rule in found.response["violations"]
            for node in rule["nodes"]
        ]
    context.close()
    assert broken == []
