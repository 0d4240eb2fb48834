"""What this box is: memory, processor, Pythons, clock, power. Asks the kernel and its files, and changes nothing."""

import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PORT = 7860
"""Where the page is served unless somebody says otherwise; as ``fieldpost serve`` has it."""
_NO_LIMIT = 1 << 60
"""A cgroup of version 1 without a limit tells a number near 2^63."""
_UNDER_VOLTAGE = 1 | 1 << 16
"""Bits of a Raspberry Pi's ``get_throttled``: under-voltage now, and since it was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """A Python 3 of this machine."""

    path: Path
    minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One look at a machine."""

    system: str
    """``linux``."""
    processor: str
    """``x86_64`` or ``aarch64``."""
    pythons: tuple[Python, ...]
    """The one that runs the installer comes first."""
    memory: int
    """Bytes that programs may use: the machine's, or less where a control group says so."""
    cpu: frozenset[str]
    """Features of the processor, as the kernel calls them; empty where it does not tell."""
    now: datetime
    port_taken: bool
    """Somebody listens where the page is to be."""
    battery: int | None
    """Percent, when it runs on a battery that empties."""
    under_voltage: bool
    """A Raspberry Pi's power supply is too weak."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables without which the programs do not run on this processor."""
        # NumPy's OpenBLAS took emulated processors without AVX2 for a Haswell, and ended at an instruction they lack.
        if self.processor != "x86_64" or not self.cpu or "avx2" in self.cpu:
            return {}
        return {"OPENBLAS_CORETYPE": "Sandybridge" if "avx" in self.cpu else "Nehalem"}


def look(root: Path = Path("/")) -> Machine:
    """This machine now.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    return Machine(
        system=sys.platform,
        processor=platform.machine(),
        pythons=tuple(_pythons()),
        memory=memory(root),
        cpu=_cpu(root),
        now=datetime.now(UTC),
        port_taken=_listened_to(PORT),
        battery=_battery(root),
        under_voltage=_under_voltage(root),
    )


def memory(root: Path = Path("/")) -> int:
    """Bytes that this process may use: the machine's memory, or the least limit of the control groups it is in."""
    total = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    limits = [int(total[1]) << 10] if total else [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            places, name = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"], "memory.max"
        elif "memory" in controllers.split(","):
            places, name = [root / "sys/fs/cgroup/memory"], "memory.limit_in_bytes"
        else:
            continue
        for place in places:
            folder = place / path.lstrip("/")
            for group in (folder, *folder.parents):
                told = _text(group / name).strip()
                if told.isdigit() and 0 < int(told) < _NO_LIMIT:
                    limits.append(int(told))
                if group == place:
                    break
    return min(limits)


def _pythons() -> Iterator[Python]:
    """This one, and those of other versions on the usual path."""
    yield Python(path=Path(sys.executable).resolve(), minor=sys.version_info.minor)
    for minor in range(11, 20):
        found = shutil.which(f"python3.{minor}")
        if found and minor != sys.version_info.minor:
            yield Python(path=Path(found).resolve(), minor=minor)


def _cpu(root: Path) -> frozenset[str]:
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def _listened_to(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _battery(root: Path) -> int | None:
    for supply in sorted((root / "sys/class/power_supply").glob("*")):
        if _text(supply / "status").strip() == "Discharging":
            told = _text(supply / "capacity").strip()
            if told.isdigit():
                return int(told)
    return None


def _under_voltage(root: Path) -> bool:
    told = _text(root / "sys/devices/platform/soc/soc:firmware/get_throttled").strip()
    return bool(re.fullmatch(r"[0-9a-fA-Fx]+", told)) and bool(int(told, 16) & _UNDER_VOLTAGE)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
