"""What people with rights did, in the log's audit stream: by ids, never names, and it stays on the box."""

from collections.abc import Callable

from appliance.accounts.people import Person
from appliance.errors import LogError
from appliance.log.store import Recorder

Audit = Callable[..., None]


def auditor(log: Recorder) -> Audit:
    """``audit(event, by=person, **facts)``: one record. A full disk must not keep an administrator out."""

    def audit(event: str, *, by: Person | None = None, **facts: object) -> None:
        body = {"v": 1, "event": event, "by": by.id if by else "", **facts}
        try:
            log.append("audit", body, egress=False)
        except LogError:
            return

    return audit
