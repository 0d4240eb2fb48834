"""One file of known size and SHA-256 over HTTP: taken up where it stopped, by a new process too; never a wrong byte.

Where the bytes come from is the caller's: ``bundles.fetch`` asks the Hugging Face Hub, ``bundles.registry`` an OCI
registry. Parts are fsynced, a resume re-hashes what lies there, and only a file with the right SHA-256 gets its name.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx2

from bundles.errors import FetchError
from bundles.exclusive import hold
from bundles.format.digest import digest_of_file, digest_of_stream
from bundles.format.durable import sync_folder
from bundles.progress import byte_bar

WAITS_S: tuple[float, ...] = (1, 2, 4, 8)
"""Seconds before each new try after a try that brought nothing; one that brought bytes starts the row again."""

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses after which trying again may help."""

_SYNC_EVERY = 64 << 20


class BrokenConnection(Exception):
    """The bytes stopped coming, and trying again may help."""


Stream = Callable[[int], Iterator[bytes]]
"""Bytes from an offset to the end; raises BrokenConnection when trying again may help, FetchError when it cannot."""


def download(
    folder: Path, *, sha256: str, size: int, what: str, stream: Stream, waits_s: Sequence[float] = WAITS_S
) -> Path:
    """``folder/<sha256>``, fetched or completed if it is not there whole yet.

    Args:
        what: the file's name, for the bar and in errors.

    Raises:
        FetchError: it cannot be had, or other bytes came than were asked for. What came so far stays for the next
            run, unless it was wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / sha256
    if done.exists():
        if digest_of_file(done) == (f"sha256:{sha256}", size):
            return done
        done.unlink()
    with _open_part(folder / f"{sha256}.part") as part:
        _complete(part, stream, what, size=size, folder=folder, waits_s=waits_s)
        part.seek(0)
        found = digest_of_stream(part)[0].removeprefix("sha256:")
        if found != sha256:
            part.truncate(0)
            raise FetchError(
                f"{what} arrived with SHA-256 {found}.",
                needed=f"It should be {sha256}.",
                todo="Run it again; if it stays so, the file was changed or the server is not to be trusted.",
            )
        if os.name != "nt":
            (folder / f"{sha256}.part").rename(done)
    if os.name == "nt":  # there an open file keeps its name
        (folder / f"{sha256}.part").replace(done)
    sync_folder(folder)
    return done


def body(response: httpx2.Response, url: str, start: int, size: int) -> Iterator[bytes]:
    """What a successful answer brings from byte ``start`` on, never beyond ``size``.

    A server that ignores Range is read from 0, and what is known is skipped.

    Raises:
        FetchError: it answered with another range than was asked for.
        httpx2.TransportError: the connection broke.
    """
    skip = 0
    if start and response.status_code != 206:
        skip = start
    elif start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise FetchError(
            f"{url} was asked from byte {start} and answered {response.headers.get('Content-Range')!r}.",
            todo="Try another mirror, or remove the .part file.",
        )
    left = size - start
    # Without a chunk size: one would hold bytes back, and lose them when the connection breaks.
    for chunk in response.iter_raw():
        fresh = chunk[skip:]
        skip -= len(chunk) - len(fresh)
        # Never more than was asked for: the rest of a longer body cannot be right and could fill the disk.
        yield fresh[:left]
        left -= len(fresh)
        if left <= 0:
            return


def _complete(part: BinaryIO, stream: Stream, what: str, *, size: int, folder: Path, waits_s: Sequence[float]) -> None:
    """Append to ``part`` until it has ``size`` bytes, over as many connections as that takes."""
    have = part.seek(0, os.SEEK_END)
    if have > size:
        have = part.truncate(0)
    free = shutil.disk_usage(folder).free
    if size - have > free:
        raise FetchError(
            f"{what} needs {size - have:,} more bytes.",
            needed=f"{folder} has {free:,} free.",
            todo="Make room, or name another folder (build: --cache, pull: --out).",
        )
    fruitless = 0
    with byte_bar(what, size, start=have) as bar:
        while have < size:
            before = have
            problem: Exception | None = None
            try:
                for chunk in stream(have):
                    part.seek(have)
                    part.write(chunk)
                    part.flush()
                    if have // _SYNC_EVERY != (have + len(chunk)) // _SYNC_EVERY:
                        os.fsync(part.fileno())
                    have += len(chunk)
                    bar.update(len(chunk))
            except BrokenConnection as error:
                problem = error
            finally:
                os.fsync(part.fileno())
            fruitless = 0 if have > before else fruitless + 1
            if have < size and fruitless > len(waits_s):
                raise FetchError(
                    f"{what} stopped at {have:,} of {size:,} bytes: {problem or 'the connection ended'}.",
                    needed="What came is kept.",
                    todo="Run it again to go on from there.",
                ) from problem
            if fruitless:
                time.sleep(waits_s[fruitless - 1])


@contextmanager
def _open_part(path: Path) -> Iterator[BinaryIO]:
    """The unfinished file, ours alone while it is open."""
    path.touch(0o644)
    with path.open("r+b") as part:
        try:
            hold(part)
        except OSError as error:
            raise FetchError(f"Another process is fetching {path}.", todo="Wait for it, then run it again.") from error
        yield part
