"""How the machine is doing: memory, disk, load. The sole importer of psutil."""

import socket
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One look at the machine; sizes in bytes."""

    cores: int
    memory_total: int
    memory_available: int
    disk_total: int
    disk_free: int
    load_1min: float


def look(folder: Path) -> Machine:
    """The machine now, and the disk that holds ``folder``."""
    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(str(folder))
    return Machine(
        cores=psutil.cpu_count() or 1,
        memory_total=memory.total,
        memory_available=memory.available,
        disk_total=disk.total,
        disk_free=disk.free,
        load_1min=psutil.getloadavg()[0],
    )


def peak_memory() -> int:
    """The most bytes of memory that this process and its children held, each at its own peak, added up.

    What processes share is counted once for each, and so are a model's mapped pages. Linux only, as the box is.
    """
    me = psutil.Process()
    return sum(_peak(process.pid) for process in (me, *me.children(recursive=True)))


def addresses() -> list[str]:
    """This machine's IPv4 addresses that others can reach, as their interfaces have them; asks nobody."""
    found = (address for group in psutil.net_if_addrs().values() for address in group)
    return sorted(a.address for a in found if a.family == socket.AF_INET and not a.address.startswith("127."))


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:  # it ended in between
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
