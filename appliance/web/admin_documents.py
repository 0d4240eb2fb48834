"""Documents of the site: upload, remove, index anew; a page that follows what is in work by itself."""

import html
from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from appliance.errors import FieldpostError
from appliance.web import identity
from appliance.web.admin import admin_page
from appliance.web.audit import Audit
from appliance.web.checked import checked
from appliance.web.frame import button, choice, form, told
from appliance.web.me import person_of
from appliance.web.strings import own_name
from appliance.web.uploads import Upload, Uploads

_HERE = "/admin/documents"
_ENDINGS = ".md,.txt,.html,.htm,.pdf,.docx,.odt,.epub,.csv,.tsv,.xlsx,.ods,.xls"
_LOOK_AGAIN_S = 2


def routes(uploads: Uploads, languages: tuple[str, ...], audit: Audit) -> APIRouter:
    """``/admin/documents`` and what its forms do."""
    router = APIRouter()
    posted = [Depends(checked)]

    def shown(request: Request, message: str = "", status: int = 200) -> HTMLResponse:
        visitor = identity.of(request)
        tongues = {"": "Found by the box", **{lang: own_name(lang) for lang in languages}}
        add = (
            f'<label for="file">Documents</label><input type="file" id="file" name="file" accept="{_ENDINGS}" '
            f"multiple required>{choice('Their language', 'lang', tongues)}<p>{button('Upload')}</p>"
        )
        work = uploads.shown()
        busy = any(not one.over for one in work)
        body = message + form(visitor, _HERE, add, upload=True) + "".join(map(_state, work)) + "<h2>Here are</h2>"
        try:
            for one in uploads.library.documents():
                remove = form(visitor, f"{_HERE}/remove", button("Remove", kind="harm"), hidden={"name": one.name})
                notes = "".join(f'<p class="dim">{html.escape(note)}</p>' for note in one.notes)
                pages = f"{one.pages} pages, " if one.pages else ""
                body += (
                    f'<div class="card"><h3>{html.escape(one.name)}</h3><p class="dim">{html.escape(one.title)}; '
                    f"{html.escape(own_name(one.lang))}, {pages}{one.characters:,} characters</p>{notes}{remove}</div>"
                )
        except FieldpostError as error:
            body += told(str(error))
        body += form(visitor, f"{_HERE}/index", button("Index all anew", kind="quiet"))
        return admin_page(request, _HERE, body, status=status, again_s=_LOOK_AGAIN_S if busy else 0)

    @router.get(_HERE)
    def documents(request: Request) -> HTMLResponse:
        return shown(request)

    @router.post(_HERE, dependencies=posted)
    def upload(
        request: Request, file: Annotated[list[UploadFile], File()], lang: Annotated[str, Form(max_length=20)] = ""
    ) -> Response:
        try:
            for one in file:
                uploads.add(one.filename or "", one.file, lang=lang or None)
                audit("document-added", by=person_of(identity.of(request)))
        except FieldpostError as error:
            return shown(request, told(str(error)), 422)
        return RedirectResponse(_HERE, 303)

    @router.post(_HERE + "/remove", dependencies=posted)
    def remove(request: Request, name: Annotated[str, Form(max_length=300)]) -> Response:
        try:
            uploads.library.remove(name)
        except FieldpostError as error:
            return shown(request, told(str(error)), 422)
        audit("document-removed", by=person_of(identity.of(request)))
        return RedirectResponse(_HERE, 303)

    @router.post(_HERE + "/index", dependencies=posted)
    def index(request: Request) -> Response:
        uploads.reindex()
        audit("indexed", by=person_of(identity.of(request)))
        return RedirectResponse(_HERE, 303)

    return router


def _state(one: Upload) -> str:
    name = html.escape(one.name or "The index of all documents")
    if one.error:
        return told(f"{one.name or 'The index'}: {one.error}")
    if one.over:
        notes = " ".join(one.notes)
        return told(f"{one.name or 'The index of all documents'}: done. {notes}".strip(), "good")
    return (
        f'<p class="note" role="status">{name}: {one.percent} % '
        f'<progress max="100" value="{one.percent}" aria-label="{name}" style="width:100%"></progress></p>'
    )
