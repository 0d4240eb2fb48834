"""What may go over the present link now: quiet hours, what a day may cost, what is paid by the byte. No I/O.

A safety event always may.
"""

import re
from dataclasses import dataclass
from datetime import datetime

URGENT = ("safety",)
"""Streams that wait for nothing."""
OVERHEAD = 1500
"""Bytes that a batch costs beside its own: headers, receipt, and its part of opening the link."""
_FIRST_SURE_YEAR = 2025
_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How things stand at one moment."""

    quiet: bool
    """It is a time at which the link is left to people."""
    left: int
    """Bytes that may still go today over a link of this kind."""

    def allow(self, stream: str, size: int) -> bool:
        """Whether a batch of ``size`` bytes may go now."""
        return stream in URGENT or (not self.quiet and size + OVERHEAD <= self.left)


def is_quiet(hours: str, now: datetime) -> bool:
    """Whether ``now``, in the box's own time, lies in hours such as ``07:00-18:30``, which may pass midnight.

    Empty is never; and so is a clock that cannot be right, or a box that starts in 1970 would be silent for good.
    """
    found = _HOURS.fullmatch(hours)
    if found is None or now.year < _FIRST_SURE_YEAR:
        return False
    start, end = (int(found[n]) * 60 + int(found[n + 1]) for n in (1, 3))
    minute = now.hour * 60 + now.minute
    return start <= minute < end if start <= end else minute >= start or minute < end
