"""The box's own Wi-Fi, as NetworkManager keeps it: WPA2, addresses given out by the box."""

from installer.errors import HomeRefused

LONGEST_NAME = 32
"""Bytes of a Wi-Fi's name (IEEE 802.11)."""

_PROFILE = """\
# Put this into /etc/NetworkManager/system-connections/fieldpost.nmconnection (sudo, mode 600), then:
#   sudo nmcli connection reload && sudo nmcli connection up fieldpost
# Phones then find the page at http://10.42.0.1:7860
[connection]
id=fieldpost
type=wifi
interface-name={device}
autoconnect=true

[wifi]
mode=ap
ssid={name}

[wifi-security]
key-mgmt=wpa-psk
proto=rsn
pairwise=ccmp
group=ccmp
psk={password}

[ipv4]
method=shared
address1=10.42.0.1/24

[ipv6]
method=disabled
"""


def profile(name: str, device: str, password: str) -> str:
    """A key file of NetworkManager for an access point.

    Args:
        name: what phones see; up to 32 bytes.

    Raises:
        HomeRefused: the name is empty, too long, or has a line break in it.
    """
    if not 0 < len(name.encode()) <= LONGEST_NAME or not name.isprintable():
        raise HomeRefused(f"{name!r} cannot be a Wi-Fi's name.", needed=f"1 to {LONGEST_NAME} bytes on one line.")
    if not device.isprintable() or "/" in device or not device:
        raise HomeRefused(f"{device!r} is no network device.", todo="Look at: ip link")
    # A semicolon would make the name a list of bytes.
    return _PROFILE.format(device=device, name=name.replace("\\", "\\\\").replace(";", "\\;"), password=password)
