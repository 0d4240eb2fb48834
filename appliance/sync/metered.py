"""Whether somebody pays by the byte for the present link, as NetworkManager knows it. The sole importer of jeepney."""

from jeepney import DBusAddress, Properties
from jeepney.io.blocking import open_dbus_connection

_MANAGER = DBusAddress(
    "/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager", "org.freedesktop.NetworkManager"
)
_PATIENCE_S = 5.0
_PAID = (1, 3)
"""NMMetered: yes, and guessed yes, as for a telephone that shares its link."""


def metered() -> bool:
    """False also where there is no NetworkManager, or it does not say: then only the budget counts."""
    try:
        with open_dbus_connection(bus="SYSTEM") as bus:
            reply = bus.send_and_get_reply(Properties(_MANAGER).get("Metered"), timeout=_PATIENCE_S)
            kind, value = reply.body[0]
            return kind == "u" and value in _PAID
    except Exception:  # a bus that is away or says something else says it in many ways, and none may stop the sync
        return False
