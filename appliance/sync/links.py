"""Notices when a link comes or goes, without a byte on it: the kernel tells of every route, nobody is polled."""

import contextlib
import os
import select
import socket
import time
from pathlib import Path

CHANGED, STOPPED, QUIET = "changed", "stopped", "quiet"

_NETLINK_ROUTE = 0
# Links, addresses and routes of IPv4 and IPv6, as linux/rtnetlink.h numbers the groups.
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_READ = 1 << 16

Routes = frozenset[tuple[str, ...]]


class LinkWatch:
    """Waits for a change of the routes. Where the kernel tells nothing, as in some containers, it only waits."""

    def __init__(self) -> None:
        self._stopper = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._news: socket.socket | None = None
        with contextlib.suppress(OSError):
            self._news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
            self._news.setblocking(False)
            self._news.bind((0, _GROUPS))
        self._routes = routes()

    def wait(self, longest_s: float) -> str:
        """``CHANGED`` as soon as a route has come or gone, ``STOPPED``, or ``QUIET`` after so many seconds."""
        ends = time.monotonic() + longest_s
        while True:
            watched = [self._stopper] + ([self._news.fileno()] if self._news else [])
            ready, _, _ = select.select(watched, [], [], max(0.0, ends - time.monotonic()))
            if self._stopper in ready:
                return STOPPED
            if not ready:
                return QUIET
            self._drain()
            # Addresses are renewed all the time; only what leads elsewhere is news.
            if (now := routes()) != self._routes:
                self._routes = now
                return CHANGED

    def stop(self) -> None:
        """Wake ``wait``, now and for good; any thread may call it."""
        os.eventfd_write(self._stopper, 1)

    def close(self) -> None:
        """Let go of the kernel's sockets; nobody may be waiting any more."""
        os.close(self._stopper)
        if self._news:
            self._news.close()

    def _drain(self) -> None:
        # A full buffer (ENOBUFS) means that there was more news than fits: news all the same.
        with contextlib.suppress(OSError):
            while self._news and self._news.recv(_READ):
                pass


def routes(proc: Path = Path("/proc/net")) -> Routes:
    """Where packets may go: interface, destination, gateway and mask of every route, as the kernel writes them."""
    found: set[tuple[str, ...]] = set()
    with contextlib.suppress(OSError):
        for line in (proc / "route").read_text().splitlines()[1:]:
            parts = line.split()
            found.add((parts[0], parts[1], parts[2], parts[7]))
    with contextlib.suppress(OSError):
        for line in (proc / "ipv6_route").read_text().splitlines():
            parts = line.split()
            found.add((parts[-1], parts[0], parts[4], parts[1]))
    return frozenset(found)
