"""How the box and the hub listen: the port is had before anything slow begins, and a refusal is in words.

Whoever keeps the process up, systemd or the installer's launcher, is told when it answers and that it still does.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from appliance.errors import ConfigError


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


def address(listener: socket.socket) -> str:
    """Where the socket is, as a browser wants it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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


def serve(app: ASGIApp, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; ``ready`` is called once requests are answered.

    A phone that keeps a stream open must not keep the box from stopping, hence the short grace. There is no access
    log: it would write to disk who asked when, and nobody reads it.
    """

    supervisor = Supervisor(os.environ)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()
            supervisor.say("READY=1")

        async def on_tick(self, counter: int) -> bool:
            supervisor.alive()  # ten times a second, and only while the event loop turns
            return await super().on_tick(counter)

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=3
    )
    Server(config).run(sockets=[listener])
