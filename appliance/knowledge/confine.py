"""What a process gives up before it reads a file from outside: files, network, time, memory, its turn.

Linux calls that need no rights. Each is taken where the kernel has it; the limits on memory and time are always there.
"""

import ctypes
import os
import resource
import signal
import struct
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
# The same numbers on x86-64 and aarch64.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_PATH_BENEATH, _READ_FILE = 1, 1 << 2
_LANDLOCK_VERSION = 1
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_BIND_CONNECT = 3
_TCP_SINCE = 4

_libc = ctypes.CDLL(None, use_errno=True)


def limit(*, cpu_s: int, file_bytes: int) -> None:
    """Bound processor seconds and what may be written; no child processes. The kernel ends who goes over."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # SIGXCPU first, which tells why
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def idle() -> None:
    """Run only when nobody else wants the processor."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def close_doors(readable: Path | None = None) -> None:
    """No file but ``readable`` can be opened and no network reached any more; what is open stays open.

    Where the kernel has neither Landlock nor user namespaces, that door stays as it was.
    """
    _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC)
    version = _libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return
    rights = _FILE_RIGHTS[max(v for v in _FILE_RIGHTS if v <= version)]
    rules = struct.pack("Q", rights) + (struct.pack("Q", _TCP_BIND_CONNECT) if version >= _TCP_SINCE else b"")
    ruleset = _libc.syscall(_LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    if ruleset >= 0:
        if readable is not None:
            with readable.open("rb") as file:
                rule = struct.pack("=Qi", _READ_FILE, file.fileno())
                _libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0)
        _libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)
