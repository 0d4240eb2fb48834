"""A serving box with one person of each role, and clients that signed in through its forms."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from appliance.accounts.people import People, Role
from tests.support.people import copied, sign_in
from tests.support.site import Server, serving
from tests.support.site import Site as Place

PINS = {"worker": "482915", "supervisor": "73019264", "admin": "tembo-na-simba"}


@dataclass
class Site:
    """The box; each person is called like their role."""

    place: Place
    server: Server
    people: People
    """The accounts' file, opened beside the box as ``fieldpost people`` does."""
    clients: dict[str, httpx.Client] = field(default_factory=dict)
    opened: list[httpx.Client] = field(default_factory=list)

    def stranger(self) -> httpx.Client:
        """A browser that nobody knows."""
        self.opened.append(httpx.Client(base_url=self.server.url, timeout=30))
        return self.opened[-1]

    def signed_in(self, name: str, pin: str = "", **more: str) -> httpx.Client:
        """A browser of its own in which that person signed in."""
        client = self.stranger()
        answer = sign_in(client, name, pin or PINS[name], **more)
        assert answer.status_code == 303, answer.text
        return client

    def role(self, name: str) -> httpx.Client:
        """A signed-in browser for a role; the same one every time."""
        if name not in self.clients:
            self.clients[name] = self.signed_in(name)
        return self.clients[name]


@pytest.fixture(scope="session")
def site(demo_site: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests: those that change a person add one of their own."""
    place = copied(demo_site, tmp_path_factory.mktemp("box"))
    (place.home / "data").mkdir(mode=0o700, exist_ok=True)
    (place.home / "config.toml").write_text('[answer]\nmode = "extractive"\n')  # no model: it is not what is tried here
    with People(place.home / "data" / "accounts.sqlite") as people:
        for role in Role:
            people.add(role.value, role, "pin", PINS[role.value])
        with serving("fieldpost", "--home", place.home, "--host", "0.0.0.0") as server:
            found = Site(place=place, server=server, people=people)
            yield found
            for client in found.opened:
                client.close()
