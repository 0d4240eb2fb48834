"""Who may use which address: every route of the app, ours and Gradio's. What is not in the table is refused.

Patterns are the routes' own templates, tried in this order. ``CLOSED`` names what Gradio brings and nobody gets, so
that a new route, of ours or in a newer Gradio, is noticed by a test and stays shut until somebody decides.
"""

import re
from dataclasses import dataclass

from starlette.routing import compile_path

from appliance.web.bounds import Bounds
from appliance.web.identity import Level

FORM = Bounds(most_bytes=64 << 10, within_s=30)
UPLOAD = Bounds(most_bytes=100 << 20, within_s=1800)
PROGRAM = Bounds(most_bytes=5 << 20, within_s=120)
"""The API for programs has a bound of its own, told in its own shape of an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One address."""

    method: str
    template: str
    level: Level
    bounds: Bounds
    session_in: str = ""
    """Where Gradio's session is named: the query or path parameter. It then belongs to whoever named it first."""


def _rule(method_and_template: str, level: Level, bounds: Bounds = FORM, session_in: str = "") -> Rule:
    method, template = method_and_template.split(" ")
    return Rule(method=method, template=template, level=level, bounds=bounds, session_in=session_in)


RULES: tuple[Rule, ...] = (
    # Before anybody is known
    _rule("GET /healthz", Level.ANYBODY),
    _rule("GET /favicon.ico", Level.ANYBODY),
    _rule("GET /enter", Level.ANYBODY),
    _rule("POST /enter", Level.ANYBODY),
    _rule("GET /sign-in", Level.ANYBODY),
    _rule("POST /sign-in", Level.ANYBODY),
    _rule("GET /trust", Level.ANYBODY),
    _rule("GET /trust/fieldpost.crt", Level.ANYBODY),
    _rule("GET /setup", Level.ANYBODY),
    _rule("POST /setup", Level.ANYBODY),
    # Programs: each request carries a key of its own, looked at by the API
    *(_rule(f"{verb} /v1/{{path:path}}", Level.ANYBODY, PROGRAM) for verb in ("GET", "POST", "PUT", "PATCH", "DELETE")),
    _rule("GET /metrics", Level.ANYBODY),  # from the box itself, or with such a key: also looked at there
    # Asking
    _rule("GET /api/status", Level.ASKER),
    _rule("POST /api/ask", Level.ASKER),
    _rule("GET /api/jobs/{job_id}", Level.ASKER),
    _rule("GET /api/jobs/{job_id}/stream", Level.ASKER),
    _rule("POST /api/jobs/{job_id}/stop", Level.ASKER),
    _rule("GET /lite", Level.ASKER),
    _rule("POST /lite", Level.ASKER),
    _rule("GET /lite/{job_id}", Level.ASKER),
    _rule("POST /lite/{job_id}/stop", Level.ASKER),
    _rule("GET /source/{docpack}/{document:path}", Level.ASKER),
    _rule("GET /cards", Level.ASKER),
    _rule("GET /cards/bom.cdx.json", Level.ASKER),
    _rule("GET /language/{lang}", Level.ANYBODY),
    _rule("POST /feedback/{job_id}", Level.ASKER),
    # The Gradio page, and what it needs
    _rule("GET /", Level.ASKER),
    _rule("GET /config", Level.ASKER),
    _rule("GET /theme.css", Level.ASKER),
    _rule("GET /static/{path:path}", Level.ASKER),
    _rule("GET /assets/{path:path}", Level.ASKER),
    _rule("GET /svelte/{path:path}", Level.ASKER),
    _rule("GET /gradio_api/startup-events", Level.ASKER),
    _rule("GET /gradio_api/heartbeat/{session_hash}", Level.ASKER, session_in="session_hash"),
    _rule("POST /gradio_api/run/{api_name}", Level.ASKER),
    _rule("POST /gradio_api/queue/join", Level.ASKER),
    _rule("GET /gradio_api/queue/data", Level.ASKER, session_in="session_hash"),
    # A person's own
    _rule("GET /sign-out", Level.WORKER),
    _rule("POST /sign-out", Level.WORKER),
    _rule("GET /me", Level.WORKER),
    _rule("POST /me/pin", Level.WORKER),
    _rule("POST /me/consent", Level.WORKER),
    _rule("POST /me/sessions/end", Level.WORKER),
    _rule("GET /history", Level.WORKER),
    _rule("POST /history/forget", Level.WORKER),
    _rule("GET /team", Level.SUPERVISOR),
    _rule("GET /team/{person_id}", Level.SUPERVISOR),
    # The administration area
    _rule("GET /admin", Level.ADMIN),
    _rule("POST /admin/sync", Level.ADMIN),
    _rule("POST /admin/stick", Level.ADMIN),
    _rule("POST /admin/setting", Level.ADMIN),
    _rule("GET /admin/people", Level.ADMIN),
    _rule("POST /admin/people", Level.ADMIN),
    _rule("GET /admin/people/{person_id}", Level.ADMIN),
    _rule("POST /admin/people/{person_id}", Level.ADMIN),
    _rule("GET /admin/documents", Level.ADMIN),
    _rule("POST /admin/documents", Level.ADMIN, UPLOAD),
    _rule("POST /admin/documents/remove", Level.ADMIN),
    _rule("POST /admin/documents/index", Level.ADMIN),
    _rule("GET /admin/keys", Level.ADMIN),
    _rule("POST /admin/keys", Level.ADMIN),
    _rule("POST /admin/keys/revoke", Level.ADMIN),
    _rule("GET /admin/use", Level.ADMIN),
    _rule("GET /admin/audit", Level.ADMIN),
)  # fmt: skip

