"""The one door to the Hugging Face Hub: what a repository holds, and a file of it fetched whole into the cache.

huggingface_hub answers what there is. The bytes come by our own Range download, because its own neither resumes in
a new process nor hashes what arrived: parts are fsynced, a resume re-hashes what lies there, and only a file with
the locked SHA-256 gets its final name, ``CACHE/sha256/<hex>``.

``HF_ENDPOINT`` (another Hub, or a mirror) and ``HF_TOKEN`` work as for huggingface_hub.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx2
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from bundles.errors import FetchError
from bundles.format.digest import digest_of_file, digest_of_stream
from bundles.format.durable import sync_folder
from bundles.progress import byte_bar

WAITS_S: tuple[float, ...] = (1, 2, 4, 8)
"""Seconds before each new try after a try that brought nothing; one that brought bytes starts the row again."""

_SYNC_EVERY = 64 << 20
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """What the Hub says of one file."""

    size: int
    sha256: str | None
    """None for small files, which the Hub keeps in git and not in LFS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubListing:
    """A repository at one commit."""

    repo: str
    revision: str
    files: Mapping[str, HubFile]


def list_repository(repo: str, revision: str | None) -> HubListing:
    """The files of a model repository with their sizes and digests; ``revision`` None is the newest commit.

    Raises:
        FetchError: the Hub cannot be reached, or knows no such repository or revision.
    """
    what = f"{repo} at {revision or 'its newest commit'}"
    try:
        info = HfApi(endpoint=_endpoint()).model_info(repo, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise _speak(error, what) from error
    if info.sha is None or info.siblings is None:
        raise FetchError(f"The Hub's answer for {what} holds no commit or no files.", todo="Try again later.")
    if revision is not None and info.sha != revision:
        raise FetchError(
            f"The Hub answered for {what} with commit {info.sha}.", needed="Exactly the recipe's revision is needed."
        )
    files = {
        sibling.rfilename: HubFile(size=sibling.size, sha256=sibling.lfs.sha256 if sibling.lfs else None)
        for sibling in info.siblings
        if sibling.size is not None
    }
    return HubListing(repo=repo, revision=info.sha, files=files)


def fetch(
    repo: str,
    revision: str,
    file: str,
    *,
    size: int,
    sha256: str,
    cache: Path,
    waits_s: Sequence[float] = WAITS_S,
) -> Path:
    """The file with this digest in the cache, fetched or completed if it is not there yet.

    Raises:
        FetchError: it cannot be had, or other bytes came than the lock says. What came so far stays for the next run,
            unless it was wrong.
    """
    folder = cache / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / sha256
    if done.exists():
        if digest_of_file(done) == (f"sha256:{sha256}", size):
            return done
        done.unlink()
    what = f"{repo}/{file}"
    url = hf_hub_url(repo, file, revision=revision, endpoint=_endpoint())
    with _open_part(folder / f"{sha256}.part") as part:
        _complete(part, url, what, size=size, cache=cache, waits_s=waits_s)
        part.seek(0)
        found = digest_of_stream(part)[0].removeprefix("sha256:")
        if found != sha256:
            part.truncate(0)
            raise FetchError(
                f"{what} arrived with SHA-256 {found}.",
                needed=f"The lock says {sha256}.",
                todo="Run build again; if it stays so, the file was changed or the mirror is not to be trusted.",
            )
        (folder / f"{sha256}.part").rename(done)
        sync_folder(folder)
    return done


def _complete(part: BinaryIO, url: str, what: str, *, size: int, cache: Path, waits_s: Sequence[float]) -> None:
    """Append to ``part`` until it has ``size`` bytes, over as many connections as that takes."""
    have = part.seek(0, os.SEEK_END)
    if have > size:
        have = part.truncate(0)
    free = shutil.disk_usage(cache).free
    if size - have > free:
        raise FetchError(
            f"{what} needs {size - have:,} more bytes.",
            needed=f"{cache} has {free:,} free.",
            todo="Name another --cache.",
        )
    fruitless = 0
    with byte_bar(what, size, start=have) as bar:
        while have < size:
            before = have
            problem: Exception | None = None
            try:
                for chunk in _stream(url, have, size):
                    part.seek(have)
                    part.write(chunk)
                    part.flush()
                    if have // _SYNC_EVERY != (have + len(chunk)) // _SYNC_EVERY:
                        os.fsync(part.fileno())
                    have += len(chunk)
                    bar.update(len(chunk))
            except httpx2.HTTPError as error:
                if not _may_pass(error):
                    raise _speak(error, what) from error
                problem = error
            finally:
                os.fsync(part.fileno())
            fruitless = 0 if have > before else fruitless + 1
            if have < size and fruitless > len(waits_s):
                raise FetchError(
                    f"{what} stopped at {have:,} of {size:,} bytes: {problem or 'the connection ended'}.",
                    needed="What came is kept.",
                    todo="Run build again to go on from there.",
                ) from problem
            if fruitless:
                time.sleep(waits_s[fruitless - 1])


def _stream(url: str, start: int, size: int) -> Iterator[bytes]:
    """The bytes from ``start`` on. A server that ignores Range is read from 0 and what is known is skipped."""
    # identity: a compressed body has other lengths and offsets. The client drops the token when a redirect leaves
    # the Hub's own host, and keeps the Range.
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True) as response:
        if response.status_code >= 400:
            response.read()
            hf_raise_for_status(response)
        skip = 0
        if start and response.status_code != 206:
            skip = start
        elif start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise FetchError(
                f"{url} was asked from byte {start} and answered {response.headers.get('Content-Range')!r}.",
                todo="Try another mirror, or remove the .part file from the cache.",
            )
        left = size - start
        # Without a chunk size: one would hold bytes back, and lose them when the connection breaks.
        for chunk in response.iter_raw():
            fresh = chunk[skip:]
            skip -= len(chunk) - len(fresh)
            # Never more than was locked: the rest of a longer body cannot be right and could fill the disk.
            yield fresh[:left]
            left -= len(fresh)
            if left <= 0:
                return


@contextmanager
def _open_part(path: Path) -> Iterator[BinaryIO]:
    """The unfinished file, ours alone while it is open."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "r+b") as part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FetchError(f"Another build is fetching {path}.", todo="Wait for it, then run build again.") from error
        yield part


def _may_pass(error: Exception) -> bool:
    """Whether trying again could help: connections and overloaded servers recover, a 404 does not."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (408, 429, 500, 502, 503, 504)
    return isinstance(error, httpx2.TransportError)


def _speak(error: Exception, what: str) -> FetchError:
    if isinstance(error, GatedRepoError):
        return FetchError(f"{what} is gated on the Hub.", todo="Accept its terms there and set HF_TOKEN.")
    if isinstance(error, RepositoryNotFoundError):
        return FetchError(
            f"The Hub knows no repository for {what}.", todo="Check its name; a private one needs HF_TOKEN."
        )
    if isinstance(error, RevisionNotFoundError):
        return FetchError(f"The Hub knows no such revision: {what}.", todo="Correct the revision in the recipe.")
    if isinstance(error, EntryNotFoundError):
        return FetchError(f"The Hub has no file {what}.", todo="Correct the file name in the recipe.")
    return FetchError(
        f"The Hub could not be asked for {what}: {str(error).splitlines()[0] if str(error) else type(error).__name__}.",
        todo="Check the connection and HF_ENDPOINT, then run it again.",
    )


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None
