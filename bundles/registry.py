"""The wire to an OCI registry: manifests and blobs, up and down, taken up again where a connection broke.

What a bundle looks like there is ``bundles.carry``'s. Credentials are those that ``skopeo login``, ``podman login`` or
``docker login`` wrote down, or FIELDPOST_REGISTRY_USER and FIELDPOST_REGISTRY_PASSWORD; without any, nobody is asked.
They go to the registry and to the token service it names, never in the clear beyond this machine, and never to a
storage to which the registry redirects. Source: OCI distribution specification 1.1; Docker registry token
authentication.
"""

import base64
import hashlib
import io
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx2

from bundles.download import TRANSIENT, WAITS_S, BrokenConnection, body, download
from bundles.errors import FetchError, RegistryError
from bundles.format.digest import digest_of
from bundles.format.durable import replace_file
from bundles.format.kinds import INDEX, MANIFEST
from bundles.format.manifest import MAX_BYTES
from bundles.progress import byte_bar

UPLOAD_CHUNK = 32 << 20
"""Bytes of one upload request: what a broken connection may cost, where the registry keeps the rest."""

_TIMEOUT_S = 30.0
_SLOW_S = 1800.0
"""For the last request of an upload: the registry hashes the whole blob before it answers."""
_SAID = 1 << 16
"""Bytes of a registry's own words, or of its token, that are looked at."""
_READ = 1 << 20
_REFERENCE = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+(?::[0-9]{1,5})?|\[[0-9a-f:]+\](?::[0-9]{1,5})?)"
    r"/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r":(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,119})"
)
_CHALLENGE = re.compile(r'([a-z]+)="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A place in a registry."""

    host: str
    repository: str
    tag: str

    @property
    def base(self) -> str:
        """The repository's address. In the clear only to this very machine: a test, or a registry behind a tunnel."""
        return f"{'http' if _is_here(self.host) else 'https'}://{self.host}/v2/{self.repository}"

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}:{self.tag}"