CLOSED: frozenset[str] = frozenset(
    f"{api}{path}"
    for api, paths in {
        "": (
            "/config/", "/gradio_api/deep_link", "/login", "/login/", "/logout", "/manifest.json", "/monitoring",
            "/monitoring/summary", "/monitoring/{key}", "/openapi.json", "/pwa_icon", "/pwa_icon/{size}", "/robots.txt",
        ),
        "/gradio_api": (
            "/api/{api_name}", "/api/{api_name}/", "/app_id", "/app_id/", "/call/v2/{api_name}", "/call/v2/{api_name}/",
            "/call/v2/{api_name}/{event_id}", "/call/{api_name}", "/call/{api_name}/", "/call/{api_name}/{event_id}",
            "/cancel", "/component_server", "/component_server/",
            "/custom_component/{id}/{environment}/{type}/{file_name}", "/dev/reload", "/file/{path:path}",
            "/file={path_or_url:path}", "/info", "/info/", "/login_check", "/login_check/", "/openapi.json",
            "/process_recording", "/proxy={url_path:path}", "/queue/status", "/reset", "/reset/",
            "/run/{api_name}/",
            "/runs", "/runs/", "/stream/{event_id}", "/stream/{event_id}/close",
            "/stream/{session_hash}/{run}/{component_id}/playlist-file",
            "/stream/{session_hash}/{run}/{component_id}/playlist.m3u8",
            "/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}", "/theme.css", "/token", "/token/",
            "/undo-vibe-edit", "/undo-vibe-edit/", "/upload", "/upload_progress", "/user", "/user/", "/vibe-code",
            "/vibe-code/", "/vibe-edit", "/vibe-edit/", "/vibe-starter-queries", "/vibe-starter-queries/",
        ),
    }.items()
    for path in paths
)  # fmt: skip

_COMPILED: tuple[tuple[re.Pattern[str], Rule], ...] = tuple((compile_path(rule.template)[0], rule) for rule in RULES)


def rule_for(method: str, path: str) -> tuple[Rule, dict[str, str]] | None:
    """The rule of an address and its parameters; None where nobody decided, and so nobody may."""
    wanted = "GET" if method == "HEAD" else method
    for pattern, rule in _COMPILED:
        if rule.method == wanted and (match := pattern.match(path)):
            return rule, match.groupdict()
    return None
