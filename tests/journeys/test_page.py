"""The page as a phone shows it: Debian's Chromium at 360 x 740, on a real box."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.journeys.demo import SWAHILI
from tests.support.people import printed, with_access_code
from tests.support.site import run, serving

pytestmark = pytest.mark.browser
expect.set_options(timeout=20_000)  # a busy machine is no fault of the page


@pytest.fixture(scope="module")
def box(demo_site):
    with serving("fieldpost", "--home", demo_site.home) as server:
        yield server


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        )
        yield browser
        browser.close()


@pytest.fixture
def phone(chromium: Browser, box):
    """A Swahili phone. The test fails if the page asks any other host, or writes an error to the console."""
    context = chromium.new_context(
        viewport={"width": 360, "height": 740}, device_scale_factor=2, has_touch=True, locale="sw-KE"
    )
    hosts: set[str] = set()
    errors: list[str] = []

    def watch(page: Page) -> None:
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)

    context.on("page", watch)
    page = context.new_page()
    page.goto(box.url)
    expect(page.locator("button#ask")).to_have_text("Uliza")  # the page listens from then on
    yield page
    context.close()
    assert hosts - {""} == {urlsplit(box.url).netloc}
    assert errors == []


def test_a_phone_on_the_wifi_comes_in_with_the_printed_code(demo_site, chromium: Browser, tmp_path):
    home = with_access_code(demo_site, tmp_path)
    with serving("fieldpost", "--home", home, "--host", "0.0.0.0") as server:
        code = printed(server, "Access code:")
        page = chromium.new_context(viewport={"width": 360, "height": 740}, locale="sw-KE").new_page()
        page.goto(server.url)
        page.locator("input[name=code]").fill("0000 0000")
        page.get_by_role("button").click()
        expect(page.get_by_role("alert")).to_have_text("Namba si sahihi.")
        page.locator("input[name=code]").fill(code)
        page.get_by_role("button").click()
        expect(page.locator("button#ask")).to_have_text("Uliza")  # the page listens from then on
        ask(page, SWAHILI)
        expect(page.locator('.fp-status[data-state="done"]')).to_be_visible(timeout=60_000)
        page.context.close()


def ask(page: Page, text: str) -> None:
    page.locator("#question textarea").fill(text)
    page.locator("button#ask").click()


def test_a_swahili_question_streams_with_its_original_and_opens_its_passage(phone: Page):
    phone.evaluate(
        """() => { window.seen = []; new MutationObserver(() => {
            const said = document.querySelector('.fp-original dd:last-of-type');
            if (said && document.querySelectorAll('.fp-original dd').length > 1) window.seen.push(said.textContent);
        }).observe(document.body, {subtree: true, childList: true, characterData: true}); }"""
    )
    phone.locator("#form").get_by_text("Hatua").click()  # through the adapter: the longer answer
    ask(phone, SWAHILI)
    expect(phone.locator('.fp-status[data-state="done"]')).to_be_visible(timeout=60_000)
    answer = phone.locator(".fp-answer")
    expect(answer).to_have_attribute("lang", "sw")
    expect(answer).to_contain_text("maji", ignore_case=True)
    expect(answer).to_contain_text("1")
    expect(phone.locator(".fp-original")).to_contain_text("water")
    seen = phone.evaluate("window.seen")
    assert len({len(text) for text in seen}) > 1, "the answer came in one piece"

    phone.locator(".fp-source summary").first.click()
    quoted = phone.locator(".fp-source blockquote").first
    expect(quoted).to_be_visible()
    with phone.context.expect_page() as opened:
        phone.locator("a.fp-cite").first.click()
    marked = opened.value.locator("mark#passage")
    expect(marked).to_be_visible()
    number = int(re.sub(r"\D", "", phone.locator("a.fp-cite").first.inner_text()))
    cited = phone.locator(".fp-source blockquote").nth(number - 1)
    sentence = marked.text_content() or ""
    assert sentence in (cited.text_content() or ""), "the mark opens the passage it names"
    assert sentence in (phone.locator(".fp-original dd").last.text_content() or ""), "at the sentence it follows"


def test_nothing_is_wider_than_the_phone(phone: Page):
    ask(phone, SWAHILI)
    expect(phone.locator('.fp-status[data-state="done"]')).to_be_visible(timeout=60_000)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360


def test_buttons_are_large_enough_for_a_thumb(phone: Page):
    ask(phone, SWAHILI)
    expect(phone.locator('.fp-status[data-state="done"]')).to_be_visible(timeout=60_000)
    for unfolded in phone.locator(".fp-source, .fp-wrong, .fp-topic").all():
        unfolded.evaluate("(one) => { one.open = true; }")
    small = phone.evaluate(
        """() => [...document.querySelectorAll('button, a, summary, textarea, .fp-feedback label, #form label')]
            .filter((one) => one.checkVisibility() && !one.matches('.fp-cite'))
            .map((one) => [one.outerHTML.slice(0, 80), one.getBoundingClientRect().height])
            .filter(([, height]) => height < 48)"""
    )
    assert small == []


def test_an_empty_question_is_met_with_words(phone: Page):
    phone.locator("button#ask").click()
    expect(phone.locator(".fp-error")).to_have_text("Andika swali kwanza.")


def test_choosing_a_language_changes_words_and_direction_and_keeps_what_was_typed(phone: Page):
    phone.locator("#question textarea").fill(SWAHILI)
    phone.locator(".fp-languages summary").click()
    phone.get_by_role("link", name="العربية").click()
    expect(phone.locator("button#ask")).to_have_text("اسأل")
    expect(phone.locator("#question textarea")).to_have_value(SWAHILI)
    page = "() => [document.documentElement.lang, document.documentElement.dir, navigator.language]"
    assert phone.evaluate(page) == ["ar", "rtl", "ar"]
    heading = phone.locator(".fp-title").evaluate(
        "(one) => { const range = document.createRange(); range.selectNodeContents(one);"
        " return range.getBoundingClientRect().right; }"
    )
    assert heading > 330, "the heading begins at the right"
    phone.reload()
    expect(phone.locator("button#ask")).to_have_text("اسأل")
    assert "⟦" not in phone.content()


def test_a_chosen_question_is_asked_and_its_answer_explained_copied_and_judged(phone: Page, demo_site):
    phone.get_by_role("link", name="English").click()
    expect(phone.locator("button#ask")).to_have_text("Ask")
    phone.locator(".fp-topic summary").first.click()
    card = phone.locator(".fp-card").first
    text = card.inner_text()
    card.click()
    expect(phone.locator("#question textarea")).to_have_value(text)
    phone.get_by_role("link", name="Kiswahili").click()
    expect(phone.locator("button#ask")).to_have_text("Uliza")
    ask(phone, SWAHILI)
    expect(phone.locator('.fp-status[data-state="done"]')).to_be_visible(timeout=60_000)
    expect(phone.locator("button#stop")).to_be_hidden()
    pairs = phone.locator(".fp-pair p")
    assert [pairs.nth(n).get_attribute("lang") for n in range(2)] == ["sw", "en"]

    term = phone.locator(".fp-term").first
    expect(term.locator("span")).to_be_hidden()
    term.click()
    expect(term.locator("span")).to_be_visible()
    term.click()

    answer = phone.locator(".fp-answer").inner_text()
    phone.locator("[data-act=copy]").click()
    expect(phone.locator("[data-act=copy]")).to_have_text("Imenakiliwa.")
    phone.locator("#question textarea").fill("")
    phone.locator("#question textarea").press("Control+V")
    assert phone.locator("#question textarea").input_value() == answer

    phone.locator(".fp-wrong summary").click()
    phone.get_by_label("Silielewi").check()
    phone.get_by_label("Kwa maneno yako").fill("Andika kwa 0712 345 678")
    phone.locator(".fp-wrong button").click()
    expect(phone.get_by_text("Asante. Imeandikwa.")).to_be_visible()
    shown = run("fieldpost", "log", "show", "--stream", "feedback", "--home", demo_site.home).stdout
    assert "unclear" in shown
    assert "Andika kwa [telephone]" in shown


def test_a_reloaded_page_finds_its_answer_and_a_new_tab_finds_nothing(phone: Page):
    ask(phone, SWAHILI)
    expect(phone.locator('.fp-status[data-state="done"]')).to_be_visible(timeout=60_000)
    answer = phone.locator(".fp-answer").inner_text()
    phone.reload()
    expect(phone.locator(".fp-answer")).to_have_text(answer, use_inner_text=True, timeout=20_000)
    expect(phone.locator(".fp-source").first).to_be_visible()
    neighbour = phone.context.new_page()
    neighbour.goto(phone.url)
    expect(neighbour.locator("button#ask")).to_have_text("Uliza")
    expect(neighbour.locator(".fp-answer")).to_have_count(0)


@pytest.mark.parametrize(
    "lost", ["**/gradio_api/queue/data**", "**/gradio_api/queue/join**"], ids=["answer", "question"]
)
def test_what_the_wifi_took_is_found_when_it_is_back(chromium: Browser, box, lost: str):
    """The answer's stream, or the question itself, breaks off as when a phone leaves the Wi-Fi."""
    page = chromium.new_context(viewport={"width": 360, "height": 740}, locale="sw-KE").new_page()
    page.goto(box.url)
    expect(page.locator("button#ask")).to_have_text("Uliza")
    page.route(lost, lambda route: route.abort())
    with page.expect_request(lost):
        ask(page, SWAHILI)
    page.unroute(lost)
    with page.expect_navigation():
        page.context.set_offline(True)
        page.context.set_offline(False)
    if "join" in lost:
        expect(page.locator("#question textarea")).to_have_value(SWAHILI, timeout=20_000)
        page.locator("button#ask").click()
    expect(page.locator('.fp-status[data-state="done"]')).to_be_visible(timeout=60_000)
    page.context.close()
