"""Forgetting what somebody wrote: in the log, and in whatever of it still waits for the hub.

What the hub has already is asked back by the request that the log writes (``appliance.log.erasure``); it travels like
any other record.
"""

from collections.abc import Mapping, Sequence

from appliance.config import Home
from appliance.log.store import Log
from appliance.sync.client import PATIENCE_S, alone
from appliance.sync.outbox import Outbox


def erase(home: Home, log: Log, places: Mapping[str, Sequence[int]]) -> int:
    """Take the bodies of some records away everywhere on this box; how many had one.

    Args:
        log: open for writing.
        places: stream to the numbers of its records.

    Raises:
        LogError: the log cannot be written, or its old bytes may still be there.
        SyncError: another sync of this box is running, or the outbox cannot be used.
    """
    erased = 0
    with alone(home, PATIENCE_S), Outbox(home.outbox) as outbox:
        for stream, seqs in places.items():
            # First out of the batches: they are made again from the log, whenever the power goes in between.
            outbox.unseal(stream, seqs)
            erased += log.erase(stream, seqs)
    return erased
