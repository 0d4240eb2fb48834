"""Which hub this box belongs to: learnt from a one-time token, kept in ``data/enrolment.json``.

The box introduces itself at its first contact, by link or by stick; until the hub has answered, the token's secret is
kept, and forgotten then.
"""

import json
from dataclasses import asdict, dataclass, replace

from appliance.config import Home
from appliance.errors import SyncError
from appliance.files import write_private
from appliance.sync.identity import Identity, load_or_make_identity
from appliance.sync.wire import NEW_HISTORY, read_token, unb64, write_introduction


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """The hub of this box."""

    name: str
    """What the hub's people call this site."""
    url: str
    """Where the hub is; empty when only sticks go there."""
    hub: str
    """The hub's Ed25519 public key, base64."""
    recipients: tuple[str, ...]
    """age recipients of every batch: the hub first, then the recovery keys."""
    token: str
    secret: str
    """Empty once the hub has answered."""

    @property
    def hub_key(self) -> bytes:
        return unb64(self.hub, 32)

    def introduction(self, identity: Identity) -> bytes | None:
        """What the hub must hear first; None once it has answered."""
        return write_introduction(self.token, unb64(self.secret, 32), identity.key) if self.secret else None


def enrol(home: Home, token: str) -> Enrolment:
    """Join the hub that issued ``token``. Nothing is sent yet. The same token again changes nothing.

    Raises:
        SyncError: it is no token, or the box belongs to another hub.
    """
    wanted = read_token(token)
    home.prepare_data()
    load_or_make_identity(home)
    now = load_enrolment(home)
    if now and now.token == wanted.id:
        return now
    if now and now.hub != wanted.hub:
        raise SyncError(
            f"This box belongs to the hub {now.url or '(stick only)'} already.",
            needed="A box has one hub.",
            todo=f"To change it for good: {NEW_HISTORY}",
        )
    if now and now.url and not wanted.url:
        raise SyncError(
            f"This token is for sticks only; this box's hub is at {now.url}.",
            needed="With it the box would lose its link.",
            todo="Ask the hub for a token with --url.",
        )
    enrolment = Enrolment(
        name=wanted.name,
        url=wanted.url,
        hub=wanted.hub,
        recipients=(wanted.recipient, *wanted.recovery),
        token=wanted.id,
        secret=wanted.secret,
    )
    _save(home, enrolment)
    return enrolment


def load_enrolment(home: Home) -> Enrolment | None:
    """The box's hub; None when it has none yet.

    Raises:
        SyncError: enrolment.json cannot be read.
    """
    try:
        raw = json.loads(home.enrolment.read_bytes())
        enrolment = Enrolment(**{**raw, "recipients": tuple(raw["recipients"])})
        unb64(enrolment.hub, 32)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SyncError(
            f"{home.enrolment} cannot be read: {error.strerror}.",
            needed="One user runs everything of a box.",
            todo="Run this as the user who owns it, or with sudo.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SyncError(
            f"{home.enrolment} is damaged: {error!r}.", todo="Move it away and enrol with a new token."
        ) from error
    return enrolment


def confirm(home: Home, enrolment: Enrolment) -> Enrolment:
    """The hub has answered: forget the token's secret."""
    if not enrolment.secret:
        return enrolment
    confirmed = replace(enrolment, secret="")
    _save(home, confirmed)
    return confirmed


def _save(home: Home, enrolment: Enrolment) -> None:
    try:
        write_private(home.enrolment, json.dumps(asdict(enrolment)).encode())
    except OSError as error:
        raise SyncError(
            f"{home.enrolment} cannot be written: {error}.", todo="Free space on the box's disk."
        ) from error
