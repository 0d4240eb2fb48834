"""What is a person's own: PIN or pictures, devices, consent, and what they asked."""

import html
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from appliance.accounts import proof
from appliance.accounts.history import PAGE, Asked, History
from appliance.accounts.people import People, Person, Role
from appliance.accounts.sessions import Sessions
from appliance.errors import AccountError
from appliance.web import identity
from appliance.web.audit import Audit
from appliance.web.checked import checked
from appliance.web.frame import button, field, form, page, tick, told
from appliance.web.identity import COOKIE, Identity, LangOf
from appliance.web.pictures import svg
from appliance.web.strings import attributes, words

_NEW = 'autocomplete="new-password" maxlength="64" required'


def routes(people: People, sessions: Sessions, history: History, audit: Audit, lang_of: LangOf) -> APIRouter:
    """``/me`` and ``/history``."""
    router = APIRouter()
    posted = [Depends(checked)]

    def mine(request: Request, message: str = "", *, status: int = 200) -> HTMLResponse:
        visitor, lang = identity.of(request), lang_of(request)
        body = message + _me(visitor, sessions, lang)
        whole = page(visitor, title=person_of(visitor).name, body=body, lang=lang, here="/me")
        return HTMLResponse(whole, status)

    @router.get("/me")
    def me(request: Request, saved: str = "") -> Response:
        return mine(request, told(words(lang_of(request))["in_saved"], "good") if saved else "")

    @router.post("/me/pin", dependencies=posted)
    def change_pin(
        request: Request,
        old: Annotated[str, Form(max_length=200)] = "",
        pin: Annotated[str, Form(max_length=200)] = "",
        again: Annotated[str, Form(max_length=200)] = "",
    ) -> Response:
        """Another PIN, for the old one; or fresh pictures. Every other device is signed out."""
        visitor, said = identity.of(request), words(lang_of(request))
        person = person_of(visitor)
        if person.kind == "pin":
            if proof.normal("pin", pin) != proof.normal("pin", again):
                return mine(request, told(said["in_pins_differ"]), status=422)
            if not isinstance(people.enter(person.name, "pin", old), Person):
                return mine(request, told(said["in_wrong"]), status=403)
        try:
            new = people.reset(person.id, person.kind, pin if person.kind == "pin" else None)
        except AccountError as error:
            return mine(request, told(str(error)), status=422)
        audit("pin-changed", by=person)
        answer: Response
        if person.kind == "pin":
            answer = RedirectResponse("/me?saved=1", 303)
        else:
            body = f"<p>{html.escape(said['in_new_pictures'])}</p>{shown_pictures(new, said)}"
            body += f'<p><a class="button" href="/me">{html.escape(said["in_go"])}</a></p>'
            answer = HTMLResponse(page(visitor, title=person.name, body=body, lang=lang_of(request)))
        fresh = people.get(person.id)
        if fresh and visitor.session:  # this device goes on, with a token of its own
            token = sessions.begin(fresh, shared=visitor.session.shared, device=visitor.session.device)
            identity.give_cookie(answer, COOKIE, token, request=request, shared=visitor.session.shared)
        return answer

    @router.post("/me/consent", dependencies=posted)
    def consent(request: Request, consent: Annotated[str, Form(max_length=1)] = "") -> Response:
        person = person_of(identity.of(request))
        people.let_read(person.id, bool(consent))
        audit("consent", by=person, consent=bool(consent))
        return RedirectResponse("/me?saved=1", 303)

    @router.post("/me/sessions/end", dependencies=posted)
    def end_session(request: Request, session: Annotated[str, Form(max_length=64)]) -> Response:
        person = person_of(identity.of(request))
        if session not in {one.hash for one in sessions.of(person.id)}:
            raise HTTPException(404, "There is no such device of yours.")
        sessions.end(session)
        audit("session-ended", by=person)
        return RedirectResponse("/me?saved=1", 303)

    @router.get("/history")
    def show_history(
        request: Request, q: Annotated[str, Query(max_length=200)] = "", skip: Annotated[int, Query(ge=0)] = 0
    ) -> HTMLResponse:
        visitor, lang = identity.of(request), lang_of(request)
        said = words(lang)
        found = history.find(person_of(visitor).id, q, skip=skip, most=PAGE + 1)
        search = (
            field(said["in_search"], "q", kind="search", value=q) + f"<p>{button(said['in_search'], kind='quiet')}</p>"
        )
        body = f'<p class="dim">{html.escape(said["in_history_help"])}</p>'
        body += f'<form method="get" action="/history">{search}</form>'
        for one in found[:PAGE]:
            remove = form(
                visitor, "/history/forget", button(said["in_delete"], kind="harm"), hidden={"exchange": one.id}
            )
            body += asked(one, remove)
        if len(found) > PAGE:
            older = html.escape(urlencode({"q": q, "skip": skip + PAGE}))
            body += f'<p><a href="/history?{older}">{html.escape(said["in_older"])}</a></p>'
        if found and not q:
            body += form(
                visitor, "/history/forget", button(said["in_delete_all"], kind="harm"), hidden={"exchange": "all"}
            )
        body += "" if found else f"<p>{html.escape(said['in_nothing'])}</p>"
        return HTMLResponse(page(visitor, title=said["in_history"], body=body, lang=lang, here="/history"))

    @router.post("/history/forget", dependencies=posted)
    def forget(request: Request, exchange: Annotated[str, Form(max_length=64)]) -> Response:
        person = person_of(identity.of(request))
        if exchange == "all":
            history.forget_all(person.id)
        elif not history.forget(person.id, exchange):
            raise HTTPException(404, "There is no such question of yours.")
        return RedirectResponse("/history", 303)

    return router


