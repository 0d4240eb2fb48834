"""The web app, put together: guard, gate, pages, API; and who must pass a door."""

import ipaddress
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI, Request
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from appliance.accounts.history import History
from appliance.accounts.keys import Keys
from appliance.accounts.people import People
from appliance.accounts.sessions import Sessions
from appliance.announce import NAME
from appliance.box import Box
from appliance.certificates import Certificates
from appliance.errors import FieldpostError
from appliance.exchange import Exchange
from appliance.record import record_of
from appliance.web import (
    admin,
    admin_documents,
    admin_keys,
    admin_people,
    admin_use,
    forms,
    health,
    lite,
    me,
    openai_api,
    sign_in,
    strings,
    team,
    transport,
    ui,
)
from appliance.web.api import MOST_CHARACTERS, routes
from appliance.web.audit import auditor
from appliance.web.door import Door
from appliance.web.gate import Gate, Streams
from appliance.web.guard import Guard
from appliance.web.jobs import Jobs
from appliance.web.topics import load_topics
from appliance.web.uploads import Uploads
from appliance.web.visitor import Speaks, shown

_log = logging.getLogger(__name__)


def create_app(
    box: Box, people: People, *, door: Door | None = None, certificates: Certificates | None = None
) -> ASGIApp:
    """The whole site over an open box.

    ``door`` and ``certificates`` are needed wherever others than the box itself can reach it.
    """
    sessions, streams = Sessions(people), Streams()
    app: ASGIApp = inner_app(box, people, sessions, streams, door=door, certificates=certificates)
    app = Gate(app, people=people, sessions=sessions, streams=streams, door=door)
    if certificates is not None:
        app = transport.Encrypted(app, people=people)
    return Guard(app, names=frozenset(names()))


def names() -> list[str]:
    """The names that a box answers to, besides its addresses."""
    host = socket.gethostname().lower()
    return ["localhost", f"{NAME}.local", host, f"{host}.local"]


def inner_app(
    box: Box,
    people: People,
    sessions: Sessions,
    streams: Streams,
    *,
    door: Door | None,
    certificates: Certificates | None = None,
) -> FastAPI:
    """The app without guard and gate: all routes there are."""
    history, audit = History(people), auditor(box.log)

    def keep(person: str, done: Exchange) -> None:
        try:
            said = record_of(done, box.config.safety.phone_regions, box.pipeline.policy.names)
            texts = {"question": str(said["question"]), "answer": str(said["answer"])}
            history.keep(person, exchange=done.id, lang=done.lang, **texts)
        except FieldpostError as error:  # a full disk must not cost the answer
            _log.warning("history: %s", error)

    jobs, uploads = Jobs(box.pipeline, keep=keep), Uploads(box)
    strings.learn(pack.folder / name for pack in box.release.of("langpack") for name in pack.strings)
    topics = load_topics(box)
    site = box.release.languages

    def lang_of(request: Request) -> str:
        return shown(request.headers, site)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        uploads.close()
        jobs.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.include_router(routes(box, jobs, door))
    keys = Keys(box.home.api_keys)
    app.include_router(openai_api.routes(box, keys))
    app.include_router(health.routes(box, keys))
    app.include_router(lite.routes(box, jobs, topics, most_characters=MOST_CHARACTERS))
    app.include_router(forms.routes(box, jobs))
    app.include_router(sign_in.routes(people, sessions, audit, lang_of))
    app.include_router(transport.routes(certificates, lang_of))
    app.include_router(me.routes(people, sessions, history, audit, lang_of))
    app.include_router(team.routes(people, history, audit, lang_of))
    app.include_router(admin.routes(box, people, audit))
    app.include_router(admin_people.routes(people, sessions, audit))
    app.include_router(admin_documents.routes(uploads, site, audit))
    app.include_router(admin_keys.routes(box, keys, people, audit))
    app.include_router(admin_use.routes(box))
    ui.mount(app, box, jobs, streams)
    app.add_middleware(Speaks, site=site, say=partial(ui.say, box, topics), style=ui.style())
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    return app


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address: there is no door then."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
