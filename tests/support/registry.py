"""Debian's docker-registry as a process on a loopback port, and a wire in front of it that can break.

with DockerRegistry(tmp_path) as registry, BreakingWire(registry.port) as wire:
    ... f"127.0.0.1:{registry.port}/site/demo:1" ... f"127.0.0.1:{wire.port}/site/demo:1" ...
"""

import contextlib
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.support.token_service import ISSUER, SERVICE, TokenService


class DockerRegistry:
    """An empty registry that keeps its blobs under ``folder``; with ``login`` (user, password) it wants one, and with
    ``tokens`` it believes only that service's tokens."""

    def __init__(
        self, folder: Path, login: tuple[str, str] | None = None, *, tokens: TokenService | None = None
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        auth = ""
        if login:
            import bcrypt

            secret = bcrypt.hashpw(login[1].encode(), bcrypt.gensalt(4)).decode()
            (folder / "htpasswd").write_text(f"{login[0]}:{secret}\n")
            auth = f"auth: {{htpasswd: {{realm: test, path: {folder / 'htpasswd'}}}}}\n"
        if tokens:
            auth = (
                f"auth: {{token: {{realm: '{tokens.realm}', service: {SERVICE}, issuer: {ISSUER}, "
                f"rootcertbundle: {tokens.bundle}}}}}\n"
            )
        self._config = folder / "config.yml"
        self._config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
            f"http: {{addr: '{self.host}', secret: only-for-tests}}\n{auth}"
        )
        self._log = folder / "log"

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(self._config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 30
        while True:
            assert self._process.poll() is None and time.monotonic() < deadline, self._log.read_text()
            try:
                urllib.request.urlopen(f"http://{self.host}/v2/", timeout=5).close()
                return self
            except urllib.error.HTTPError as error:
                error.close()
                return self
            except OSError:
                time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


class BreakingWire:
    """A TCP relay that cuts each connection after so many bytes, up or down; ``None`` lets all through."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.cut_down: int | None = None
        self.cut_up: int | None = None
        self.budget_down: int | None = None
        """Bytes that still come down over all connections together."""
        self.heads: list[bytes] = []
        """The first bytes of each connection, to see what was asked."""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            for source, sink, up in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._relay, args=(source, sink, up), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if up:
                    self.heads.append(data[:2000])
                limit = self.cut_up if up else self.cut_down
                passed += len(data)
                if not up and self.budget_down is not None:
                    self.budget_down -= len(data)
                    limit = passed if self.budget_down > 0 else 0
                if limit is not None and passed > limit:
                    sink.sendall(data[: max(0, len(data) - (passed - limit))])
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