def person_of(visitor: Identity) -> Person:
    """The person behind a request that the gate let through to a person's page."""
    if visitor.person is None:
        raise HTTPException(401, "Sign in first.")
    return visitor.person


def asked(one: Asked, below: str = "") -> str:
    """One question and its answer; ``below`` is markup."""
    day = datetime.fromtimestamp(one.asked_s, UTC)
    return (
        f'<div class="card"><h2 {attributes(one.lang)}>{html.escape(one.question)}</h2>'
        f'<p class="dim"><bdi dir="ltr">{day:%Y-%m-%d %H:%M} UTC</bdi></p>'
        f'<p {attributes(one.lang)} style="white-space:pre-wrap">{html.escape(one.answer)}</p>{below}</div>'
    )


def shown_pictures(secret: str, names: Mapping[str, str]) -> str:
    """Three pictures in their order, with their names."""
    return (
        '<div class="shown">'
        + "".join(
            f"<figure>{svg(name)}<figcaption>{html.escape(names['picture_' + name])}</figcaption></figure>"
            for name in secret.split()
        )
        + "</div>"
    )


def _me(visitor: Identity, sessions: Sessions, lang: str) -> str:
    said = words(lang)
    person = person_of(visitor)
    parts = [f'<p class="dim">{html.escape(said["role_" + person.role])}</p>']
    parts.append(f'<p><a class="button quiet" href="/sign-out">{html.escape(said["in_sign_out"])}</a></p>')
    if person.kind == "pin":
        least = proof.LEAST_DIGITS if person.role is Role.WORKER else proof.LEAST_SIGNS
        fields = (
            field(
                said["in_old_pin"],
                "old",
                kind="password",
                more='autocomplete="current-password" maxlength="64" required',
            )
            + field(said["in_new_pin"].format(least=least), "pin", kind="password", more=_NEW)
            + field(said["in_again"], "again", kind="password", more=_NEW)
            + f"<p>{button(said['in_save'])}</p>"
        )
        parts.append(f"<h2>{html.escape(said['in_change_pin'])}</h2>" + form(visitor, "/me/pin", fields))
    else:
        parts.append(form(visitor, "/me/pin", button(said["in_change_pictures"], kind="quiet")))
    parts.append(f"<h2>{html.escape(said['in_devices'])}</h2>")
    for one in sessions.of(person.id):
        here = visitor.session is not None and one.hash == visitor.session.hash
        used = datetime.fromtimestamp(one.used_s, UTC)
        name = f"{one.device}, {said['in_this_device']}" if here else one.device
        end = "" if here else form(
            visitor, "/me/sessions/end", button(said["in_end"], kind="quiet"), hidden={"session": one.hash}
        )  # fmt: skip
        parts.append(
            f'<div class="card"><p>{html.escape(name)}</p>'
            f'<p class="dim"><bdi dir="ltr">{used:%Y-%m-%d %H:%M} UTC</bdi></p>{end}</div>'
        )
    consent = tick(said["in_consent"], "consent", on=person.consent)
    consent += (
        f'<p class="dim">{html.escape(said["in_consent_help"])}</p><p>{button(said["in_save"], kind="quiet")}</p>'
    )
    parts.append(f"<h2>{html.escape(said['in_team'])}</h2>" + form(visitor, "/me/consent", consent))
    return "".join(parts)
