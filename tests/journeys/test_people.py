"""Journeys of people on Chromium, at a phone's size: signing in, being gone afterwards, an upload that answers."""

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from appliance.accounts.people import People, Role
from tests.support.people import copied, first_code
from tests.support.site import serving

pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)  # a busy machine is no fault of the page
PIN = "482915"
QUESTION = "Where is the soap kept?"


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def box(demo_site, tmp_path_factory):
    """A box that quotes its documents: who signs in is tried here, not the model."""
    site = copied(demo_site, tmp_path_factory.mktemp("people"))
    (site.home / "config.toml").write_text('[answer]\nmode = "extractive"\n')
    with serving("fieldpost", "--home", site.home, "--host", "0.0.0.0") as server:
        yield server, site.home / "data" / "accounts.sqlite", first_code(server)


@pytest.fixture
def people(box):
    with People(box[1]) as known:
        yield known


@pytest.fixture
def phone(chromium: Browser, box):
    """A phone that nobody has used yet."""
    context = chromium.new_context(
        viewport={"width": 360, "height": 740}, base_url=box[0].url, locale="en-GB", has_touch=True
    )
    context.set_default_timeout(60_000)
    yield context
    context.close()


def sign_in(page: Page, name: str, pin: str, *, shared: bool = False) -> None:
    page.goto("/sign-in")
    page.get_by_label("Your name").fill(name)
    page.get_by_label("PIN", exact=True).fill(pin)
    if shared:
        page.get_by_label("Others use this device too").check()
    page.get_by_role("button", name="Sign in").click()


def ask(page: Page, text: str) -> None:
    page.locator("#question textarea").fill(text)
    page.locator("button#ask").click()
    expect(page.locator('.fp-status[data-state="done"]')).to_be_visible(timeout=60_000)


def left_behind(context: BrowserContext, page: Page) -> str:
    """All that this browser keeps of the site, as one text."""
    kept = page.evaluate(
        """async () => {
            const found = [JSON.stringify({...localStorage}), JSON.stringify({...sessionStorage})];
            for (const name of await caches.keys()) {
                const cache = await caches.open(name);
                for (const request of await cache.keys()) found.push(await (await cache.match(request)).text());
            }
            for (const one of await indexedDB.databases()) found.push(one.name);
            return found.join('\\n');
        }"""
    )
    return kept + str(context.cookies())


def test_the_first_administrator_uploads_a_document_and_it_answers(phone: BrowserContext, box, tmp_path):
    page = phone.new_page()
    page.goto("/")
    expect(page).to_have_url(f"{box[0].url}/setup")
    page.get_by_label("One-time code").fill(box[2].lower())
    page.get_by_label("Your name").fill("Asha Mwangi")
    page.get_by_label("New PIN").fill("tembo-na-simba")
    page.get_by_label("The same PIN again").fill("tembo-na-simba")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Box")).to_be_visible()
    page.get_by_role("link", name="Documents").click()
    store = tmp_path / "store.md"
    store.write_text("# Store\n\nThe soap is kept in the blue cupboard behind the school kitchen.\n")
    page.get_by_label("Documents").set_input_files(store)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("store.md: done")).to_be_visible(timeout=60_000)  # the page looks again by itself
    page.get_by_role("link", name="Ask", exact=True).click()
    ask(page, QUESTION)
    expect(page.locator(".fp-answer")).to_contain_text("blue cupboard")
    page.goto("/history")
    expect(page.get_by_role("heading", name=QUESTION)).to_be_visible()
    page.goto("/admin/audit")
    expect(page.get_by_role("cell", name="Document added")).to_be_visible()


def test_three_pictures_sign_in_without_a_word_but_the_name(phone: BrowserContext, people):
    _, pictures = people.add("Juma", Role.WORKER, "pictures")
    page = phone.new_page()
    page.goto("/sign-in")
    page.get_by_role("link", name="Sign in with pictures").click()
    page.get_by_label("Your name").fill("juma")
    for number, name in enumerate(pictures.split(), start=1):
        expect(page.get_by_text(f"Touch picture {number} of 3")).to_be_visible()
        button = page.get_by_role("button", name=name, exact=True)
        assert button.bounding_box()["height"] >= 48
        button.click()
    expect(page.locator("button#ask")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("shared", [False, True], ids=["own phone", "shared phone"])
def test_whoever_signs_out_leaves_nothing_behind(phone: BrowserContext, people, shared: bool):
    name = f"Amina {shared}"
    people.add(name, Role.WORKER, "pin", PIN)
    page = phone.new_page()
    sign_in(page, name, PIN, shared=shared)
    expect(page.locator("button#ask")).to_be_visible()
    ask(page, "How long should I boil water?")
    answered = page.url
    page.get_by_role("link", name="My account").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    page.get_by_role("link", name="Sign out").first.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Nothing of yours is left")).to_be_visible()
    assert "boil" not in left_behind(phone, page)
    assert name not in left_behind(phone, page)
    assert "'fieldpost'" not in str(phone.cookies())
    for _ in range(4):
        page.go_back()
        expect(page.get_by_label("Your name")).to_be_visible()
        expect(page.locator(".fp-answer")).to_have_count(0)
        assert name not in page.content()
    page.goto(answered)
    expect(page.get_by_label("Your name")).to_be_visible()
    assert people.rows("SELECT count(*) FROM history WHERE person = ?", (people.named(name).id,)) == [
        (0 if shared else 1,)
    ]


def test_the_next_person_on_the_same_tab_finds_an_empty_page(phone: BrowserContext, people):
    for name in ("Neema", "Wanjiru"):
        people.add(name, Role.WORKER, "pin", PIN)
    page = phone.new_page()
    sign_in(page, "Neema", PIN, shared=True)
    ask(page, "How long should I boil water?")
    page.goto("/sign-out")
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, "Wanjiru", PIN)
    expect(page.locator("button#ask")).to_be_visible()
    expect(page.locator("#question textarea")).to_have_value("")
    expect(page.locator(".fp-answer")).to_have_count(0)
