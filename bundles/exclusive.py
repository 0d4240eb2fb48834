"""A file held by one process at a time, on Linux, macOS and Windows; the system lets go when the process ends."""

from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def hold(file: BinaryIO) -> None:
    """Hold an open file alone, until it is closed.

    Raises:
        OSError: another process holds it.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt  # type: ignore[unreachable,unused-ignore]  # only Windows comes here, and mypy looks from Linux

    place = file.tell()
    # Windows locks a range of bytes, and refuses others to read them too: one far behind any file's end will do.
    file.seek(1 << 62)
    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    file.seek(place)
