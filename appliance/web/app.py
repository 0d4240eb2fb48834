"""The web app, put together: guard, API, page. ``serve`` runs it until it is told to stop."""

import ipaddress
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from appliance.box import Box
from appliance.web import ui
from appliance.web.api import routes
from appliance.web.door import Door, load_or_make_code
from appliance.web.guard import Guard
from appliance.web.jobs import Jobs


def create_app(box: Box, *, door: Door | None) -> ASGIApp:
    """The whole site over an open box. ``door`` is needed wherever others than the box itself can reach it."""
    jobs = Jobs(box.pipeline)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        jobs.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.include_router(routes(box, jobs, door))
    ui.mount(app, box, jobs)
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    names = frozenset({"localhost", "fieldpost.local", socket.gethostname().lower()})
    return Guard(app, names=names, door=door)


def door_for(box: Box, host: str) -> tuple[Door, str] | None:
    """The door that ``host`` needs and its code; ``None`` for a loopback address."""
    try:
        if ipaddress.ip_address(host).is_loopback:
            return None
    except ValueError:
        if host == "localhost":
            return None
    code = load_or_make_code(box.home.data / "access-code")
    return Door(code), code


def serve(app: ASGIApp, *, host: str, port: int, ready: threading.Event) -> None:
    """Serve until SIGTERM or Ctrl-C; ``ready`` is set once the port answers.

    A phone that keeps a stream open must not keep the box from stopping, hence the short grace.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready.set()

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,  # it would write questions' addresses to disk, and nobody reads it
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    Server(config).run()
