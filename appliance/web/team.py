"""What a supervisor sees: how many questions the people asked, and what only of those who agreed."""

import html

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from appliance.accounts.history import History
from appliance.accounts.people import People, Role
from appliance.web import identity
from appliance.web.audit import Audit
from appliance.web.frame import page
from appliance.web.identity import LangOf
from appliance.web.me import asked, person_of
from appliance.web.strings import words


def routes(people: People, history: History, audit: Audit, lang_of: LangOf) -> APIRouter:
    """``/team``, and ``/team/PERSON`` of somebody who agreed."""
    router = APIRouter()

    @router.get("/team")
    def team(request: Request) -> HTMLResponse:
        visitor, lang = identity.of(request), lang_of(request)
        said = words(lang)
        counts = history.counts()
        rows = ""
        for person in people.all():
            if person.role is not Role.WORKER:
                continue
            name = html.escape(person.name)
            if person.consent:
                name = f'<a href="/team/{person.id}">{name}</a>'
            rows += f'<tr><td>{name}</td><td class="number">{counts.get(person.id, 0)}</td></tr>'
        heads = f"<th>{html.escape(said['in_name_of'])}</th><th class=number>{html.escape(said['in_questions'])}</th>"
        body = (
            f'<p class="dim">{html.escape(said["in_team_help"])}</p>'
            f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        )
        return HTMLResponse(page(visitor, title=said["in_team"], body=body, lang=lang, here="/team"))

    @router.get("/team/{person_id}")
    def texts(request: Request, person_id: str) -> HTMLResponse:
        visitor, lang = identity.of(request), lang_of(request)
        person = people.get(person_id)
        if person is None or person.role is not Role.WORKER or not person.consent:
            raise HTTPException(403, "This person did not agree that supervisors read their questions.")
        audit("read-history", by=person_of(visitor), of=person.id)
        body = (
            "".join(asked(one) for one in history.find(person.id)) or f"<p>{html.escape(words(lang)['in_nothing'])}</p>"
        )
        return HTMLResponse(page(visitor, title=person.name, body=body, lang=lang, here="/team"))

    return router
