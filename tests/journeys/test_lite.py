"""The plain page in a browser whose scripts are off: asked in Swahili, answered, and found again by its address."""

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.journeys.demo import SWAHILI
from tests.support.site import serving

pytestmark = pytest.mark.browser


def test_a_phone_without_scripts_asks_and_finds_its_answer_again(demo_site):
    with serving("fieldpost", "--home", demo_site.home) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_context(
            java_script_enabled=False, viewport={"width": 240, "height": 320}, locale="sw-KE"
        ).new_page()
        page.goto(f"{server.url}/lite")
        page.locator("textarea").fill(SWAHILI)
        page.get_by_role("button").click()
        expect(page.locator('[data-state="done"]')).to_be_visible(timeout=60_000)
        answer = page.locator(".fp-answer").last.inner_text()
        assert answer.strip()
        expect(page.locator(".growing")).to_be_hidden()
        page.reload()
        assert page.locator(".fp-answer").last.inner_text() == answer
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the phone"
        page.locator(".fp-source summary").first.click()
        expect(page.locator(".fp-source blockquote").first).to_be_visible()
        page.get_by_role("link", name="Uliza tena").click()
        expect(page.locator("textarea")).to_be_visible()
        browser.close()
