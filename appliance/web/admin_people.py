"""People: add, another PIN, another role, shut out, let in, remove, end sessions."""

import html
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse

from appliance.accounts.people import People, Person, Role
from appliance.accounts.proof import Kind
from appliance.accounts.sessions import Sessions
from appliance.errors import FieldpostError
from appliance.web import identity
from appliance.web.admin import admin_page
from appliance.web.audit import Audit
from appliance.web.checked import checked
from appliance.web.frame import button, choice, field, form, told
from appliance.web.identity import Identity
from appliance.web.me import person_of, shown_pictures
from appliance.web.strings import words

_ROLES = {"worker": "Field worker", "supervisor": "Supervisor", "admin": "Administrator"}
_KINDS: dict[str, Kind] = {"pin": "pin", "pictures": "pictures"}
_HERE = "/admin/people"


def routes(people: People, sessions: Sessions, audit: Audit) -> APIRouter:
    """``/admin/people``, and each person's own page."""
    router = APIRouter()
    posted = [Depends(checked)]

    def everybody(request: Request, message: str = "", status: int = 200) -> HTMLResponse:
        visitor = identity.of(request)
        rows = "".join(_row(person) for person in people.all())
        heads = "<th>Name</th><th>Role</th><th>State</th>"
        add = (
            field("Name", "name", more='required maxlength="60" autocomplete="off"')
            + choice("Role", "role", _ROLES)
            + choice("Signs in with", "kind", {"pin": "A PIN", "pictures": "Three pictures (field workers only)"})
            + f"<p>{button('Add')}</p>"
        )
        body = f"{message}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table><h2>Add somebody</h2>"
        return admin_page(request, _HERE, body + form(visitor, _HERE, add), status=status)

    def one(request: Request, person: Person, message: str = "", status: int = 200) -> HTMLResponse:
        return admin_page(request, _HERE, message + _person(identity.of(request), person, sessions), status=status)

    @router.get(_HERE)
    def list_people(request: Request) -> HTMLResponse:
        return everybody(request)

    @router.post(_HERE, dependencies=posted)
    def add(
        request: Request,
        name: Annotated[str, Form(max_length=200)],
        role: Annotated[str, Form(max_length=20)],
        kind: Annotated[str, Form(max_length=20)] = "pin",
    ) -> HTMLResponse:
        if role not in _ROLES or kind not in _KINDS:
            return everybody(request, told("There is no such role, or no such way to sign in."), 422)
        try:
            person, secret = people.add(name, Role(role), _KINDS[kind])
        except FieldpostError as error:
            return everybody(request, told(str(error)), 422)
        audit("person-added", by=person_of(identity.of(request)), of=person.id, role=role)
        return everybody(request, _told_once(person, secret))

    @router.get(_HERE + "/{person_id}")
    def show(request: Request, person_id: str) -> HTMLResponse:
        person = people.get(person_id)
        return one(request, person) if person else everybody(request, told("There is no such person any more."), 404)

    @router.post(_HERE + "/{person_id}", dependencies=posted)
    def change(
        request: Request,
        person_id: str,
        act: Annotated[str, Form(max_length=20)],
        role: Annotated[str, Form(max_length=20)] = "",
    ) -> HTMLResponse:
        person = people.get(person_id)
        if person is None:
            return everybody(request, told("There is no such person any more."), 404)
        try:
            message = _act(people, sessions, person, act, role)
        except FieldpostError as error:
            return one(request, person, told(str(error)), 422)
        audit(f"person-{act}", by=person_of(identity.of(request)), of=person.id, role=role)
        after = people.get(person_id)
        # Whoever changed themselves is signed out by it: the next page asks for the PIN.
        return one(request, after, message) if after else everybody(request, message)

    return router


def _act(people: People, sessions: Sessions, person: Person, act: str, role: str) -> str:
    match act:
        case "pin" | "pictures":
            return _told_once(person, people.reset(person.id, _KINDS[act]))
        case "role" if role in _ROLES:
            secret = people.give_role(person.id, Role(role))
            return (
                _told_once(person, secret) if secret else told(f"{person.name} is {_ROLES[role].lower()} now.", "good")
            )
        case "shut-out":
            people.shut_out(person.id)
            return told(f"{person.name} is shut out.", "good")
        case "let-in":
            people.let_in(person.id)
            return told(f"{person.name} may sign in.", "good")
        case "end":
            sessions.end_all(person.id)
            return told(f"{person.name} is signed out everywhere.", "good")
        case "remove":
            people.remove(person.id)
            return told(f"{person.name} is removed, with history.", "good")
        case _:
            raise FieldpostError("There is no such act.", todo="Reload this page.")


def _row(person: Person) -> str:
    state = "shut out" if not person.active else "closed by wrong tries" if person.closed else ""
    name = f'<a href="{_HERE}/{person.id}">{html.escape(person.name)}</a>'
    return f"<tr><td>{name}</td><td>{_ROLES[person.role]}</td><td>{state}</td></tr>"


def _person(visitor: Identity, person: Person, sessions: Sessions) -> str:
    def act(label: str, name: str, kind: str = "quiet") -> str:
        return form(visitor, f"{_HERE}/{person.id}", button(label, kind=kind), hidden={"act": name})

    roles = choice("Role", "role", _ROLES, person.role.value) + f"<p>{button('Give this role', kind='quiet')}</p>"
    devices = "".join(
        f'<p class="dim">{html.escape(one.device)}, {datetime.fromtimestamp(one.used_s, UTC):%Y-%m-%d %H:%M} UTC'
        f"{', shared' if one.shared else ''}</p>"
        for one in sessions.of(person.id)
    )
    may = person.active and not person.closed
    door = act("Shut out", "shut-out", "harm") if may else act("Let in again", "let-in")
    pictures = act("New pictures", "pictures") if person.role is Role.WORKER else ""
    return (
        f'<h2>{html.escape(person.name)}</h2><div class="row">{act("New PIN", "pin")}{pictures}{door}'
        f"{act('Remove', 'remove', 'harm')}</div>"
        + form(visitor, f"{_HERE}/{person.id}", roles, hidden={"act": "role"})
        + f"<h2>Signed in</h2>{devices or '<p class=dim>Nowhere.</p>'}"
        + (act("Sign out everywhere", "end") if devices else "")
    )


def _told_once(person: Person, secret: str) -> str:
    """The new PIN or pictures, on this one page and never again."""
    shown = shown_pictures(secret, words("en")) if " " in secret else f'<p class="secret">{html.escape(secret)}</p>'
    return (
        f'<div class="good" role="status"><p>{html.escape(person.name)} signs in with this. It is shown once: '
        f"write it down, or let the person learn it now.</p>{shown}</div>"
    )
