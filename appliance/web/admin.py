"""The administration area: what a technician does in the field, without a terminal. Plain pages with forms, in English.

This is its front page: how the box is, what is installed, the hub, sticks, and what holds for the whole site. People,
documents, keys and use have pages of their own.
"""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from appliance.accounts.people import People
from appliance.backup import back_up
from appliance.box import Box
from appliance.errors import FieldpostError
from appliance.metrics import look, sticks, vitals
from appliance.sync.client import export_to_stick, import_from_stick, sync_over_http, sync_state
from appliance.web import identity
from appliance.web.audit import Audit
from appliance.web.checked import checked
from appliance.web.frame import button, choice, form, page, table, told
from appliance.web.identity import Identity
from appliance.web.me import person_of
from appliance.web.transport import TRUST

LANG = "en"
PLACES = {
    "/admin": "Box",
    "/admin/people": "People",
    "/admin/documents": "Documents",
    "/admin/keys": "Keys",
    "/admin/use": "Use",
    "/admin/audit": "Audit",
}
_GIB = 1 << 30


def admin_page(request: Request, here: str, body: str, *, status: int = 200, again_s: int = 0) -> HTMLResponse:
    """A page of this area, with the way to the others; read anew by itself every ``again_s`` seconds, if not 0."""
    links = "".join(
        f'<a href="{path}"{" aria-current=page" if path == here else ""}>{name}</a>' for path, name in PLACES.items()
    )
    refresh = f'<meta http-equiv="refresh" content="{again_s}">' if again_s else ""
    inside = f'<nav class="top" aria-label="Administration">{links}</nav>{refresh}{body}'
    whole = page(identity.of(request), title=PLACES[here], body=inside, lang=LANG, here="/admin")
    return HTMLResponse(whole, status)


def tried(act: Callable[[], str]) -> tuple[str, int]:
    """What became of an act, as a box for the top of the page, and the page's status."""
    try:
        return told(act(), "good"), 200
    except FieldpostError as error:
        return told(str(error)), 422


def routes(box: Box, people: People, audit: Audit) -> APIRouter:
    """``/admin`` and what its forms do."""
    router = APIRouter()
    posted = [Depends(checked)]

    def front(request: Request, message: str = "", status: int = 200) -> HTMLResponse:
        visitor = identity.of(request)
        body = message + _box(box) + _hub(box, visitor) + _sticks(visitor) + _site(people, visitor) + _installed(box)
        return admin_page(request, "/admin", body, status=status)

    @router.get("/admin")
    def admin(request: Request) -> HTMLResponse:
        return front(request)

    @router.post("/admin/sync", dependencies=posted)
    def sync(request: Request) -> HTMLResponse:
        def act() -> str:
            report = sync_over_http(box.home)
            return f"Sent {report.sent} batches to {report.hub}; {report.waiting} records wait."

        audit("sync", by=person_of(identity.of(request)))
        return front(request, *tried(act))

    @router.post("/admin/stick", dependencies=posted)
    def stick(
        request: Request, stick: Annotated[str, Form(max_length=300)], act: Annotated[str, Form(max_length=20)]
    ) -> HTMLResponse:
        def chosen() -> Path:
            found = {str(one): one for one in sticks()}
            if stick not in found:
                raise FieldpostError("That stick is not there any more.", todo="Put it in again and reload this page.")
            return found[stick]

        def export() -> str:
            report = export_to_stick(box.home, chosen())
            return f"{report.sent} batches are on the stick. Bring it to the hub, then back here."

        def take() -> str:
            report = import_from_stick(box.home, chosen())
            return f"The hub has {report.acknowledged} more records; {report.waiting} wait."

        def save() -> str:
            saved = back_up(box.home, chosen())
            return f"A backup of {saved.files} files ({saved.bytes >> 10} KiB) is on the stick: {saved.path.name}."

        audit(f"stick-{act}", by=person_of(identity.of(request)))
        acts = {"export": export, "import": take, "backup": save}
        return front(request, *(tried(acts[act]) if act in acts else (told("There is no such act."), 422)))

    @router.post("/admin/setting", dependencies=posted)
    def setting(
        request: Request, name: Annotated[str, Form(max_length=20)], value: Annotated[str, Form(max_length=20)]
    ) -> Response:
        try:
            people.decide(name, value)
        except FieldpostError as error:
            return front(request, told(str(error)), 422)
        audit("setting", by=person_of(identity.of(request)), name=name, value=value)
        return RedirectResponse("/admin", 303)

    return router


