"""Who a request comes from, as the gate found it. Handlers ask here and nowhere else.

The box itself (a loopback address) may ask without a name; everything else needs a person.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Scope

from appliance.accounts.people import Person, Role
from appliance.accounts.sessions import IDLE_S, Session
from appliance.web.jobs import HERE, Owner

COOKIE = "fieldpost"
FORM_COOKIE = "fieldpost-form"
KEPT_S = int(IDLE_S)
LangOf = Callable[[Request], str]
"""In which language a visitor reads our plain pages."""
_KEY = "fieldpost.identity"


class Level(IntEnum):
    """What a visitor may do; each may what those before it may."""

    ANYBODY = 0
    ASKER = 1
    """Somebody at the box itself, or with the access code where the site has one."""
    WORKER = 2
    SUPERVISOR = 3
    ADMIN = 4


LEVELS = {Role.WORKER: Level.WORKER, Role.SUPERVISOR: Level.SUPERVISOR, Role.ADMIN: Level.ADMIN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One visitor, for one request."""

    level: Level = Level.ANYBODY
    owner: Owner = field(default_factory=lambda: Owner(key=""))
    """Whose questions these are."""
    person: Person | None = None
    session: Session | None = None
    form_token: str = ""
    """What a form of this visitor must carry; empty where no cookie is there yet to bind it to."""


def put(scope: Scope, identity: Identity) -> None:
    """Note who it is; the gate's."""
    scope[_KEY] = identity


def of(connection: HTTPConnection) -> Identity:
    """Who it is. Raises KeyError: no gate was passed, which is a mistake in how the app is put together."""
    found: Identity = connection.scope[_KEY]
    return found


def asker(connection: HTTPConnection) -> str:
    """Tells this visitor's questions from another's, without saying whose they are. At the box itself, its address."""
    who = of(connection).owner
    key = f"{who.key} {connection.client.host}" if who == HERE and connection.client else who.key
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def cookie(headers: Headers, wanted: str) -> str:
    """A cookie of the request, or an empty string."""
    for part in headers.get("cookie", "").split(";"):  # leniently: another service's odd cookie is not our affair
        name, _, value = part.strip().partition("=")
        if name == wanted:
            return value
    return ""


def form_token(secret: str) -> str:
    """The token of forms for whoever holds this cookie: another page can neither read nor make it."""
    return hashlib.sha256(f"form {secret}".encode("utf-8", "replace")).hexdigest()[:32] if secret else ""


def form_fits(identity: Identity, told: str) -> bool:
    """Whether a form came from a page that this visitor was shown."""
    return bool(identity.form_token) and hmac.compare_digest(identity.form_token.encode(), told.encode())


def new_secret() -> str:
    """A cookie's worth for forms of somebody who is not known yet."""
    return secrets.token_urlsafe(24)


def with_form(visitor: Identity, secret: str) -> Identity:
    """The visitor with the token that belongs to this cookie."""
    return replace(visitor, form_token=form_token(secret))


def give_cookie(response: Response, name: str, value: str, *, request: HTTPConnection, shared: bool = True) -> None:
    """A cookie for this box only, out of scripts' reach; one for a shared device ends with its browser."""
    response.set_cookie(
        name,
        value,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        max_age=None if shared else KEPT_S,
    )
