"""The box's only way to its hub over a network. Moves bytes; what they mean is checked by the caller.

``PATCH /v1/b/{sha256}`` sends a batch from the byte at which it broke off: a subset of the IETF draft on resumable
uploads (``HEAD`` asks for the offset, 409 tells it).
"""

import random
import time
from collections.abc import Callable
from typing import Self

import httpx

from appliance.errors import BatchRefused, FieldpostError, SyncError
from appliance.sync.outbox import fork
from appliance.sync.wire import MAX_MESSAGE, NO, UPLOAD_COMPLETE, UPLOAD_LENGTH, UPLOAD_OFFSET, YES

_TRIES = 6
_MOST_WAIT_S = 30.0
_TIMEOUT = httpx.Timeout(60.0, connect=15.0)


def full_jitter(attempt: int) -> float:
    """Seconds to wait after try ``attempt`` (from 1): anything up to 1, 2, 4 ... 30."""
    return random.uniform(0, min(_MOST_WAIT_S, 2.0 ** (attempt - 1)))  # noqa: S311


class HubLink:
    """A connection to one hub; closed by leaving its ``with`` block."""

    def __init__(self, url: str, *, wait: Callable[[int], float] = full_jitter) -> None:
        """``wait`` gives the seconds before each further try within one contact."""
        self._url = url.rstrip("/")
        self._wait = wait
        # No proxy and no .netrc from the environment: the box talks to its hub and to nobody else.
        try:
            self._client = httpx.Client(base_url=self._url, timeout=_TIMEOUT, trust_env=False, follow_redirects=False)
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
        return self._receipt(self._ask("POST", "/v1/enrol", content=introduction))

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
                response = self._patch(sha, data, offset)
                if response.status_code == httpx.codes.OK:
                    return self._receipt(response)
                if response.status_code == httpx.codes.CONFLICT:
                    offset = _offset_in(response, len(data))
                    continue
                # 422: what had arrived earlier was damaged; the hub dropped it. 5xx: it is not well.
                if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY or response.is_server_error:
                    problem = f"the hub answered {response.status_code}"
                else:
                    raise _refusal(response)
            except httpx.TransportError as error:
                problem = _name(error)
            if attempt < _TRIES:
                time.sleep(self._wait(attempt))
                offset = self._offset(sha, data)
        raise self._away(problem)

    def _patch(self, sha: str, data: bytes, offset: int) -> httpx.Response:
        headers = {UPLOAD_OFFSET: str(offset), UPLOAD_COMPLETE: YES, UPLOAD_LENGTH: str(len(data))}
        return self._client.patch(f"/v1/b/{sha}", content=data[offset:], headers=headers)

    def _offset(self, sha: str, data: bytes) -> int:
        """How much is there; all of it if the hub has the batch, by whichever way: then only the receipt is fetched."""
        return _offset_in(self._ask("HEAD", f"/v1/b/{sha}"), len(data))

    def _ask(self, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        try:
            response = self._client.request(method, path, content=content)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._away(_name(error)) from error
        if response.is_server_error:
            raise self._away(f"it answered {response.status_code}")
        if not response.is_success:
            raise _refusal(response)
        return response

    def _receipt(self, response: httpx.Response) -> bytes:
        if len(response.content) > MAX_MESSAGE:
            raise BatchRefused("The hub's answer is too long for a receipt.", todo="Is this address a hub's?")
        return response.content

    def _away(self, problem: str) -> SyncError:
        return SyncError(
            f"The hub {self._url} does not answer: {problem}.",
            needed="A link to the hub is needed.",
            todo="Nothing is lost. Try again later, or use a stick: fieldpost sync export.",
        )


def _offset_in(response: httpx.Response, most: int) -> int:
    text = response.headers.get(UPLOAD_OFFSET, "")
    if response.headers.get(UPLOAD_COMPLETE, NO) not in (YES, NO) or not text.isdigit() or int(text) > most:
        raise BatchRefused(f"The hub answers with the offset {text!r}.", todo="Is this address a hub's?")
    return int(text)


def _refusal(response: httpx.Response) -> FieldpostError:
    told = response.text[:300].strip() or f"status {response.status_code}"
    if response.status_code == httpx.codes.PRECONDITION_FAILED:
        return fork("the hub refuses a batch that does not fit what it has")
    return BatchRefused(f"The hub refuses: {told}", todo="Show this to the hub's people.")


def _name(error: Exception) -> str:
    return str(error) or type(error).__name__
