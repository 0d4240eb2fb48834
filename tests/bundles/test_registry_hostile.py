"""A registry that says too much: its words are never read whole into memory."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bundles.errors import RegistryError
from bundles.registry import Registry, parse_reference

_MOST = 64 << 20


class _Endless(BaseHTTPRequestHandler):
    """Answers with a body that ends only when nobody listens any more."""

    sent = 0
    status = 400
    challenge = ""

    def _answer(self) -> None:
        kind = type(self)
        self.send_response(200 if self.path.startswith("/token") else kind.status)
        if kind.challenge:
            self.send_header("WWW-Authenticate", kind.challenge.format(port=self.server.server_address[1]))
        self.end_headers()
        try:
            while kind.sent < _MOST:
                kind.sent += self.wfile.write(b"x" * (1 << 16))
        except OSError:
            return

    do_GET = do_HEAD = do_POST = _answer  # noqa: N815 http.server's names

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def endless(**more: object) -> Iterator[tuple[type[_Endless], str]]:
    kind = type("_One", (_Endless,), {"sent": 0, **more})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield kind, f"127.0.0.1:{server.server_address[1]}/a/b:1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "challenge"),
    [(400, ""), (403, ""), (418, ""), (401, 'Bearer realm="http://127.0.0.1:{port}/token",service="x"')],
    ids=["error", "refusal", "nonsense", "token"],
)
def test_words_without_end_are_not_listened_to(tmp_path: Path, status: int, challenge: str) -> None:
    with endless(status=status, challenge=challenge) as (server, place):
        with Registry(parse_reference(place), cache=tmp_path, waits_s=()) as registry, pytest.raises(RegistryError):
            registry.manifest("1")
        assert server.sent < _MOST // 4


def test_an_upload_is_not_answered_without_end(tmp_path: Path) -> None:
    with endless(status=202) as (server, place):
        with Registry(parse_reference(place), cache=tmp_path, waits_s=()) as registry, pytest.raises(RegistryError):
            registry.push_blob("sha256:" + "0" * 64, b"data", "data")
        assert server.sent < _MOST // 4
