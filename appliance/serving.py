"""How the box and the hub listen: the port is had before anything slow begins, and a refusal is in words.

Whoever keeps the process up, systemd or the installer's launcher, is told when it answers and that it still does.
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from appliance.errors import ConfigError

_HANDSHAKE = b"\x16"
"""The first byte of TLS; no request of HTTP begins so."""
_SILENCE_S = 10.0
_MOST_SILENT = 500
"""Connections that have not said anything yet."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on.

    Raises:
        ConfigError: the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise ConfigError(
            f"{host} port {port} cannot be used: {os.strerror(error.errno) if error.errno else error}.",
            needed="An address of this machine and a port that nobody else has are needed.",
            todo="Is it running already? Otherwise choose another --host or --port.",
        ) from error


def address(listener: socket.socket, *, scheme: str = "http") -> str:
    """Where the socket is, as a browser wants it."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Supervisor:
    """Whoever started us and wants to know how we are: systemd, or our launcher. As sd_notify(3) has it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Without NOTIFY_SOCKET there is nobody, and nothing is said."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = environment.get("WATCHDOG_USEC", "")
        # Twice in the time that it waits, as systemd's manual advises.
        self._every_s = int(microseconds) / 2e6 if microseconds.isascii() and microseconds.isdigit() else None
        self._said = time.monotonic()

    def say(self, words: str) -> None:
        """Say it, if anybody listens; a listener that is gone or busy must not stop the box."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as voice:
            voice.setblocking(False)
            voice.sendto(words.encode(), self._address)

    def alive(self) -> None:
        """Say that we still are, if it is time to."""
        now = time.monotonic()
        if self._every_s is not None and now - self._said >= self._every_s:
            self._said = now
            self.say("WATCHDOG=1")


def serve(
    app: ASGIApp, listener: socket.socket, ready: Callable[[], None], *, tls: ssl.SSLContext | None = None
) -> None:
    """Serve until SIGTERM or Ctrl-C; ``ready`` is called once requests are answered.

    A phone that keeps a stream open must not keep the box from stopping, hence the short grace. There is no access
    log: it would write to disk who asked when, and nobody reads it.

    Args:
        tls: then the same port speaks HTTPS and HTTP, whichever a connection begins with: people type addresses
            without the ``s``, and what they then see must be a page with words. ``app`` decides what goes unencrypted.
    """
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=3
    )
    _Server(config, ready, tls).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._ready = ready
        self._tls = tls
        self._supervisor = Supervisor(os.environ)
        self._taking: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._tls is None:
            await super().startup(sockets)
        else:
            await super().startup([])  # no listener for it to serve: connections are taken here
            for listener in sockets or ():
                listener.setblocking(False)
                self._keep(self._accept(listener))
        self._ready()
        self._supervisor.say("READY=1")

    async def on_tick(self, counter: int) -> bool:
        self._supervisor.alive()  # ten times a second, and only while the event loop turns
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in list(self._taking):
            task.cancel()
        await super().shutdown(sockets)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:  # no file descriptors left, say: others are about to end
                await asyncio.sleep(0.1)
                continue
            if len(self._taking) > _MOST_SILENT:
                connection.close()
                continue
            self._keep(self._take(connection))

    async def _take(self, connection: socket.socket) -> None:
        """Look at the first byte, which a connection that never says anything gets some seconds for."""
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        loop.add_reader(connection, came.set)
        try:
            await asyncio.wait_for(came.wait(), _SILENCE_S)
            first = connection.recv(1, socket.MSG_PEEK)
        except (OSError, TimeoutError):
            first = b""
        finally:
            loop.remove_reader(connection)
        if not first:
            connection.close()
            return
        encrypted = first == _HANDSHAKE
        with suppress(OSError):  # no handshake in time, or not ours: the loop has closed the connection
            await loop.connect_accepted_socket(
                self._protocol,
                connection,
                ssl=self._tls if encrypted else None,
                ssl_handshake_timeout=_SILENCE_S if encrypted else None,
            )

    def _protocol(self) -> asyncio.Protocol:
        kind = cast(Callable[..., asyncio.Protocol], self.config.http_protocol_class)
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
