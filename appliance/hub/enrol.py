"""How a box comes to this hub: a token is given out, used once, and from then on the box's key is known."""

import secrets
import time
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.errors import BatchRefused, HubError
from appliance.hub.keys import HubKeys, check_recipients
from appliance.hub.storage import Storage
from appliance.sync.wire import Token, b64, proven, public_bytes, read_introduction, unb64, write_token


def issue_token(storage: Storage, keys: HubKeys, *, site: str, url: str, recovery: Sequence[str] = ()) -> str:
    """Make a token for one box and remember the public half of its secret; the secret itself is only in the token.

    Raises:
        HubError: the name, the address or a recovery recipient cannot be used.
    """
    if not 1 <= len(site) <= 100 or not site.isprintable():
        raise HubError(f"The site's name is {site!r}.", needed="1 to 100 letters that can be printed are needed.")
    if url and not url.startswith(("http://", "https://")):
        raise HubError(f"The hub's address is {url!r}.", needed="It begins with http:// or https://.")
    check_recipients(recovery)
    secret = Ed25519PrivateKey.generate()
    token = Token(
        id=secrets.token_hex(8),
        name=site,
        url=url.rstrip("/"),
        hub=b64(public_bytes(keys.signing)),
        recipient=keys.recipient,
        recovery=tuple(recovery),
        secret=b64(secret.private_bytes_raw()),
    )
    storage.add_token(token.id, site, public_bytes(secret), time.time_ns() // 1_000_000)
    return write_token(token)


def admit(storage: Storage, introduction: bytes) -> str:
    """Let a box in by what it says of itself; its name. The same again changes nothing.

    Raises:
        BatchRefused: not well-formed, no such token, not made with its secret, or another box has used it.
    """
    read = read_introduction(introduction)
    token_key = storage.token_key(read.token)
    if token_key is None or not proven(read, token_key):
        raise BatchRefused(
            "This hub gave out no such token.",
            needed="A token from this hub is needed.",
            todo="Make one: fieldpost-hub enrol --data DIR --name SITE",
        )
    if not storage.admit(read, unb64(read.key, 32), time.time_ns() // 1_000_000):
        raise BatchRefused(
            "Another box has used this token, or this box was shut out.",
            needed="Each box needs a token of its own.",
            todo="Make a new one: fieldpost-hub enrol --data DIR --name SITE",
        )
    return read.box
