"""A TUF repository, and a client that meets it over HTTP."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.tuf_client_runner import Client
from tests.support.tuf_repository import Repository


@pytest.fixture
def meet(tmp_path: Path) -> Iterator[Callable[[Repository], Client]]:
    """Serve a repository to a new client."""
    open_servers = []

    def start(repo: Repository) -> Client:
        server = repo.serve()
        open_servers.append(server)
        return Client(tmp_path, repo, server.__enter__())

    yield start
    for server in open_servers:
        server.__exit__(None, None, None)


@pytest.fixture
def repo() -> Repository:
    return Repository()
