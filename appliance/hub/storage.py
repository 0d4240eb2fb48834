"""What a hub must remember, whichever database keeps it: tokens, boxes, the names of batches, every record once.

Whether a box may say what it says was checked before; whether it fits what is there is decided in ``records``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from appliance.hub.rollout import Told
from appliance.sync.batch import Batch, Header
from appliance.sync.wire import Introduction


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBox:
    """An enrolled box, as people ask about it."""

    box: str
    site: str
    last_contact_ms: int
    records: dict[str, int]
    """Records a stream, of all epochs; every stream is there."""
    revoked_ms: int | None
    """When it was shut out, if it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """What the hub must not forget about a box; kept outside the database too."""

    box: str
    site: str
    key: bytes
    token: str
    revoked_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A record as the hub has it, without what proves it."""

    box: str
    epoch: int
    stream: str
    seq: int
    boot: int
    mono_ms: int
    wall_ms: int
    received_ms: int
    body: str | None


class Storage(Protocol):
    """What the hub needs of its memory; closed by leaving its ``with`` block.

    Each method is whole or not at all, and safe to call from any thread; any number of processes may do so at once. All
    raise HubError when the database cannot be used.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add_token(self, token: str, site: str, key: bytes, now_ms: int) -> None:
        """Remember a token by the public half of its secret."""

    def token_key(self, token: str) -> bytes | None:
        """The public half of a token's secret."""

    def admit(self, introduction: Introduction, key: bytes, now_ms: int) -> bool:
        """Use up the token for this box; False if another box has used it, or this one was shut out since.

        Again for the same box is True.
        """

    def admitted(self, box: str) -> Admitted | None:
        """An enrolled box, shut out or not."""

    def readmit(self, box: Admitted, now_ms: int) -> None:
        """Put a box back as it was, into a database that is made anew."""

    def revoke(self, box: str, now_ms: int) -> None:
        """Shut a box out: nothing more is taken from it until it comes with a new token."""

    def box_key(self, box: str) -> bytes | None:
        """An enrolled box's public key, shut out or not."""

    def batch(self, sha: str) -> tuple[Header, int] | None:
        """What is in a batch that was merged before, and its size in bytes."""

    def merge(self, sha: str, batch: Batch, size: int, now_ms: int, *, archive: Callable[[], None]) -> None:
        """Take in a batch. ``archive`` is called once it is known to fit, before it counts as received.

        Raises:
            ForkDetected: it does not fit; nothing was changed.
        """

    def kept(self, box: str) -> list[Kept]:
        """Every record of a box, by epoch, stream and seq."""

    def told(self, release: str) -> list[Told]:
        """What boxes have said of a release, by its id."""

    def unclean(self) -> list[str]:
        """Archived batches that still hold a body that is to be forgotten."""

    def erased(self, header: Header) -> set[int]:
        """Records of a batch that are to be forgotten."""

    def clean(self, sha: str) -> None:
        """The archive does not hold it any more."""

    def heads(self, box: str, epoch: int | None) -> tuple[int, dict[str, tuple[int, bytes]]]:
        """The epoch (the newest for None) and how far each stream has come without a gap."""

    def boxes(self) -> list[KnownBox]:
        """Every enrolled box, by the name of its site."""


class Place(Protocol):
    """Where a hub's database lies."""

    def open(self) -> Storage:
        """The hub's memory as it is now.

        Raises:
            HubError: it cannot be used, or is not what the folder says.
        """

    def draft(self) -> Storage:
        """An empty memory beside the present one.

        Raises:
            HubError: the disk or the database.
        """

    def adopt(self) -> str | None:
        """The draft, closed, takes the place of what was there; where that is kept now, if there was any.

        Raises:
            HubError: the disk or the database.
        """
