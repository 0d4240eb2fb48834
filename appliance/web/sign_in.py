"""Coming in and going out: with a name and a PIN, with a name and three pictures, and the first administrator.

    GET, POST /sign-in     POST with a picture and fewer than three so far shows the pictures again
    GET, POST /setup       while there is no administrator: with the code that the box printed
    GET, POST /sign-out

Without scripts but one: whoever comes to sign in finds nothing in this browser that somebody else left in it.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from appliance.accounts import proof
from appliance.accounts.people import People, Person, Refused
from appliance.accounts.proof import Kind
from appliance.accounts.sessions import Sessions
from appliance.errors import AccountError
from appliance.web import identity
from appliance.web.audit import Audit
from appliance.web.checked import checked, with_token
from appliance.web.frame import button, field, form, page, tick, told
from appliance.web.gate import WANTED
from appliance.web.identity import COOKIE, FORM_COOKIE, Identity, LangOf
from appliance.web.pictures import svg
from appliance.web.strings import words
from appliance.web.transport import warning

_SWEEP = "<script>try{sessionStorage.clear()}catch(e){}</script>"
_PIN = 'autocomplete="current-password" maxlength="64" required'
_NAME = 'autocomplete="username" maxlength="60" required autocapitalize="words"'


def routes(people: People, sessions: Sessions, audit: Audit, lang_of: LangOf) -> APIRouter:
    """The routes above."""
    router = APIRouter()
    posted = [Depends(checked)]

    def shown(
        request: Request, markup: str, visitor: Identity, title: str, secret: str | None, status: int
    ) -> Response:
        lacks = warning(request, words(lang_of(request)).__getitem__)
        whole = page(visitor, title=title, body=lacks + markup, lang=lang_of(request))
        answer = HTMLResponse(whole, status)
        if secret:
            identity.give_cookie(answer, FORM_COOKIE, secret, request=request)
        return answer

    def begin(request: Request, person: Person, *, shared: bool, to: str) -> Response:
        """A fresh token, whatever the browser brought along; what it had before ends."""
        before = identity.of(request).session
        if before:
            sessions.end(before.hash)
        token = sessions.begin(person, shared=shared, device=_device(request))
        audit("signed-in", by=person, shared=shared)
        answer = RedirectResponse(WANTED.get(to, "/"), 303)
        identity.give_cookie(answer, COOKIE, token, request=request, shared=shared)
        return answer

    @router.get("/sign-in")
    def sign_in_page(request: Request, to: str = "", way: str = "pin", out: str = "") -> Response:
        if not people.has_admin():
            return RedirectResponse("/setup", 303)
        visitor, secret = with_token(request)
        said = words(lang_of(request))
        message = told(said["in_signed_out"], "good") if out else ""
        body = message + _sign_in(visitor, lang_of(request), to=to, way=way)
        return shown(request, body, visitor, said["in_sign_in"], secret, 200)

    @router.post("/sign-in", dependencies=posted)
    async def sign_in(
        request: Request,
        name: Annotated[str, Form(max_length=120)] = "",
        pin: Annotated[str, Form(max_length=200)] = "",
        picture: Annotated[str, Form(max_length=20)] = "",
        so_far: Annotated[str, Form(max_length=80)] = "",
        shared: Annotated[str, Form(max_length=1)] = "",
        to: Annotated[str, Form(max_length=20)] = "",
    ) -> Response:
        visitor = identity.of(request)
        lang = lang_of(request)
        kind: Kind = "pictures" if picture else "pin"
        chosen = [*so_far.split(), picture] if picture else []
        if name.strip() and picture and len(chosen) < proof.PICTURES_LONG:
            body = _sign_in(visitor, lang, to=to, way=kind, name=name, chosen=chosen, shared=bool(shared))
            return shown(request, body, visitor, words(lang)["in_sign_in"], None, 200)
        found = await run_in_threadpool(people.enter, name, kind, " ".join(chosen) if picture else pin)
        if isinstance(found, Person):
            return await run_in_threadpool(lambda: begin(request, found, shared=bool(shared), to=to))
        body = told(_refused(found, lang, kind)) + _sign_in(
            visitor, lang, to=to, way=kind, name=name, shared=bool(shared)
        )
        return shown(request, body, visitor, words(lang)["in_sign_in"], None, 403)

    @router.get("/setup")
    def setup_page(request: Request) -> Response:
        if people.has_admin():
            return RedirectResponse("/sign-in", 303)
        visitor, secret = with_token(request)
        lang = lang_of(request)
        return shown(request, _setup(visitor, lang), visitor, words(lang)["in_setup"], secret, 200)

    @router.post("/setup", dependencies=posted)
    async def setup(
        request: Request,
        code: Annotated[str, Form(max_length=40)],
        name: Annotated[str, Form(max_length=120)],
        pin: Annotated[str, Form(max_length=200)],
        again: Annotated[str, Form(max_length=200)],
    ) -> Response:
        if people.has_admin():
            return RedirectResponse("/sign-in", 303)
        visitor, lang = identity.of(request), lang_of(request)
        message = ""
        if proof.normal("pin", pin) != proof.normal("pin", again):
            message = words(lang)["in_pins_differ"]
        else:
            try:
                found = await run_in_threadpool(people.first_admin, code, name, pin)
                if isinstance(found, Person):
                    audit("first-admin", by=found)
                    return await run_in_threadpool(lambda: begin(request, found, shared=False, to="admin"))
                message = words(lang)["code_wrong"] + " " + _wait(found, lang)
            except AccountError as error:
                message = str(error)
        body = told(message) + _setup(visitor, lang, name=name)
        return shown(request, body, visitor, words(lang)["in_setup"], None, 403)

    @router.get("/sign-out")
    def sign_out_page(request: Request) -> Response:
        visitor, said = identity.of(request), words(lang_of(request))
        body = form(visitor, "/sign-out", button(said["in_sign_out"]))
        whole = page(visitor, title=said["in_sign_out"], body=body, lang=lang_of(request), here="/sign-out")
        return HTMLResponse(whole)

    @router.post("/sign-out", dependencies=posted)
    def sign_out(request: Request) -> Response:
        visitor = identity.of(request)
        if visitor.session:
            sessions.end(visitor.session.hash)
        answer = RedirectResponse("/sign-in?out=1", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    return router


def _sign_in(
    visitor: Identity,
    lang: str,
    *,
    to: str,
    way: str,
    name: str = "",
    chosen: list[str] | None = None,
    shared: bool = False,
) -> str:
    said = words(lang)
    mine = field(said["in_name"], "name", value=name, more=_NAME)
    common = tick(said["in_shared"], "shared", on=shared) + f'<p class="dim">{said["in_shared_help"]}</p>'
    kept = {"to": to}
    if way == "pictures":
        chosen = chosen or []
        dots = "● " * len(chosen) + "○ " * (proof.PICTURES_LONG - len(chosen))
        grid = "".join(
            f'<button name="picture" value="{one}" aria-label="{said["picture_" + one]}">{svg(one)}</button>'
            for one in proof.PICTURES
        )
        step = said["in_pictures_step"].format(number=len(chosen) + 1, of=proof.PICTURES_LONG)
        body = (
            f'{mine}<p aria-live="polite"><strong>{step}</strong> <span aria-hidden="true">{dots}</span></p>'
            f'<div class="pictures">{grid}</div>{common}'
        )
        kept["so_far"] = " ".join(chosen)
        other, link = said["in_by_pin"], "pin"
    else:
        body = (
            mine
            + field(said["in_pin"], "pin", kind="password", more=_PIN)
            + common
            + f"<p>{button(said['in_sign_in'])}</p>"
        )
        other, link = said["in_by_pictures"], "pictures"
    start = f"&to={to}" if to in WANTED and to else ""
    return (
        form(visitor, "/sign-in", body, hidden=kept)
        + f'<p><a href="/sign-in?way={link}{start}">{other}</a></p>'
        + _SWEEP
    )


def _setup(visitor: Identity, lang: str, *, name: str = "") -> str:
    said = words(lang)
    new = 'autocomplete="new-password" maxlength="64" required'
    return f"<p>{said['in_setup_help']}</p>" + form(
        visitor,
        "/setup",
        field(said["in_code"], "code", more='autocomplete="off" maxlength="40" required autocapitalize="characters"')
        + field(said["in_name"], "name", value=name, more=_NAME)
        + field(said["in_new_pin"].format(least=proof.LEAST_SIGNS), "pin", kind="password", more=new)
        + field(said["in_again"], "again", kind="password", more=new)
        + f"<p>{button(said['in_go'])}</p>",
    )


def _refused(refused: Refused, lang: str, kind: Kind) -> str:
    said = words(lang)
    if refused.closed:
        return said["in_closed"]
    return f"{said['in_wrong' if kind == 'pin' else 'in_wrong_pictures']} {_wait(refused, lang)}".strip()


def _wait(refused: Refused, lang: str) -> str:
    return words(lang)["code_wait"].format(seconds=int(refused.wait_s) + 1) if refused.wait_s > 0 else ""


def _device(request: Request) -> str:
    """What kind of browser it is, in a few words: enough to tell one's own devices apart."""
    agent = request.headers.get("user-agent", "")
    system = next(
        (s for s in ("Android", "iPhone", "iPad", "Windows", "Mac OS", "CrOS", "KAIOS", "Linux") if s in agent), ""
    )
    program = next((p for p in ("Firefox", "OPR", "Edg", "SamsungBrowser", "Chrome", "Safari") if p in agent), "")
    return " ".join(part for part in (system, program) if part) or "?"
