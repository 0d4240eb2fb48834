"""What boxes sent on a stick comes into the hub, and the hub's receipts go back on it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BatchRefused, ForkDetected, SyncError
from appliance.hub.ingest import Hub
from appliance.sync import stick as on_stick
from appliance.sync.batch import name


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came off a stick."""

    batches: int
    """Batches taken in, those known before included."""
    enrolled: tuple[str, ...]
    """Boxes that introduced themselves."""
    receipts: tuple[str, ...]
    """Boxes for which a receipt was written."""
    refused: tuple[str, ...]
    """A sentence for each file that was left alone, with its name."""


def import_stick(
    hub: Hub, stick: Path, *, progress: Callable[[list[str]], Iterable[str]] = lambda names: names
) -> Imported:
    """Take in every introduction and every batch of the stick, then write a receipt for each box that was on it.

    Files that are half written, damaged, unsigned or somebody else's are left alone and told of. What was taken in is
    removed from the stick once its receipt is there.

    Raises:
        SyncError: the stick cannot be read, or takes no receipts; what was taken in stays in the hub.
        HubError: the hub's disk.
    """
    folder = on_stick.up(stick)
    if not folder.is_dir():
        raise SyncError(
            f"There is nothing from a box on {stick}.",
            needed="A folder FIELDPOST/up is needed there.",
            todo="Run at the box: fieldpost sync export --stick STICK",
        )
    enrolled, refused, done = [], [], []
    boxes: set[str] = set()
    for file in on_stick.names(folder, on_stick.INTRODUCTION):
        try:
            box = hub.admit(on_stick.read(folder / file) or b"")
            enrolled.append(box)
            done.append(file)
        except BatchRefused as error:
            refused.append(f"{file}: {error}")
    taken = 0
    for file in progress(on_stick.names(folder, on_stick.BATCH)):
        data = on_stick.read(folder / file)
        try:
            if data is None or f"{name(data)}.batch" != file:
                raise BatchRefused("It is not whole.", todo="Export again at the box.")
            boxes.add(hub.ingest(data).box)
            taken += 1
            done.append(file)
        except (BatchRefused, ForkDetected) as error:
            refused.append(f"{file}: {error}")
    boxes.update(enrolled)
    for box in sorted(boxes):
        on_stick.put(on_stick.ack(stick) / f"{box}.note", hub.receipt(box))
    for file in done:
        on_stick.remove(folder / file)
    return Imported(batches=taken, enrolled=tuple(enrolled), receipts=tuple(sorted(boxes)), refused=tuple(refused))
