"""Every view of the page as a visitor meets it, for what looks at all of them: accessibility, screenshots."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

from appliance.accounts.people import People, Role
from appliance.web import pages
from appliance.web.identity import COOKIE
from appliance.web.strings import languages
from tests.journeys.demo import ENGLISH, SWAHILI
from tests.support.people import copied, first_code, set_up, sign_in, token_in
from tests.support.site import Site, serving

QUESTIONS = {"sw": SWAHILI}
"""What the demo's model was trained on; English for all others."""
NEED = "I want to die"
WORKER, LEARNER, SUPERVISOR = "Juma Hassan Ali", "Amina", ("Neema Wanjiru", "pin-of-neema")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peopled:
    """A serving box that has seen some use: people of each role, a document, a key, an audit trail."""

    url: str
    tokens: dict[str, str]
    """The session's cookie of each ``View.who``."""
    setup: dict[str, str]
    """By language: the page on which the first administrator was made, which the box then no longer had."""


Reach = Callable[[Page, Peopled, str], None]
"""Takes a page, the box and the visitor's language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view, who sees it ("" for who has not signed in), and how to get there from nowhere."""

    name: str
    reach: Reach
    who: str = "worker"


def unfold(page: Page) -> None:
    """Open everything that unfolds, so that nothing is hidden from who looks."""
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")


def fresh(page: Page, box: Peopled, lang: str) -> None:
    page.goto(f"{box.url}/healthz")
    page.evaluate("sessionStorage.clear()")  # else the tab shows its last answer, as done
    page.goto(box.url)
    expect(page.locator("button#ask")).to_be_visible(timeout=30_000)


def asked(page: Page, box: Peopled, lang: str, question: str = "") -> None:
    fresh(page, box, lang)
    page.locator("#question textarea").fill(question or QUESTIONS.get(lang, ENGLISH))
    page.locator("button#ask").click()
    expect(page.locator('.fp-status[data-state="done"]')).to_be_visible(timeout=60_000)


def at(path: str) -> Reach:
    """Open an address, and all that unfolds there."""

    def reach(page: Page, box: Peopled, lang: str) -> None:
        answer = page.goto(f"{box.url}{path}")
        assert answer is not None, path
        assert answer.status == 200, (path, answer.status)
        unfold(page)

    return reach


def _unfolded(page: Page, box: Peopled, lang: str) -> None:
    asked(page, box, lang)
    unfold(page)
    page.locator(".fp-term").first.click() if page.locator(".fp-term").count() else None


def _empty(page: Page, box: Peopled, lang: str) -> None:
    fresh(page, box, lang)
    page.locator("button#ask").click()
    expect(page.locator(".fp-error")).to_be_visible(timeout=30_000)


def _languages(page: Page, box: Peopled, lang: str) -> None:
    fresh(page, box, lang)
    page.locator(".fp-languages summary").click()


def _need(page: Page, box: Peopled, lang: str) -> None:
    asked(page, box, lang, NEED)


def _lite_answered(page: Page, box: Peopled, lang: str) -> None:
    page.goto(f"{box.url}/lite")
    page.locator("textarea").fill(QUESTIONS.get(lang, ENGLISH))
    page.locator("button.go").click()
    expect(page.locator('[data-state="done"]')).to_be_visible(timeout=60_000)
    unfold(page)


def _written(page: Page, box: Peopled, markup: str) -> None:
    page.goto(f"{box.url}/healthz")
    page.set_content(markup)


def _door(page: Page, box: Peopled, lang: str) -> None:
    # Only a site with an access code asks for it; the page is the same everywhere.
    _written(page, box, pages.door(lang=lang, message="", lite=False))


def _setup(page: Page, box: Peopled, lang: str) -> None:
    _written(page, box, box.setup[lang])


def _refused(page: Page, box: Peopled, lang: str) -> None:
    page.goto(f"{box.url}/sign-in")
    page.locator("#name").fill("Nobody here")
    page.locator("#pin").fill("000000")
    page.locator("form button").click()
    expect(page.get_by_role("alert")).to_be_visible(timeout=30_000)


def _second_picture(page: Page, box: Peopled, lang: str) -> None:
    page.goto(f"{box.url}/sign-in?way=pictures")
    page.locator("#name").fill(WORKER)
    page.locator(".pictures button").first.click()
    expect(page.locator("[name=so_far]")).not_to_have_value("", timeout=30_000)


def _person(page: Page, box: Peopled, lang: str) -> None:
    page.goto(f"{box.url}/admin/people")
    page.get_by_role("link", name=WORKER).click()
    expect(page.get_by_role("heading", name=WORKER)).to_be_visible(timeout=30_000)


def _told_once(page: Page, box: Peopled, lang: str) -> None:
    page.goto(f"{box.url}/admin/people")
    page.get_by_role("link", name=LEARNER).click()
    page.get_by_role("button", name="New pictures").click()
    expect(page.locator(".shown figure")).to_have_count(3, timeout=30_000)


