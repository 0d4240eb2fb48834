"""The one door to the Hugging Face Hub: what a repository holds, a file of it fetched whole, and files given to it.

huggingface_hub answers what there is. The bytes come by our own Range download (``bundles.download``), because its own
neither resumes in a new process nor hashes what arrived. A whole file lies in ``CACHE/sha256/<hex>``.

``HF_ENDPOINT`` (another Hub, or a mirror) and ``HF_TOKEN`` work as for huggingface_hub.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from bundles.download import TRANSIENT, WAITS_S, BrokenConnection, body, download
from bundles.errors import FetchError

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
    what = f"{repo}/{file}"
    url = hf_hub_url(repo, file, revision=revision, endpoint=_endpoint())

    def stream(start: int) -> Iterator[bytes]:
        try:
            yield from _stream(url, start, size)
        except httpx2.HTTPError as error:
            if _may_pass(error):
                raise BrokenConnection(error) from error
            raise _speak(error, what) from error

    return download(cache / "sha256", sha256=sha256, size=size, what=what, stream=stream, waits_s=waits_s)


def publish(repo: str, files: Mapping[str, Path], *, dataset: bool, message: str) -> str:
    """Put files into a repository, which is made if it is not there, in one commit; returns the commit's address.

    Args:
        files: path in the repository to where it lies here.
        dataset: a repository of data rather than of models.

    Raises:
        FetchError: the Hub cannot be reached, or does not let this token write there.
    """
    kind = "dataset" if dataset else "model"
    api = HfApi(endpoint=_endpoint())
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in files.items()]
    try:
        api.create_repo(repo, repo_type=kind, exist_ok=True)
        made = api.create_commit(repo, operations, repo_type=kind, commit_message=message)
    except (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError) as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
            raise FetchError(
                f"The Hub does not let you write to {repo}.",
                needed="A token with write access, and a repository of yours.",
                todo="Set HF_TOKEN to one from your settings page there.",
            ) from error
        raise _speak(error, repo) from error
    return str(made.commit_url)


def _stream(url: str, start: int, size: int) -> Iterator[bytes]:
    # identity: a compressed body has other lengths and offsets. The client drops the token when a redirect leaves
    # the Hub's own host, and keeps the Range.
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True) as response:
        if response.status_code >= 400:
            response.read()
            hf_raise_for_status(response)
        yield from body(response, url, start, size)


def _may_pass(error: Exception) -> bool:
    """Whether trying again could help: connections and overloaded servers recover, a 404 does not."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT
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
