"""Signing in as people do: through the forms, over HTTP. For tests of the page and of what it must refuse."""

import re
import shutil
from pathlib import Path

import httpx

from tests.support.scripted import eventually
from tests.support.site import Server, Site, run

ADMIN = ("Asha Mwangi", "tembo-na-simba")


def copied(site: Site, folder: Path) -> Site:
    """The site with a box of its own: the same release, and people, log and settings that no other test sees."""
    copy = Site(folder=folder)
    shutil.copytree(site.home, copy.home, symlinks=True, ignore=shutil.ignore_patterns("accounts.sqlite*"))
    return copy


def with_access_code(site: Site, folder: Path) -> Path:
    """HOME of a box of its own where whoever knows the access code may ask."""
    home = copied(site, folder).home
    run("fieldpost", "people", "setting", "entry", "code", "--home", home)
    return home


def token_in(page: str) -> str:
    """The token of the first form on a page."""
    found = re.search(r'name="token" value="([0-9a-f]*)"', page)
    assert found, "no form with a token"
    return found[1]


def sign_in(client: httpx.Client, name: str, pin: str, **more: str) -> httpx.Response:
    """Fill in the form and send it."""
    token = token_in(client.get("/sign-in").text)
    return client.post("/sign-in", data={"token": token, "name": name, "pin": pin, **more})


def printed(server: Server, beginning: str) -> str:
    """What a serving box printed after these words."""

    def lines() -> list[str]:
        return [line for line in server.output if line.startswith(beginning)]

    eventually(lambda: bool(lines()))
    return lines()[0].removeprefix(beginning).strip()


def first_code(server: Server) -> str:
    """The one-time code that a box without an administrator printed."""
    return printed(server, "First administrator:").rpartition(" ")[2]


def set_up(client: httpx.Client, code: str) -> httpx.Response:
    """Become the first administrator with the printed code."""
    token = token_in(client.get("/setup").text)
    name, pin = ADMIN
    return client.post("/setup", data={"token": token, "code": code, "name": name, "pin": pin, "again": pin})
