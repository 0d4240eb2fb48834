"""Keys for other programs, and the audit trail."""

import html
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from appliance.accounts.keys import Keys
from appliance.accounts.people import People
from appliance.box import Box
from appliance.errors import FieldpostError
from appliance.web import identity
from appliance.web.admin import admin_page
from appliance.web.audit import Audit
from appliance.web.checked import checked
from appliance.web.frame import button, field, form, told
from appliance.web.me import person_of
from appliance.web.records import latest

_HERE = "/admin/keys"
_MOST_EVENTS = 300


def routes(box: Box, keys: Keys, people: People, audit: Audit) -> APIRouter:
    """``/admin/keys`` and ``/admin/audit``."""
    router = APIRouter()
    posted = [Depends(checked)]

    def shown(request: Request, message: str = "", status: int = 200) -> HTMLResponse:
        visitor = identity.of(request)
        body = message + '<p class="dim">Programs on this network use the model with a key each, under /v1.</p>'
        try:
            for key in keys.all():
                revoke = form(visitor, f"{_HERE}/revoke", button("Revoke", kind="harm"), hidden={"name": key.name})
                made = datetime.fromtimestamp(key.made_s, UTC)
                body += f'<div class="card"><h2>{key.name}</h2><p class="dim">made {made:%Y-%m-%d}</p>{revoke}</div>'
        except FieldpostError as error:
            body += told(str(error))
        add = field("Name of the program", "name", more='required maxlength="64" autocomplete="off"')
        return admin_page(
            request, _HERE, body + form(visitor, _HERE, add + f"<p>{button('Make a key')}</p>"), status=status
        )

    @router.get(_HERE)
    def list_keys(request: Request) -> HTMLResponse:
        return shown(request)

    @router.post(_HERE, dependencies=posted)
    def make(request: Request, name: Annotated[str, Form(max_length=80)]) -> HTMLResponse:
        try:
            secret = keys.make(name)
        except FieldpostError as error:
            return shown(request, told(str(error)), 422)
        audit("key-made", by=person_of(identity.of(request)), name=name)
        once = f'<div class="good" role="status"><p>The key, shown once:</p><p><code>{secret}</code></p></div>'
        return shown(request, once)

    @router.post(_HERE + "/revoke", dependencies=posted)
    def revoke(request: Request, name: Annotated[str, Form(max_length=80)]) -> Response:
        try:
            keys.revoke(name)
        except FieldpostError as error:
            return shown(request, told(str(error)), 422)
        audit("key-revoked", by=person_of(identity.of(request)), name=name)
        return RedirectResponse(_HERE, 303)

    @router.get("/admin/audit")
    def trail(request: Request) -> HTMLResponse:
        names = {person.id: person.name for person in people.all()}
        rows = ""
        for record, body in reversed(latest(box.log, "audit", _MOST_EVENTS)):
            when = datetime.fromtimestamp(record.wall_ms / 1000, UTC)
            by = str(body.get("by", ""))
            who = html.escape(names.get(by, by) or "The box")
            rows += f"<tr><td>{when:%Y-%m-%d %H:%M}</td><td>{who}</td><td>{happened(body, names)}</td></tr>"
        note = (
            '<p class="dim">Newest first, by the box\'s clock (UTC). It is part of the chained log and stays here.</p>'
        )
        heads = "<th>When</th><th>Who</th><th>What</th>"
        whole = f"{note}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        return admin_page(request, "/admin/audit", whole)

    return router


def happened(body: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """What one record of the audit stream tells, as markup: the event, and each fact on a line of its own.

    ``names`` are people's by their ids; who was removed keeps only the id.
    """
    event = str(body.get("event", "")).replace("-", " ").capitalize()
    lines = []
    for key, value in body.items():
        if key in ("v", "event", "by") or value == "":
            continue
        text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
        if key == "of":
            key, text = "person", names.get(text, text)
        lines.append(f'<p class="dim">{html.escape(key)}: {html.escape(text)}</p>')
    return html.escape(event) + "".join(lines)
