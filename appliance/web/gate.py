"""The one gate: who a request comes from, and whether that visitor may use that address. Plain ASGI around the app.

The table is ``rules``; here it is carried out. Handlers learn from ``identity.of`` who it is, and still check whose
question or document they were asked for: being let in is not owning.
"""

import threading
from collections import OrderedDict

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, QueryParams
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.accounts.people import People
from appliance.accounts.sessions import Sessions, hash_of
from appliance.web import identity
from appliance.web.bounds import bounded
from appliance.web.door import Door
from appliance.web.identity import COOKIE, FORM_COOKIE, LEVELS, Identity, Level
from appliance.web.jobs import HERE, Owner
from appliance.web.rules import Rule, rule_for

MOST_STREAMS = 5000


class Streams:
    """Which of Gradio's sessions is whose. Their ids are made by browsers, and not to be trusted as secrets."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def claim(self, session_hash: str, owner: Owner) -> bool:
        """Whether the session is this owner's; it becomes theirs if nobody named it before."""
        if not session_hash:
            return False
        with self._lock:
            found = self._owners.setdefault(session_hash, owner.key)
            self._owners.move_to_end(session_hash)
            while len(self._owners) > MOST_STREAMS:
                self._owners.popitem(last=False)
            return found == owner.key


class Gate:
    """ASGI middleware around the app."""

    def __init__(
        self, app: ASGIApp, *, people: People, sessions: Sessions, streams: Streams, door: Door | None
    ) -> None:
        """``door`` is None on a box that serves only itself: there everybody may ask."""
        self._app = app
        self._people = people
        self._sessions = sessions
        self._streams = streams
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        visitor = self._identify(headers)
        if visitor.session and self._sessions.to_note(visitor.session):
            await run_in_threadpool(self._sessions.note, visitor.session)
        found = rule_for(scope["method"], scope["path"])
        if found is None:
            await PlainTextResponse("Not found.", 404)(scope, receive, send)
            return
        rule, parameters = found
        refusal = self._refusal(rule, parameters, visitor, scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        identity.put(scope, visitor)
        await bounded(self._app, scope, receive, send, rule.bounds)

    def _identify(self, headers: Headers) -> Identity:
        token = identity.cookie(headers, COOKIE)
        if found := self._sessions.find(token):
            session, person = found
            return Identity(
                level=LEVELS[person.role],
                owner=Owner(key=person.id, person="" if session.shared else person.id),
                person=person,
                session=session,
                form_token=identity.form_token(token),
            )
        form_token = identity.form_token(identity.cookie(headers, FORM_COOKIE))
        if self._door is None:
            return Identity(level=Level.ASKER, owner=HERE, form_token=form_token)
        if self._people.entry == "code" and self._door.admits(token):
            return Identity(level=Level.ASKER, owner=Owner(key=f"visitor {hash_of(token)}"), form_token=form_token)
        return Identity(form_token=form_token)

    def _refusal(
        self, rule: Rule, parameters: dict[str, str], visitor: Identity, scope: Scope, headers: Headers
    ) -> Response | None:
        if visitor.level < rule.level:
            return self._stopped(rule, visitor, headers, scope["path"])
        if rule.session_in:
            named = parameters.get(rule.session_in) or QueryParams(scope["query_string"]).get(rule.session_in, "")
            if not self._streams.claim(named, visitor.owner):
                return PlainTextResponse("That is another visitor's.", 403)
        return None

    def _stopped(self, rule: Rule, visitor: Identity, headers: Headers, path: str) -> Response:
        if visitor.person is not None:
            return PlainTextResponse("Your role does not include this. Ask an administrator of this box.", 403)
        if rule.method == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse(self._entrance(rule.level, path), 303)
        return PlainTextResponse("Sign in first.", 401)

    def _entrance(self, level: Level, path: str) -> str:
        """Where a browser is sent that may not be here yet."""
        start = path.split("/")[1]
        if level is Level.ASKER and self._people.entry == "code":
            return "/enter?to=lite" if start == "lite" else "/enter"
        if not self._people.has_admin():
            return "/setup"
        return f"/sign-in?to={start}" if start in WANTED else "/sign-in"


WANTED = {"": "/", "lite": "/lite", "me": "/me", "history": "/history", "team": "/team", "admin": "/admin"}
"""Where one may be led after signing in: an address from outside would be a way to send people elsewhere."""
