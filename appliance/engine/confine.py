"""The worker's cage: no network, no other programs, no files but its own. For Linux, with nothing to install.

Two of the kernel's own means, each used where it is there: a seccomp filter (no sockets, no programs, no hand on other
processes) and Landlock (the model and its adapters can be read, the cache written, and nothing else of the box). What
could be had is said, so that the status page can show it. Neither needs root, a namespace or another program.
"""

import ctypes
import os
import platform
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
# mount, unshare, setns. tgkill stays: abort() needs it.
_DENIED = {
    "x86_64": (0xC000003E, (41, 59, 322, 101, 310, 311, 62, 424, 434, 425, 321, 323, 165, 272, 308)),
    "aarch64": (0xC00000B7, (198, 221, 281, 117, 270, 271, 129, 424, 434, 425, 280, 282, 40, 97, 268)),
}

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_READ = 0b1100  # READ_FILE, READ_DIR
_FIRST_RIGHTS = (1 << 13) - 1
_WRITE = _READ | 0b10 | 1 << 5 | 1 << 7 | 1 << 8  # WRITE_FILE, REMOVE_FILE, MAKE_DIR, MAKE_REG
_REFER, _TRUNCATE = 1 << 13, 1 << 14


def confine(*, read: Sequence[Path], write: Sequence[Path]) -> tuple[str, ...]:
    """Give up all that decoding does not need, for good. Call before any thread is started.

    Args:
        read: files and folders that must stay readable, besides Python and its libraries.
        write: folders that must stay writable.

    Returns:
        What holds from now on, of ``no-network`` and ``own-files-only``.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    done = []
    if _landlock(libc, read, write):
        done.append("own-files-only")
    if _seccomp(libc):
        done.append("no-network")
    return tuple(done)


def available() -> tuple[str, ...]:
    """What ``confine`` would have on this machine, without doing it; for the status page."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = ("own-files-only",) if _landlock_version(libc) >= 1 else ()
    filters = _known() and libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0
    return (*found, "no-network") if filters else found


def _known() -> bool:
    return platform.machine() in _DENIED and sys.maxsize > 1 << 32


def _landlock_version(libc: ctypes.CDLL) -> int:
    libc.syscall.restype = ctypes.c_long
    return int(libc.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(1)))


def _seccomp(libc: ctypes.CDLL) -> bool:
    if not _known():
        return False
    architecture, denied = _DENIED[platform.machine()]
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _DENY), (_LOAD, 0, 0, 0)]
    if platform.machine() == "x86_64":
        program += [(0x35, 0, 1, 0x40000000), (_RETURN, 0, 0, _DENY)]  # the x32 numbering of the same calls
    for place, number in enumerate(denied):
        program.append((_EQUAL, len(denied) - place, 0, number))
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    whole = Program(len(program), ctypes.addressof(code))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(whole), 0, 0) == 0)


def _landlock(libc: ctypes.CDLL, read: Sequence[Path], write: Sequence[Path]) -> bool:
    version = _landlock_version(libc)
    if version < 1:
        return False
    handled = _FIRST_RIGHTS | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = ctypes.create_string_buffer(struct.pack("=Q", handled))
    rules = libc.syscall(ctypes.c_long(_CREATE_RULESET), attributes, ctypes.c_size_t(8), ctypes.c_uint(0))
    if rules < 0:
        return False
    try:
        for path in (*_system(), *read):
            _allow(libc, rules, path, _READ)
        for path in write:
            _allow(libc, rules, path, handled & (_WRITE | _TRUNCATE))
        _allow(libc, rules, Path("/dev/null"), _READ | 0b10)
        return bool(libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(rules), ctypes.c_uint(0)) == 0)
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    """One rule; a path that is not there needs none."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= ~(0b1000 | 1 << 5 | 1 << 7 | 1 << 8)  # rights that only folders have
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, opened))
        libc.syscall(ctypes.c_long(_ADD_RULE), ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint(0))
    finally:
        os.close(opened)


def _system() -> list[Path]:
    """Where Python, its packages and the system's libraries lie, and what the kernel tells about the processor."""
    ours = Path(__file__).resolve().parents[1]
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("stdlib")), ours}
    found |= {Path(entry) for entry in sys.path if entry and Path(entry) != ours.parent}
    return [*sorted(found), *map(Path, ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/proc", "/sys"))]
