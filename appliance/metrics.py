"""How the machine is doing: memory, disk, load, battery, heat, energy. The sole importer of psutil.

Memory is what this process may use: the machine's, or less where a control group has a limit, as containers have. The
kernel ends who goes beyond it, whatever the machine has left.
"""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_PROCESSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "cpu-thermal", "acpitz")
"""Sensors of processors, as Linux names them on PCs and Raspberry Pis."""
_STALE_S = 600.0
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
"""Of a control group of version 1: files of limit and use, and what its counts of itself and all in it begin with."""
_V2 = ("memory.max", "memory.current", "")


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
    usable = memory()
    disk = psutil.disk_usage(str(folder))
    return Machine(
        cores=psutil.cpu_count() or 1,
        memory_total=usable.total,
        memory_available=usable.available,
        disk_total=disk.total,
        disk_free=disk.free,
        load_1min=psutil.getloadavg()[0],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes that this process may use, and those of them that are free or can be freed."""

    total: int
    available: int


def memory(root: Path = Path("/")) -> Memory:
    """The machine's memory, or the least that the control groups of this process, in both versions, leave it.

    Args:
        root: where ``proc/self/cgroup`` and ``sys/fs/cgroup`` are.
    """
    machine = psutil.virtual_memory()
    found = [Memory(total=machine.total, available=machine.available), *_groups(root)]
    return Memory(total=min(one.total for one in found), available=min(one.available for one in found))


def _groups(root: Path) -> Iterator[Memory]:
    """Of each control group with a limit that this process is in. A group's limit holds for all groups in it."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            places, names = ["sys/fs/cgroup", "sys/fs/cgroup/unified"], _V2
        elif "memory" in controllers.split(","):
            places, names = ["sys/fs/cgroup/memory"], _V1
        else:
            continue
        for place in places:
            folder = root / place / path.lstrip("/")
            # In a container the path may be that of the world outside, and is not there; the group itself is `place`.
            for group in (folder, *folder.parents):
                yield from _group(group, *names)
                if group == root / place:
                    break


def _group(folder: Path, limit: str, used: str, prefix: str) -> Iterator[Memory]:
    told, taken = _text(folder / limit).strip(), _text(folder / used).strip()
    if not told.isdigit():
        return  # no such group here, or one without a limit: "max"
    counted = dict(line.split(maxsplit=1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
    # Pages of files are given back when others need room, as the kernel's own MemAvailable has it.
    files = sum(int(counted.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))
    free = int(told) - max(0, int(taken or 0) - files)
    yield Memory(total=int(told), available=max(0, free))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What decides how much the machine can bear; None is what it does not tell."""

    battery: float | None = None
    """Percent of charge."""
    charging: bool = False
    celsius: float | None = None
    """Of the hottest sensor."""
    memory_pressure: float | None = None
    """Percent of the last ten seconds in which some program waited for memory."""
    memory_available: int = 0


def vitals(battery_file: Path | None = None, *, pressure: Path = Path("/proc/pressure/memory")) -> Vitals:
    """Look now.

    Args:
        battery_file: holds percent of charge and perhaps the word ``charging``, in place of the machine's own battery.
            What was not written for ten minutes is not believed.
    """
    charge, charging = _battery_in(battery_file) if battery_file else _battery()
    heat = [one.current for name in _PROCESSORS for one in psutil.sensors_temperatures().get(name, ())]
    try:
        waited = float(pressure.read_text().split()[1].removeprefix("avg10="))
    except (OSError, IndexError, ValueError):
        waited = None
    return Vitals(
        battery=charge,
        charging=charging,
        celsius=max(heat, default=None),
        memory_pressure=waited,
        memory_available=memory().available,
    )


def _battery() -> tuple[float | None, bool]:
    told = psutil.sensors_battery()
    return (None, False) if told is None else (float(told.percent), bool(told.power_plugged))


def _battery_in(path: Path) -> tuple[float | None, bool]:
    try:
        if time.time() - path.stat().st_mtime > _STALE_S:
            return None, False
        charge, *more = path.read_text(encoding="utf-8").split()
        return (float(charge) if 0 <= float(charge) <= 100 else None), more == ["charging"]
    except (OSError, ValueError):
        return None, False


def joules(folder: Path = Path("/sys/class/powercap")) -> float | None:
    """Energy that the processor packages have drawn since some moment, by Intel's and AMD's counters (RAPL).

    None where there are none, or where only root may read them. They wrap around after some hours: a difference that
    is negative is none.
    """
    found = [path / "energy_uj" for path in folder.glob("intel-rapl:*") if path.name.count(":") == 1]
    try:
        return sum(int(path.read_text()) for path in found) / 1e6 if found else None
    except (OSError, ValueError):
        return None


def peak_memory() -> int:
    """The most bytes of memory that this process and its children held, each at its own peak, added up.

    What processes share is counted once for each, and so are a model's mapped pages. Linux only, as the box is.
    """
    me = psutil.Process()
    return sum(_peak(process.pid) for process in (me, *me.children(recursive=True)))


def sticks() -> list[Path]:
    """Where sticks and other removable disks are mounted now: what lies below the usual places and can be written."""
    places = (Path(part.mountpoint) for part in psutil.disk_partitions(all=False))
    usual = (Path("/media"), Path("/run/media"), Path("/mnt"))
    return sorted(p for p in places if any(p.is_relative_to(u) for u in usual) and os.access(p, os.W_OK))


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