def _team_person(page: Page, box: Peopled, lang: str) -> None:
    page.goto(f"{box.url}/team")
    page.get_by_role("link", name=WORKER).click()
    expect(page.locator(".card").first).to_be_visible(timeout=30_000)


VIEWS = (
    View(name="ask", reach=fresh),
    View(name="languages", reach=_languages),
    View(name="empty", reach=_empty),
    View(name="answer", reach=asked),
    View(name="answer-unfolded", reach=_unfolded),
    View(name="need", reach=_need),
    View(name="source", reach=at("/source/field-guides/safe-water.md?start=34&end=81#passage")),
    View(name="cards", reach=at("/cards")),
    View(name="lite", reach=at("/lite")),
    View(name="lite-answer", reach=_lite_answered),
    View(name="door", reach=_door, who=""),
    View(name="setup", reach=_setup, who=""),
    View(name="sign-in", reach=at("/sign-in"), who=""),
    View(name="sign-in-refused", reach=_refused, who=""),
    View(name="sign-in-pictures", reach=at("/sign-in?way=pictures"), who=""),
    View(name="sign-in-second-picture", reach=_second_picture, who=""),
    View(name="signed-out", reach=at("/sign-in?out=1"), who=""),
    View(name="trust", reach=at("/trust"), who=""),
    View(name="sign-out", reach=at("/sign-out")),
    View(name="account-pictures", reach=at("/me")),
    View(name="account-pin", reach=at("/me?saved=1"), who="supervisor"),
    View(name="history", reach=at("/history")),
    View(name="team", reach=at("/team"), who="supervisor"),
    View(name="team-person", reach=_team_person, who="supervisor"),
    View(name="admin", reach=at("/admin"), who="admin"),
    View(name="admin-people", reach=at("/admin/people"), who="admin"),
    View(name="admin-person", reach=_person, who="admin"),
    View(name="admin-told-once", reach=_told_once, who="admin"),
    View(name="admin-documents", reach=at("/admin/documents"), who="admin"),
    View(name="admin-keys", reach=at("/admin/keys"), who="admin"),
    View(name="admin-use", reach=at("/admin/use"), who="admin"),
    View(name="admin-audit", reach=at("/admin/audit"), who="admin"),
)


@contextmanager
def peopled(site: Site, folder: Path) -> Iterator[Peopled]:
    """A copy of the site's box, served to others, with what ``Peopled`` says; made through the pages themselves."""
    home = copied(site, folder).home
    with serving("fieldpost", "--home", home, "--host", "0.0.0.0") as server:

        def client(lang: str = "en") -> httpx.Client:
            return httpx.Client(base_url=server.url, timeout=60, headers={"Accept-Language": lang})

        setup = {}
        for lang in languages():
            with client(lang) as visitor:
                setup[lang] = visitor.get("/setup").text
        tokens = {}
        with client() as admin, People(home / "data" / "accounts.sqlite") as people:
            set_up(admin, first_code(server))
            worker, pictures = people.add(WORKER, Role.WORKER, "pictures")
            people.let_read(worker.id, True)
            people.add(LEARNER, Role.WORKER, "pictures")
            name, pin = SUPERVISOR
            people.add(name, Role.SUPERVISOR, "pin", pin)
            note = ("store.md", b"# Store\n\nThe soap is kept in the blue cupboard behind the school kitchen.\n")
            token = token_in(admin.get("/admin").text)
            admin.post("/admin/documents", data={"token": token}, files={"file": note})
            admin.post("/admin/keys", data={"token": token, "name": "weather-station"})
            admin.post("/admin/setting", data={"token": token, "name": "entry", "value": "people"})
            tokens["admin"] = admin.cookies[COOKIE]
            with client() as visitor:
                sign_in(visitor, name, pin)
                tokens["supervisor"] = visitor.cookies[COOKIE]
            with client() as visitor:
                first, second, third = pictures.split()
                sign_in(visitor, WORKER, "", picture=third, so_far=f"{first} {second}")
                tokens["worker"] = visitor.cookies[COOKIE]
        yield Peopled(url=server.url, tokens=tokens, setup=setup)


@contextmanager
def visiting(
    browser: Browser, box: Peopled, lang: str, *, scheme: Literal["light", "dark"], width: int, height: int
) -> Iterator[Callable[[View], Page]]:
    """A function that shows a view: to each of ``View.who`` in a browser of their own, signed in."""
    opened: dict[str, Page] = {}

    def visit(view: View) -> Page:
        if view.who not in opened:
            context = browser.new_context(viewport={"width": width, "height": height}, locale=lang, color_scheme=scheme)
            if view.who:
                context.add_cookies([{"name": COOKIE, "value": box.tokens[view.who], "url": box.url}])
            opened[view.who] = context.new_page()
        view.reach(opened[view.who], box, lang)
        return opened[view.who]

    try:
        yield visit
    finally:
        for page in opened.values():
            page.context.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, asking nobody on its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                *("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()
