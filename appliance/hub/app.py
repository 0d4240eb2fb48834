"""The hub on the network: five requests, the same that ``appliance.sync.transport`` makes.

    POST  /v1/enrol        a box's introduction                     200 receipt
    HEAD  /v1/b/{sha256}   how much of a batch is here              Upload-Offset, Upload-Complete
    PATCH /v1/b/{sha256}   the rest of it, from Upload-Offset on    200 receipt, 409 with the true offset
    GET   /v1/release/{id}          which files a release has       200 JSON, path to size
    GET   /v1/release/{id}/{path}   a file of it, or a Range        206

Refusals are plain sentences. A batch proves by itself whose it is, so there is no sign-in.
"""

import hashlib

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse
from starlette.requests import ClientDisconnect

from appliance.errors import FieldpostError, ForkDetected, HubError
from appliance.hub.ingest import Hub
from appliance.hub.releases import Releases
from appliance.hub.uploads import Taken, Uploads
from appliance.sync.batch import MAX_BATCH
from appliance.sync.wire import (
    MAX_MESSAGE,
    NO,
    SHA256_NAME,
    UPLOAD_COMPLETE,
    UPLOAD_LENGTH,
    UPLOAD_OFFSET,
    YES,
    read_number,
)

_RECEIPT = "application/vnd.fieldpost.receipt.v1"


def create_app(hub: Hub) -> FastAPI:
    """The hub's application.

    Raises:
        HubError: the folder of partial uploads cannot be made.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    uploads = Uploads(hub.folder / "partial")

    @app.exception_handler(FieldpostError)
    async def refuse(request: Request, error: FieldpostError) -> Response:
        status = 412 if isinstance(error, ForkDetected) else 500 if isinstance(error, HubError) else 403
        return Response(str(error), status, media_type="text/plain")

    @app.post("/v1/enrol")
    async def enrol(request: Request) -> Response:
        data = b""
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_MESSAGE:
                return _plain(413, f"An introduction has at most {MAX_MESSAGE} bytes.")
        return await run_in_threadpool(_admitted, hub, data)

    @app.head("/v1/b/{sha}")
    async def offset(sha: str) -> Response:
        if not SHA256_NAME.fullmatch(sha):
            return _plain(404, "No such batch.")
        known = await run_in_threadpool(hub.storage.batch, sha)
        return _at(known[1], 200, complete=True) if known else _at(uploads.offset(sha), 200)

    @app.patch("/v1/b/{sha}")
    async def upload(sha: str, request: Request) -> Response:
        place = read_number(request.headers.get(UPLOAD_OFFSET, ""))
        length = read_number(request.headers.get(UPLOAD_LENGTH, ""))
        if not SHA256_NAME.fullmatch(sha) or place is None or length is None:
            return _plain(400, f"A batch's name, {UPLOAD_OFFSET} and {UPLOAD_LENGTH} are needed.")
        if not 0 < length <= MAX_BATCH:
            return _plain(413, f"A batch has at most {MAX_BATCH} bytes.")
        known = await run_in_threadpool(hub.storage.batch, sha)
        if known:
            return _receipt(await run_in_threadpool(hub.receipt, known[0].box, known[0].epoch))
        if place != uploads.offset(sha):
            return _at(uploads.offset(sha), 409)
        writer = uploads.begin(sha)
        try:
            async for chunk in request.stream():
                if place + len(chunk) > length:
                    uploads.drop(sha)
                    return _plain(400, f"More bytes than {UPLOAD_LENGTH} tells.")
                place = uploads.add(sha, writer, place, chunk)
        except ClientDisconnect:
            return _at(uploads.offset(sha), 409)  # nobody reads it; what arrived stays
        except Taken:
            return _at(uploads.offset(sha), 409)
        except OSError as error:
            return _plain(507, f"The hub's disk does not take it: {error.strerror}.")
        finally:
            uploads.end(sha, writer)
        if request.headers.get(UPLOAD_COMPLETE) != YES or place < length:
            return _at(place, 204)
        return await _take(hub, uploads, sha)

    releases = Releases(hub.folder)

    @app.get("/v1/release/{release}")
    def files(release: str) -> Response:
        found = releases.files(release) if SHA256_NAME.fullmatch(release) else None
        return _plain(404, "No such release.") if found is None else JSONResponse(found)

    @app.get("/v1/release/{release}/{path:path}")
    def file(release: str, path: str) -> Response:
        found = releases.file(release, path) if SHA256_NAME.fullmatch(release) else None
        return _plain(404, "No such file.") if found is None else FileResponse(found)

    return app


async def _take(hub: Hub, uploads: Uploads, sha: str) -> Response:
    data = uploads.read(sha)
    if hashlib.sha256(data).hexdigest() != sha:
        uploads.drop(sha)
        return _plain(422, "What has arrived is not the batch of this name: it begins anew.", offset=0)
    try:
        header = await run_in_threadpool(hub.ingest, data)
    except HubError:
        raise  # the disk is to blame, not the batch: it stays
    except FieldpostError:
        uploads.drop(sha)
        raise
    uploads.drop(sha)
    return _receipt(await run_in_threadpool(hub.receipt, header.box, header.epoch))


def _admitted(hub: Hub, data: bytes) -> Response:
    return _receipt(hub.receipt(hub.admit(data)))


def _at(offset: int, status: int, *, complete: bool = False) -> Response:
    return Response(status_code=status, headers={UPLOAD_OFFSET: str(offset), UPLOAD_COMPLETE: YES if complete else NO})


def _receipt(receipt: bytes) -> Response:
    return Response(receipt, 200, media_type=_RECEIPT)


def _plain(status: int, text: str, offset: int | None = None) -> Response:
    return Response(text, status, {UPLOAD_OFFSET: str(offset)} if offset is not None else None, "text/plain")
