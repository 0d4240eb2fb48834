"""How the box is, for programs: its state as JSON, and Prometheus' figures. No texts of anybody in either.

GET /api/status   mode, model, upstream; behind the door, like the page
GET /metrics      from the box itself, or with a key of the API: others on the Wi-Fi need not know how busy it is
"""

import ipaddress

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from appliance.accounts.keys import Keys
from appliance.box import Box
from appliance.web.openai_api import Refusal, owner

METRICS = "/metrics"
_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


def routes(box: Box, keys: Keys) -> APIRouter:
    """Both routes above."""
    router = APIRouter()

    @router.get("/api/status")
    def status() -> JSONResponse:
        return JSONResponse(state(box))

    @router.get(METRICS)
    def metrics(request: Request) -> Response:
        if not _from_here(request):
            try:
                owner(request, keys)
            except Refusal as refusal:
                return refusal.response()
        return Response(box.counters.page() if box.counters else b"", media_type=_FORMAT)

    return router


def state(box: Box) -> dict[str, object]:
    """What ``/api/status`` tells."""
    standing = box.caretaker.standing if box.caretaker else None
    local, upstream = box.local, box.upstream
    return {
        "mode": box.mode,
        "cause": standing.cause if standing else "",
        "model": box.pipeline.engine.model,
        "model_loaded": local is not None and local.main.pid is not None,
        "upstream": {"model": upstream.server.model, "away": upstream.away} if upstream else None,
    }


def _from_here(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
