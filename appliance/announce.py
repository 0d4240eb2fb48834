"""The box tells its name on the site's network, so that nobody has to type numbers: ``http://fieldpost.local:7860``.

Multicast DNS and DNS-SD (RFC 6762 and 6763). Only what is asked on the site's own network is answered, and nothing is
asked of anybody. The sole importer of zeroconf.
"""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from zeroconf import Error as ZeroconfError
from zeroconf import InterfaceChoice, IPVersion, ServiceInfo, Zeroconf

NAME = "fieldpost"
"""The box is ``fieldpost.local``; of two on one network, phones find either."""
LOOK_S = 15.0
"""Seconds between two looks at the machine's addresses: Wi-Fi comes up after the box, and routers give out new ones."""


@contextmanager
def announced(
    name: str,
    port: int,
    addresses: Callable[[], Sequence[str]],
    *,
    look_s: float = LOOK_S,
    interfaces: Sequence[str] | None = None,
) -> Iterator[None]:
    """Answer for ``NAME.local`` as long as this is open. That it cannot be done stops nothing: the numbers work too.

    Args:
        name: a host's name without a dot.
        addresses: IPv4 addresses at which the page is to be found now.
        interfaces: addresses of the interfaces to answer on; all for None.
    """
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            now = list(addresses())
            if not now:
                ended.wait(look_s)
                continue
            with suppress(OSError, ZeroconfError), _answering(name, port, now, interfaces):
                # New interfaces and addresses are not followed by themselves; begun anew they are.
                while list(addresses()) == now and not ended.wait(look_s):
                    pass
                continue
            ended.wait(look_s)

    thread = threading.Thread(target=work, name="announce", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _answering(name: str, port: int, addresses: Sequence[str], interfaces: Sequence[str] | None) -> Iterator[None]:
    chosen = list(interfaces) if interfaces is not None else InterfaceChoice.All
    zeroconf = Zeroconf(interfaces=chosen, ip_version=IPVersion.V4Only)
    try:
        zeroconf.register_service(
            ServiceInfo(
                "_http._tcp.local.",
                f"{name}._http._tcp.local.",
                addresses=[socket.inet_aton(address) for address in addresses],
                port=port,
                server=f"{name}.local.",
            ),
            allow_name_change=True,
        )
        yield
    finally:
        zeroconf.close()
