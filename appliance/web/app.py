"""The web app, put together: guard, API, page; and the door that an address needs."""

import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from appliance.accounts import Keys
from appliance.box import Box
from appliance.web import forms, health, lite, openai_api, strings, ui
from appliance.web.api import MOST_CHARACTERS, routes
from appliance.web.door import Door, load_or_make_code
from appliance.web.guard import Guard
from appliance.web.jobs import Jobs
from appliance.web.topics import load_topics
from appliance.web.visitor import Speaks


def create_app(box: Box, *, door: Door | None) -> ASGIApp:
    """The whole site over an open box. ``door`` is needed wherever others than the box itself can reach it."""
    jobs = Jobs(box.pipeline)
    strings.learn(pack.folder / name for pack in box.release.of("langpack") for name in pack.strings)
    topics = load_topics(box)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        jobs.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.include_router(routes(box, jobs, door))
    keys = Keys(box.home.api_keys)
    app.include_router(openai_api.routes(box, keys))
    app.include_router(health.routes(box, keys))
    app.include_router(lite.routes(box, jobs, topics, most_characters=MOST_CHARACTERS))
    app.include_router(forms.routes(box, jobs))
    ui.mount(app, box, jobs)
    app.add_middleware(Speaks, site=box.release.languages, say=partial(ui.say, box, topics), style=ui.style())
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
