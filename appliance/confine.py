"""What a process gives up, for good, before it touches untrusted data: network, programs, files, time, its turn.

For Linux, with nothing to install and no rights needed. Each of the kernel's means is used where it is there: a seccomp
filter (no sockets, no programs, no hand on other processes), Landlock (no file but those named), namespaces and limits.
``confine`` is the cage of a worker that stays; what it could have is said, so that the status page can show it.
``limit`` and ``close_doors`` are for a child that reads one file from outside and ends.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

_PR_GET_SECCOMP, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 21, 22, 2
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | 13  # SECCOMP_RET_ERRNO with EACCES
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF: ld [k]; jeq k; ret k

# What is denied, as the kernel numbers it: socket, execve, execveat, ptrace, process_vm_readv, process_vm_writev,
# kill, pidfd_send_signal, pidfd_open, io_uring_setup (which could open sockets by itself), bpf, userfaultfd,
# mount, unshare, setns, tkill, rt_sigqueueinfo, rt_tgsigqueueinfo.
_DENIED = {
    "x86_64": (0xC000003E, (41, 59, 322, 101, 310, 311, 62, 424, 434, 425, 321, 323, 165, 272, 308, 200, 129, 297)),
    "aarch64": (0xC00000B7, (198, 221, 281, 117, 270, 271, 129, 424, 434, 425, 280, 282, 40, 97, 268, 130, 138, 240)),
}
# Allowed for the process itself, by its number or 0: tgkill, which abort() needs, and prlimit64, which threads need.
_ON_ITSELF = {"x86_64": (234, 302), "aarch64": (131, 261)}
_FIRST_ARGUMENT = 16
"""Where its lower half stands in what the filter is shown; both machines put that first."""

_PR_SET_PDEATHSIG = 1
_NEW_USER, _NEW_NET, _NEW_IPC = 0x10000000, 0x40000000, 0x08000000

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_READ = 0b1100  # READ_FILE, READ_DIR
# WRITE_FILE, REMOVE_FILE, MAKE_DIR, MAKE_REG, TRUNCATE; IOCTL_DEV, for graphics cards
_WRITE = _READ | 0b10 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 14 | 1 << 15
_FOLDERS_ONLY = 0b1000 | 1 << 5 | 1 << 7 | 1 << 8
_RIGHTS_SINCE = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Rights on files that a version of Landlock knows."""
_NET_SINCE, _BIND_AND_CONNECT = 4, 3


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def confine(*, read: Sequence[Path], write: Sequence[Path]) -> tuple[str, ...]:
    """Give up all that decoding does not need, for good. Call before any thread is started.

    Args:
        read: files and folders that must stay readable, besides Python and its libraries.
        write: folders that must stay writable.

    Returns:
        What holds from now on, of ``no-network`` and ``own-files-only``.
    """
    done = []
    rules = [(path, _READ) for path in (*_system(), *read)] + [(path, _WRITE) for path in write]
    if _landlock([*rules, (Path("/dev/null"), _READ | 0b10 | 1 << 15)]):
        done.append("own-files-only")
    if _seccomp():
        done.append("no-network")
    return tuple(done)


def available() -> tuple[str, ...]:
    """What ``confine`` would have on this machine, without doing it; for the status page."""
    found = ("own-files-only",) if _landlock_version() >= 1 else ()
    filters = _known() and _libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0
    return (*found, "no-network") if filters else found


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

    Where the kernel has none of what this takes, that door stays as it was.
    """
    _libc.unshare(_NEW_USER | _NEW_NET | _NEW_IPC)
    _landlock([(readable, _READ)] if readable else [])
    _seccomp()


def _known() -> bool:
    return platform.machine() in _DENIED and sys.maxsize > 1 << 32


def _landlock_version() -> int:
    return int(_libc.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(1)))


def _seccomp() -> bool:
    if not _known():
        return False
    architecture, denied = _DENIED[platform.machine()]
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _DENY), (_LOAD, 0, 0, 0)]
    if platform.machine() == "x86_64":
        program += [(0x35, 0, 1, 0x40000000), (_RETURN, 0, 0, _DENY)]  # the x32 numbering of the same calls
    for number in _ON_ITSELF[platform.machine()]:
        program += [(_EQUAL, 0, 5, number), (_LOAD, 0, 0, _FIRST_ARGUMENT), (_EQUAL, 1, 0, 0)]
        program += [(_EQUAL, 0, 1, os.getpid()), (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)]
    for place, number in enumerate(denied):
        program.append((_EQUAL, len(denied) - place, 0, number))
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    whole = Program(len(program), ctypes.addressof(code))
    return bool(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(whole), 0, 0) == 0)


def _landlock(allowed: Sequence[tuple[Path, int]]) -> bool:
    """Nothing but these files and folders, each with its rights, can be opened; no TCP where Landlock knows of it."""
    version = _landlock_version()
    if version < 1:
        return False
    handled = _RIGHTS_SINCE[max(since for since in _RIGHTS_SINCE if since <= version)]
    attributes = struct.pack("=Q", handled) + (struct.pack("=Q", _BIND_AND_CONNECT) if version >= _NET_SINCE else b"")
    rules = _libc.syscall(
        ctypes.c_long(_CREATE_RULESET), attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)
    )
    if rules < 0:
        return False
    try:
        for path, rights in allowed:
            _allow(rules, path, rights & handled)
        return bool(_libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(rules), ctypes.c_uint(0)) == 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    """One rule; a path that is not there needs none."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= ~_FOLDERS_ONLY
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, opened))
        _libc.syscall(ctypes.c_long(_ADD_RULE), ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint(0))
    finally:
        os.close(opened)


def _system() -> list[Path]:
    """Where Python, its packages and the system's libraries lie, and what the kernel tells about the processor."""
    ours = Path(__file__).resolve().parent
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("stdlib")), ours}
    found |= {Path(entry) for entry in sys.path if entry and Path(entry) != ours.parent}
    return [*sorted(found), *map(Path, ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/proc", "/sys"))]