def _box(box: Box) -> str:
    machine = look(box.home.root)
    now = vitals(Path(box.config.power.battery_file) if box.config.power.battery_file else None)
    battery = "not known" if now.battery is None else f"{now.battery:.0f} %{', charging' if now.charging else ''}"
    rows = [
        ("Bundle", f"{box.release.title}, {box.release.bundle} {box.release.version} (release {box.release.number})"),
        ("Model", box.pipeline.engine.model),
        ("Mode", box.mode),
        ("Disk", f"{machine.disk_free / _GIB:.1f} of {machine.disk_total / _GIB:.1f} GiB free"),
        ("Memory", f"{machine.memory_available / _GIB:.1f} of {machine.memory_total / _GIB:.1f} GiB free"),
        ("Processor", f"{machine.cores} cores, load {machine.load_1min:.1f}"),
        ("Battery", battery),
        ("Temperature", "not known" if now.celsius is None else f"{now.celsius:.0f} °C"),
    ]
    return table((), rows)


def _hub(box: Box, visitor: Identity) -> str:
    try:
        state = sync_state(box.home)
    except FieldpostError as error:
        return f"<h2>Hub</h2>{told(str(error))}"
    rows = [
        ("Hub", state.hub or "none: this box is not enrolled"),
        ("Waiting", f"{state.pending} records"),
        ("Last contact", state.last_contact or "never"),
    ]
    send = form(visitor, "/admin/sync", button("Send now", kind="quiet")) if state.hub else ""
    return f"<h2>Hub</h2>{table((), rows)}{send}"


def _sticks(visitor: Identity) -> str:
    found = {str(one): str(one) for one in sticks()}
    if not found:
        return '<h2>Stick</h2><p class="dim">Put a stick in and reload this page, to carry the log or a backup.</p>'
    acts = {"export": "Write the log onto it", "import": "Take the hub's receipts", "backup": "Write a backup onto it"}
    buttons = "".join(button(label, kind="quiet", name="act", value=act) for act, label in acts.items())
    chosen = choice("Stick", "stick", found) + f'<div class="row">{buttons}</div>'
    return f"<h2>Stick</h2>{form(visitor, '/admin/stick', chosen)}"


def _site(people: People, visitor: Identity) -> str:
    entry = choice(
        "Who may ask",
        "value",
        {"people": "People who sign in", "code": "Also whoever knows the access code"},
        people.entry,
    )
    transport = (
        choice(
            "How pages travel",
            "value",
            {"https": "Encrypted (https)", "http": "Plain: others on the Wi-Fi can read PINs, questions and answers"},
            people.transport,
        )
        .replace('for="value"', 'for="transport"')
        .replace('id="value"', 'id="transport"')
    )
    save = f"<p>{button('Save', kind='quiet')}</p>"
    return (
        "<h2>Site</h2>"
        + form(visitor, "/admin/setting", entry + save, hidden={"name": "entry"})
        + form(visitor, "/admin/setting", transport + save, hidden={"name": "transport"})
        + f'<p><a href="{TRUST}">How a phone comes to trust this box (with a QR code to print)</a></p>'
    )


def _installed(box: Box) -> str:
    cards = "".join(
        f'<details class="card"><summary>{html.escape(c.kind)} <strong>{html.escape(c.name)}</strong> '
        f"{html.escape(c.version)}</summary>"
        f'<p class="dim">Licence {html.escape(c.licence)}, by {html.escape(c.publisher)}</p>'
        f'<pre style="white-space:pre-wrap">{html.escape(c.card or "(no card)")}</pre></details>'
        for c in box.release.components
    )
    taken = "".join(
        told(f"{target} was taken back: {reason}", "note") for target, reason in box.release.revoked.items()
    )
    return f"<h2>Models, adapters, languages, documents</h2>{taken}{cards}"
