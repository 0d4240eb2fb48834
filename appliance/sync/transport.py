"""The box's only way to its hub over a network. Moves bytes; what they mean is checked by the caller.

``PATCH /v1/b/{sha256}`` sends a batch from the byte at which it broke off: a subset of the IETF draft on resumable
uploads (``HEAD`` asks for the offset, 409 tells it).
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import httpx

from appliance.errors import BatchRefused, FieldpostError, SyncError
from appliance.sync.outbox import fork
from appliance.sync.wire import MAX_MESSAGE, NO, UPLOAD_COMPLETE, UPLOAD_LENGTH, UPLOAD_OFFSET, YES, read_number

MAX_LISTING = 1 << 20
"""Bytes that the list of a release's files may have."""
_TRIES = 6
_MOST_WAIT_S = 30.0
_TIMEOUT = httpx.Timeout(60.0, connect=15.0)


def full_jitter(attempt: int) -> float:
    """Seconds to wait after try ``attempt`` (from 1): anything up to 1, 2, 4 ... 30."""
    return random.uniform(0, min(_MOST_WAIT_S, 2.0 ** (attempt - 1)))  # noqa: S311


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What the hub replied, no more of it than a receipt may have."""

    status: int
    headers: Mapping[str, str]
    """By name, whatever its case."""
    body: bytes
    whole: bool


class HubLink:
    """A connection to one hub; closed by leaving its ``with`` block."""

    def __init__(self, url: str, *, wait: Callable[[int], float] = full_jitter) -> None:
        """``wait`` gives the seconds before each further try within one contact."""
        self._url = url.rstrip("/")
        self._wait = wait
        # No proxy and no .netrc from the environment: the box talks to its hub and to nobody else.
        # And nothing packed: a small reply must not become a large one here.
        headers = {"Accept-Encoding": "identity"}
        try:
            self._client = httpx.Client(
                base_url=self._url, timeout=_TIMEOUT, headers=headers, trust_env=False, follow_redirects=False
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise self._away(str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def introduce(self, introduction: bytes) -> bytes:
        """Tell the hub this box's key; returns the hub's receipt.

        Raises:
            SyncError: the hub is away, or refuses.
        """
        return _receipt(self._ask("POST", "/v1/enrol", content=introduction))

    def send(self, sha: str, data: bytes, *, tried: bool) -> bytes:
        """Bring one batch to the hub, whole; returns the hub's receipt.

        Args:
            tried: some of it may be there already: ask first.

        Raises:
            SyncError: the hub is away, or the link broke too often. What has arrived, stays.
            BatchRefused: the hub will not have it.
            ForkDetected: the hub has another history under this box's name.
        """
        offset, problem = self._offset(sha, data) if tried else 0, "it keeps changing its mind about the offset"
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._patch(sha, data, offset)
            except httpx.HTTPError as error:
                problem = _name(error)
            else:
                if answer.status == httpx.codes.OK:
                    return _receipt(answer)
                if answer.status == httpx.codes.CONFLICT:
                    offset = _offset_in(answer, len(data))
                    continue
                # 422: what had arrived earlier was damaged; the hub dropped it. 5xx: it is not well.
                if answer.status != httpx.codes.UNPROCESSABLE_ENTITY and answer.status < 500:
                    raise _refusal(answer)
                problem = f"the hub answered {answer.status}"
            if attempt < _TRIES:
                time.sleep(self._wait(attempt))  # backoff: a link that broke is not hammered
                offset = self._offset(sha, data)
        raise self._away(problem)

    def listing(self, release: str) -> bytes:
        """Which files a release has: JSON.

        Raises:
            SyncError: the hub is away, or has no such release.
        """
        answer = self._ask("GET", f"/v1/release/{release}", most=MAX_LISTING)
        if not answer.whole:
            raise BatchRefused("The hub's list of files is too long.", todo="Is this address a hub's?")
        return answer.body

    def piece(self, release: str, path: str, first: int, count: int) -> bytes:
        """Bytes of a file of a release, from ``first`` on; at least one, at most ``count``.

        Raises:
            SyncError: the hub is away, or has no such file.
        """
        headers = {"Range": f"bytes={first}-{first + count - 1}"}
        answer = self._ask("GET", f"/v1/release/{release}/{path}", headers=headers, most=count)
        place = answer.headers.get("Content-Range", "")
        if answer.status != httpx.codes.PARTIAL_CONTENT or not place.startswith(f"bytes {first}-") or not answer.body:
            raise self._away(f"it does not give the part of {path} that was asked for")
        return answer.body

    def _patch(self, sha: str, data: bytes, offset: int) -> _Answer:
        headers = {UPLOAD_OFFSET: str(offset), UPLOAD_COMPLETE: YES, UPLOAD_LENGTH: str(len(data))}
        return self._request("PATCH", f"/v1/b/{sha}", data[offset:], headers)

    def _offset(self, sha: str, data: bytes) -> int:
        """How much is there; all of it if the hub has the batch, by whichever way: then only the receipt is fetched."""
        return _offset_in(self._ask("HEAD", f"/v1/b/{sha}"), len(data))

    def _ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most: int = MAX_MESSAGE,
    ) -> _Answer:
        try:
            answer = self._request(method, path, content, headers, most)
        except httpx.HTTPError as error:
            raise self._away(_name(error)) from error
        if answer.status >= 500:
            raise self._away(f"it answered {answer.status}")
        if not 200 <= answer.status < 300:
            raise _refusal(answer)
        return answer

    def _request(
        self,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str] | None = None,
        most: int = MAX_MESSAGE,
    ) -> _Answer:
        """One request; the reply is read as it comes, and no further than ``most`` bytes."""
        try:
            with self._client.stream(method, path, content=content, headers=headers) as response:
                body = bytearray()
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > most:
                        break
                return _Answer(
                    status=response.status_code,
                    headers=response.headers,
                    body=bytes(body[:most]),
                    whole=len(body) <= most,
                )
        except httpx.InvalidURL as error:
            raise self._away(_name(error)) from error

    def _away(self, problem: str) -> SyncError:
        return SyncError(
            f"The hub {self._url} does not answer: {problem}.",
            needed="A link to the hub is needed.",
            todo="Nothing is lost. Try again later, or use a stick: fieldpost sync export.",
        )


def _receipt(answer: _Answer) -> bytes:
    if not answer.whole:
        raise BatchRefused("The hub's answer is too long for a receipt.", todo="Is this address a hub's?")
    return answer.body


def _offset_in(answer: _Answer, most: int) -> int:
    text = answer.headers.get(UPLOAD_OFFSET, "")
    offset = read_number(text)
    if answer.headers.get(UPLOAD_COMPLETE, NO) not in (YES, NO) or offset is None or offset > most:
        raise BatchRefused(f"The hub answers with the offset {text[:40]!r}.", todo="Is this address a hub's?")
    return offset


def _refusal(answer: _Answer) -> FieldpostError:
    words = answer.body.decode("utf-8", "replace")[:300]
    told = "".join(c if c.isprintable() else " " for c in words).strip() or f"status {answer.status}"
    if answer.status == httpx.codes.PRECONDITION_FAILED:
        return fork("the hub refuses a batch that does not fit what it has")
    return BatchRefused(f"The hub refuses: {told}", todo="Show this to the hub's people.")


def _name(error: Exception) -> str:
    return str(error) or type(error).__name__
