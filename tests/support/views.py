"""Every view of the page as a visitor meets it, for what looks at all of them: accessibility, screenshots."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, Page, expect, sync_playwright

from appliance.web import pages
from tests.journeys.demo import ENGLISH, SWAHILI

QUESTIONS = {"sw": SWAHILI}
"""What the demo's model was trained on; English for all others."""
NEED = "I want to die"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view, and how to get there from nowhere."""

    name: str
    reach: Callable[[Page, str, str], None]
    """Takes a page, the box's address and the visitor's language."""


def unfold(page: Page) -> None:
    """Open everything that unfolds, so that nothing is hidden from who looks."""
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")


def fresh(page: Page, url: str, lang: str) -> None:
    page.goto(url)
    expect(page.locator("button#ask")).to_be_visible(timeout=30_000)


def asked(page: Page, url: str, lang: str, question: str = "") -> None:
    fresh(page, url, lang)
    page.locator("#question textarea").fill(question or QUESTIONS.get(lang, ENGLISH))
    page.locator("button#ask").click()
    expect(page.locator('.fp-status[data-state="done"]')).to_be_visible(timeout=60_000)


def _unfolded(page: Page, url: str, lang: str) -> None:
    asked(page, url, lang)
    unfold(page)
    page.locator(".fp-term").first.click() if page.locator(".fp-term").count() else None


def _empty(page: Page, url: str, lang: str) -> None:
    fresh(page, url, lang)
    page.locator("button#ask").click()
    expect(page.locator(".fp-error")).to_be_visible(timeout=30_000)


def _languages(page: Page, url: str, lang: str) -> None:
    fresh(page, url, lang)
    page.locator(".fp-languages summary").click()


def _need(page: Page, url: str, lang: str) -> None:
    asked(page, url, lang, NEED)


def _source(page: Page, url: str, lang: str) -> None:
    page.goto(f"{url}/source/field-guides/safe-water.md?start=34&end=81#passage")


def _cards(page: Page, url: str, lang: str) -> None:
    page.goto(f"{url}/cards")


def _lite(page: Page, url: str, lang: str) -> None:
    page.goto(f"{url}/lite")


def _lite_answered(page: Page, url: str, lang: str) -> None:
    _lite(page, url, lang)
    page.locator("textarea").fill(QUESTIONS.get(lang, ENGLISH))
    page.locator("button.go").click()
    expect(page.locator('[data-state="done"]')).to_be_visible(timeout=60_000)
    unfold(page)


def _door(page: Page, url: str, lang: str) -> None:
    # On the box itself there is no door; the page is the same everywhere.
    page.goto(f"{url}/healthz")
    page.set_content(pages.door(lang=lang, message="", lite=False))


VIEWS = (
    View(name="ask", reach=fresh),
    View(name="languages", reach=_languages),
    View(name="empty", reach=_empty),
    View(name="answer", reach=asked),
    View(name="answer-unfolded", reach=_unfolded),
    View(name="need", reach=_need),
    View(name="source", reach=_source),
    View(name="cards", reach=_cards),
    View(name="door", reach=_door),
    View(name="lite", reach=_lite),
    View(name="lite-answer", reach=_lite_answered),
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, asking nobody on its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        )
        try:
            yield browser
        finally:
            browser.close()