def parse_reference(text: str) -> Reference:
    """``registry.example.org/relief/clinic:1.2.0``.

    Raises:
        RegistryError: it is no such name.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise RegistryError(
            f"{text!r} names no place in a registry.", needed="It looks like registry.example.org/relief/clinic:1.2.0."
        )
    return Reference(**found.groupdict())


class Registry:
    """One repository of a registry."""

    def __init__(self, place: Reference, *, cache: Path, waits_s: Sequence[float] = WAITS_S) -> None:
        """``cache`` is where unfinished uploads are remembered."""
        self._place = place
        self._uploads = cache / "uploads"
        self._waits_s = waits_s
        self._login = _login(place.host)
        self._authorization: str | None = None
        self._client = httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def manifest(self, reference: str) -> bytes:
        """The bytes of a manifest or index, by tag or by digest; of a digest, checked.

        Raises:
            RegistryError, FetchError: it is not there, too large, not the one that was asked for, or cannot be had.
        """
        headers = {"Accept": f"{MANIFEST}, {INDEX}"}
        data = self._patiently(f"{self._place.base}/manifests/{reference}", reference, headers)
        if reference.startswith("sha256:") and digest_of(data) != reference:
            raise FetchError(f"The registry gave other bytes than {reference}.", todo="Try again, or tell its keeper.")
        return data

    def put_manifest(self, reference: str, data: bytes, media_type: str) -> None:
        """Store a manifest or index, by tag or by digest."""
        url = f"{self._place.base}/manifests/{reference}"
        answer = self._retry("PUT", url, headers={"Content-Type": media_type}, content=data)
        given = answer.headers.get("Docker-Content-Digest", digest_of(data))
        if given != digest_of(data):
            raise RegistryError(f"The registry stored {reference} as {given}.", needed=f"It is {digest_of(data)}.")

    def blob(self, digest: str, size: int) -> bytes:
        """A small blob, checked."""
        data = self._patiently(f"{self._place.base}/blobs/{digest}", digest, {}, limit=size)
        if len(data) != size or digest_of(data) != digest:
            raise FetchError(f"The registry gave other bytes than {digest}.", todo="Try again, or tell its keeper.")
        return data

    def fetch_blob(self, digest: str, size: int, folder: Path, what: str) -> None:
        """A blob of any size as ``folder/<hex>``: see ``bundles.download``."""
        url = f"{self._place.base}/blobs/{digest}"

        def stream(start: int) -> Iterator[bytes]:
            yield from self._stream(url, start, size, {})

        download(
            folder,
            sha256=digest.removeprefix("sha256:"),
            size=size,
            what=what,
            stream=stream,
            waits_s=self._waits_s,
        )

    def push_blob(self, digest: str, content: Path | bytes, what: str) -> bool:
        """Store a blob, in pieces; False when the registry has it already.

        Raises:
            RegistryError: it does not take the blob. What arrived is gone on with by the next run, if it kept it.
        """
        if self._retry("HEAD", f"{self._place.base}/blobs/{digest}", missing_ok=True).status_code == 200:
            return False
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        note = self._uploads / hashlib.sha256(f"{self._place.base} {digest}".encode()).hexdigest()
        location, offset = self._resumed(note) or self._started()
        fruitless, best = 0, offset
        with byte_bar(what, size, start=offset) as bar:
            while True:
                try:
                    while offset < size:
                        location, offset = self._send(location, content, offset, size)
                        _remember(note, location)
                        bar.update(offset - bar.n)
                    self._finish(location, digest)
                    break
                except BrokenConnection as error:
                    # Some registries forget an upload that broke within a piece: starting over is no progress.
                    fruitless, best = 0 if offset > best else fruitless + 1, max(best, offset)
                    if fruitless > len(self._waits_s):
                        raise RegistryError(
                            f"{what} stopped at {offset:,} of {size:,} bytes: {error}.",
                            todo="Run push again; what the registry has already is not sent again.",
                        ) from error
                    time.sleep(self._waits_s[max(0, fruitless - 1)] if self._waits_s else 0)
                    location, offset = self._resumed(note) or self._started()
                    bar.update(offset - bar.n)
        note.unlink(missing_ok=True)
        return True

    def _started(self) -> tuple[str, int]:
        answer = self._retry("POST", f"{self._place.base}/blobs/uploads/", headers={"Content-Length": "0"})
        return self._location(answer), 0

    def _resumed(self, note: Path) -> tuple[str, int] | None:
        """An unfinished upload that the registry still has, and how much of it."""
        try:
            location = note.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        answer = self._retry("GET", location, missing_ok=True)
        if answer.status_code not in (202, 204) or "Location" not in answer.headers:
            note.unlink(missing_ok=True)
            return None
        return self._location(answer), _received(answer)

    def _send(self, location: str, content: Path | bytes, offset: int, size: int) -> tuple[str, int]:
        """One piece; returns where the next one goes and how much the registry has."""
        length = min(UPLOAD_CHUNK, size - offset)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(length),
            "Content-Range": f"{offset}-{offset + length - 1}",
        }
        answer = self._ask("PATCH", location, True, headers=headers, content=_piece(content, offset, length))
        return self._location(answer), offset + length

    def _finish(self, location: str, digest: str) -> None:
        joint = "&" if urlsplit(location).query else "?"
        headers = {"Content-Length": "0", "Content-Type": "application/octet-stream"}
        self._ask("PUT", f"{location}{joint}digest={digest}", True, headers=headers, timeout=_SLOW_S)

    def _location(self, answer: httpx2.Response) -> str:
        if "Location" not in answer.headers:
            raise RegistryError(f"The registry {self._place.host} took an upload and did not say where.")
        return urljoin(str(answer.request.url), answer.headers["Location"])

    def _patiently(self, url: str, what: str, headers: Mapping[str, str], *, limit: int = MAX_BYTES) -> bytes:
        """A small body, asked for again when the connection breaks."""
        for wait in (*self._waits_s, None):
            try:
                data = b"".join(self._stream(url, 0, limit + 1, headers))
            except BrokenConnection as error:
                if wait is None:
                    raise FetchError(f"{what} cannot be had from {self._place}: {error}.", todo="Try again.") from error
                time.sleep(wait)
                continue
            if len(data) > limit:
                raise FetchError(f"{what} is larger than {limit:,} bytes.", todo="Do not trust this registry.")
            return data
        raise AssertionError("unreachable")

    def _stream(self, url: str, start: int, size: int, headers: Mapping[str, str]) -> Iterator[bytes]:
        # identity: a compressed body has other lengths and offsets.
        headers = {**headers, "Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        answer = self._ask("GET", url, headers=headers, stream=True)
        try:
            yield from body(answer, url, start, size)
        except httpx2.HTTPError as error:
            raise BrokenConnection(_words(error)) from error
        finally:
            answer.close()

    def _retry(self, method: str, url: str, *, missing_ok: bool = False, **more: Any) -> httpx2.Response:
        """A small request, repeated when the connection breaks."""
        for wait in (*self._waits_s, None):
            try:
                return self._ask(method, url, missing_ok=missing_ok, **more)
            except BrokenConnection as error:
                if wait is None:
                    raise RegistryError(
                        f"{self._place.host} cannot be reached: {error}.", todo="Check the connection and the name."
                    ) from error
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _ask(
        self,
        method: str,
        url: str,
        upload: bool = False,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterator[bytes] | None = None,
        stream: bool = False,
        missing_ok: bool = False,
        timeout: float = _TIMEOUT_S,
    ) -> httpx2.Response:
        """One request, and once more when the registry wants a token first; ``upload`` is one that it may forget.

        Raises:
            BrokenConnection: trying again may help.
            RegistryError: it refuses.
        """
        for attempt in (1, 2):
            asked = {**(headers or {}), **self._credentials(url)}
            request = self._client.build_request(method, url, headers=asked, content=content, timeout=timeout)
            try:
                # Always as a stream: what nobody waits for is never read whole into memory.
                answer = self._client.send(request, stream=True)
                said = b"" if stream and answer.status_code < 400 else _begin(answer)
            except httpx2.TransportError as error:
                raise BrokenConnection(_words(error)) from error
            if answer.status_code == 401 and attempt == 1 and self._authorize(answer):
                if isinstance(content, Iterator):
                    raise BrokenConnection("the registry wanted a new token")
                continue
            break
        if answer.status_code in TRANSIENT or (upload and answer.status_code in (404, 416)):
            raise BrokenConnection(f"it answered {answer.status_code}")
        if answer.status_code >= 400 and not (missing_ok and answer.status_code in (400, 404, 416)):
            raise self._refused(method, answer, said)
        return answer

    def _credentials(self, url: str) -> dict[str, str]:
        """Only for the registry itself: an upload may go to a storage elsewhere."""
        return {"Authorization": self._authorization} if self._authorization and self._is_its_own(url) else {}

    def _is_its_own(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self._place.base)[:2]

    def _authorize(self, answer: httpx2.Response) -> bool:
        """Do as the registry's challenge says; False when that is not possible, or when it is somebody else's."""
        if not self._is_its_own(str(answer.request.url)):
            return False
        scheme, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
        if scheme.lower() == "basic" and self._login:
            self._authorization = f"Basic {self._login}"
            return True
        told = dict(_CHALLENGE.findall(rest))
        realm = urlsplit(told.get("realm", ""))
        if scheme.lower() != "bearer" or not (realm.scheme == "https" or _is_here(realm.netloc)):
            return False
        asked = {"scope": f"repository:{self._place.repository}:pull,push"}
        asked |= {key: told[key] for key in ("service", "scope") if key in told}
        headers = {"Authorization": f"Basic {self._login}"} if self._login else {}
        try:
            request = self._client.build_request("GET", told["realm"], params=asked, headers=headers)
            given = json.loads(_begin(self._client.send(request, stream=True)))
            self._authorization = f"Bearer {given.get('token') or given['access_token']}"
        except (httpx2.HTTPError, ValueError, KeyError, AttributeError, TypeError):
            return False
        return True

    def _refused(self, method: str, answer: httpx2.Response, body: bytes) -> RegistryError:
        status = answer.status_code
        if status in (401, 403):
            return RegistryError(
                f"{self._place.host} does not let us {'read' if method in ('GET', 'HEAD') else 'write'} "
                f"{self._place.repository}.",
                needed="A login with that right is needed." if not self._login else "The login was not accepted.",
                todo=f"Run: skopeo login {self._place.host}, or set FIELDPOST_REGISTRY_USER and _PASSWORD.",
            )
        if status == 404:
            return RegistryError(f"{self._place} is not there.", todo="Check the name, and that all of it was pushed.")
        try:
            said = str(json.loads(body)["errors"][0]["message"])[:200]
        except (ValueError, KeyError, IndexError, TypeError):
            said = "no reason given"
        return RegistryError(f"{self._place.host} answered {status} to {method}: {said}.", todo="Ask its keeper.")


def _begin(answer: httpx2.Response) -> bytes:
    """The beginning of a body that should be short, at most ``_SAID`` bytes; the rest is never read."""
    data = b""
    try:
        for piece in answer.iter_bytes(1 << 14):
            data += piece
            if len(data) >= _SAID:
                break
    finally:
        answer.close()
    return data[:_SAID]


def _is_here(host: str) -> bool:
    return (urlsplit(f"//{host}").hostname or "") in ("localhost", "127.0.0.1", "::1")


def _login(host: str) -> str | None:
    """``user:password`` in base64, as HTTP wants it."""
    user, password = os.environ.get("FIELDPOST_REGISTRY_USER"), os.environ.get("FIELDPOST_REGISTRY_PASSWORD")
    if user and password:
        return base64.b64encode(f"{user}:{password}".encode()).decode()
    places = [
        os.environ.get("REGISTRY_AUTH_FILE", ""),
        f"{os.environ.get('XDG_RUNTIME_DIR', '/run/containers/0')}/containers/auth.json",
        str(Path.home() / ".docker" / "config.json"),
    ]
    for place in filter(None, places):
        try:
            auth = json.loads(Path(place).read_bytes())["auths"][host]["auth"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if isinstance(auth, str) and auth:
            return auth
    return None


def _piece(content: Path | bytes, offset: int, length: int) -> Iterator[bytes]:
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
        file.seek(offset)
        while length and (chunk := file.read(min(_READ, length))):
            length -= len(chunk)
            yield chunk


def _received(answer: httpx2.Response) -> int:
    """How many bytes of an unfinished upload the registry has: ``Range: 0-N`` names the last one, 0-0 none."""
    last = answer.headers.get("Range", "").removeprefix("bytes=").rpartition("-")[2]
    return int(last) + 1 if last.isdigit() and last != "0" else 0


def _remember(note: Path, location: str) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    replace_file(note, location.encode(), mode=0o600)


def _words(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
