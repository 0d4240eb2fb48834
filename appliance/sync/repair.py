"""A damaged log at the start of a box: what can be read is kept, the rest is named, and the box goes on.

Numbers that the hub may have seen are never used again for other records. Where all of those could be read, the same
history goes on. Where not, a new one begins (its ``epoch`` grows by one), and what the hub has not acknowledged is
written into it again, with its own times, salt and commitment, by which a copy can be known.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.config import Home
from appliance.errors import SyncError
from appliance.log import salvage
from appliance.log.chain import STREAMS, Record
from appliance.log.store import Log
from appliance.sync.client import alone
from appliance.sync.identity import begin_new_history, load_or_make_identity
from appliance.sync.outbox import Outbox

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What came of it."""

    damage: str
    saved: int
    """Records that could be read."""
    lost: tuple[str, ...]
    """Those that could not: ``chat 17-20``. At the hub they may be all the same."""
    new_history: bool
    kept: Path
    """Where the damaged file lies now."""

    def __str__(self) -> str:
        lost = ", ".join(self.lost) or "nothing that is known of"
        return f"The log was damaged ({self.damage}). Saved: {self.saved} records. Lost: {lost}. Kept in {self.kept}."


def repair_log(home: Home, leaves: Collection[str] = STREAMS) -> Repaired | None:
    """Mend the log if it is damaged; None when it is sound, or there never was one. It must not be open elsewhere.

    Args:
        leaves: streams whose bodies may leave the box, for the record that tells of it.

    Raises:
        LogError: the disk is full or cannot be written.
        SyncError: the identity cannot be read, or a sync did not end.
    """
    home.prepare_data()
    draft = home.log.with_name("log.mended")
    if draft.exists() and not home.log.exists():
        draft.rename(home.log)  # the power went between the last two steps
    known = _known(home)
    damage = salvage.damage(home.log)
    if not damage:
        return None
    if damage in salvage.NOTHING and known is not None and not any(one.shipped for one in known.values()):
        return None  # a box that has not begun yet
    with alone(home, _PATIENCE_S):
        left, last = salvage.read_what_is_left(home.log)
        kept, again, new = _sort(left, known)
        if known:
            last = {stream: max(last[stream], known[stream].shipped) for stream in STREAMS}
        salvage.write_anew(draft, load_or_make_identity(home).box, kept, again)
        aside = _set_aside(home, new)
        draft.rename(home.log)
    lost = [
        f"{stream} {first}" if first == end else f"{stream} {first}-{end}"
        for stream in STREAMS
        for first, end in salvage.missing(left[stream], last[stream])
    ]
    saved = sum(map(len, left.values()))
    repaired = Repaired(damage=damage, saved=saved, lost=tuple(lost), new_history=new, kept=aside)
    with Log.open(home.log, load_or_make_identity(home).box, leaves) as log:
        log.append("audit", {"v": 1, "event": "repaired", "damage": damage, "saved": saved, "lost": lost})
    return repaired


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the outbox knows of a stream."""

    acknowledged: int
    shipped: int
    """The last number that may be known outside this box."""


def _known(home: Home) -> dict[str, _Known] | None:
    """By stream; None when the outbox cannot be read either."""
    try:
        with Outbox(home.outbox) as outbox:
            acknowledged, waiting = outbox.acknowledged(), outbox.waiting()
    except SyncError:
        return None
    sealed = {stream: max((b.first + b.n - 1 for b in waiting if b.stream == stream), default=0) for stream in STREAMS}
    return {s: _Known(acknowledged=acknowledged[s], shipped=max(acknowledged[s], sealed[s])) for s in STREAMS}


def _sort(
    left: Mapping[str, list[Record]], known: Mapping[str, _Known] | None
) -> tuple[dict[str, list[Record]], list[Record], bool]:
    """What stays as it was, what is written again under new numbers, and whether that is a new history."""
    whole = {stream: salvage.whole_beginning(left[stream]) for stream in STREAMS}
    if known is not None and all(len(whole[stream]) >= known[stream].shipped for stream in STREAMS):
        return whole, [r for s in STREAMS for r in left[s][len(whole[s]) :]], False
    heard = {stream: known[stream].acknowledged if known else 0 for stream in STREAMS}
    return {}, [r for s in STREAMS for r in left[s] if r.seq > heard[s]], True


def _set_aside(home: Home, new_history: bool) -> Path:
    history = home.data / "history"
    history.mkdir(mode=0o700, exist_ok=True)
    number = 1
    while (aside := history / f"damaged-{number}").exists():
        number += 1
    aside.mkdir(mode=0o700)
    if new_history:
        # Its batches are of the old history, whose receipts nobody waits for any more.
        home.outbox.rename(aside / home.outbox.name)
        home.prepare_data()
        begin_new_history(home)
    # The write-ahead log first: the file without it is older, but never taken for whole.
    for path in sorted(home.data.glob(f"{home.log.name}*"), reverse=True):
        path.rename(aside / path.name)
    return aside
