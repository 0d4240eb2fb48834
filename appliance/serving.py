"""How the box and the hub listen: the port is had before anything slow begins, and a refusal is in words."""

import os
import socket
from collections.abc import Callable

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


def serve(app: ASGIApp, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; ``ready`` is called once requests are answered.

    A phone that keeps a stream open must not keep the box from stopping, hence the short grace. There is no access
    log: it would write to disk who asked when, and nobody reads it.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=3
    )
    Server(config).run(sockets=[listener])
