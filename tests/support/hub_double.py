"""A Hugging Face Hub for tests: a real HTTP server that speaks the Hub's protocol as huggingface_hub 2.4.0 uses it.

Reading and writing; what is written goes small in the commit and large through LFS.

Two servers on two ports, because the real one is two hosts: the Hub, which answers ``/api/models`` and redirects
``/resolve``, and the storage it redirects to, which must never see the token. Faults are set as attributes.

    with HubDouble() as hub:
        commit = hub.add("org/model-GGUF", {"model.gguf": data})
        ... HF_ENDPOINT=hub.url ...
"""

import base64
import hashlib
import json
import re
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it arrived, so that a test can see what was asked."""

    host: str
    """``hub`` or ``storage``."""
    method: str
    path: str
    range: str | None
    token: str | None


@dataclass(slots=True)
class _Repository:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    newest: str = ""


class HubDouble:
    """Repositories in memory, and the ways in which fetching from them can fail."""

    LFS_FROM = 1024
    """Files of this many bytes and up are in LFS, with a SHA-256 in the listing; smaller ones are plain git files."""

    def __init__(self) -> None:
        self.repositories: dict[str, _Repository] = {}
        self.requests: list[Request] = []
        self.lfs: dict[str, bytes] = {}
        """Large files that were given to the storage, by SHA-256."""
        self.kinds: dict[str, str] = {}
        """Repositories that were made here, and what they are: model or dataset."""
        self.drop_after: int | None = None
        """Cut the connection after so many bytes of each body."""
        self.stall_after: int | None = None
        """Send so many bytes, then nothing more, with the connection open; ``stalled`` is set."""
        self.corrupt = False
        """Change one byte of every body and keep its size."""
        self.ignore_range = False
        """Answer 200 with the whole body whatever was asked."""
        self.status: int | None = None
        """Answer everything with this status."""
        self.stalled = threading.Event()
        self._release = threading.Event()
        self._hub = _serve(self, "hub")
        self._storage = _serve(self, "storage")
        self.url = f"http://127.0.0.1:{self._hub.server_port}"
        self.storage_url = f"http://127.0.0.1:{self._storage.server_port}"

    def __enter__(self) -> Self:
        for server in (self._hub, self._storage):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._release.set()
        for server in (self._hub, self._storage):
            server.shutdown()
            server.server_close()

    def add(self, repo: str, files: Mapping[str, bytes], commit: str | None = None) -> str:
        """A new commit of a repository; returns its 40 hex digits. An existing commit is overwritten, as by force."""
        listing = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        commit = commit or hashlib.sha1(json.dumps(listing, sort_keys=True).encode()).hexdigest()
        repository = self.repositories.setdefault(repo, _Repository())
        repository.commits[commit] = dict(files)
        repository.newest = commit
        return commit

    def heal(self) -> None:
        """No more faults."""
        self.drop_after = self.stall_after = self.status = None
        self.corrupt = self.ignore_range = False

    def ranges(self) -> list[str | None]:
        """The Range header of each download that reached the storage."""
        return [request.range for request in self.requests if request.host == "storage"]


def _serve(double: HubDouble, host: str) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            path, body = unquote(urlsplit(self.path).path), self._body()
            token = self.headers.get("Authorization")
            double.requests.append(Request(host=host, method="POST", path=path, range=None, token=token))
            if double.status is not None or token is None:
                self._json({"error": "as the test wants"}, double.status or 401)
            elif path == "/api/repos/create":
                self._create(json.loads(body))
            elif path.endswith(".git/info/lfs/objects/batch"):
                self._lfs_batch(json.loads(body))
            elif path == "/api/validate-yaml":
                self._json({"errors": [], "warnings": []})
            elif found := re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)/(preupload|commit)/main", path):
                _, repo, verb = found.groups()
                (self._preupload if verb == "preupload" else self._take)(repo, body)
            else:
                self._json({"error": f"Not found: {path}"}, 404)

        def do_PUT(self) -> None:
            data = self._body()
            double.lfs[hashlib.sha256(data).hexdigest()] = data
            self._json({})

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", "0")))
            body = b""
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _create(self, asked: dict[str, str]) -> None:
            repo = f"{asked['organization']}/{asked['name']}"
            if repo in double.kinds:
                self._json({"error": "You already created this repo", "url": repo}, 409)
                return
            double.kinds[repo] = asked.get("type", "model")
            double.repositories.setdefault(repo, _Repository())
            self._json({"url": f"{double.url}/{repo}", "name": repo})

        def _preupload(self, repo: str, body: bytes) -> None:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] >= HubDouble.LFS_FROM else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for file in json.loads(body)["files"]
            ]
            self._json({"files": modes})

        def _lfs_batch(self, asked: dict[str, list[dict[str, object]]]) -> None:
            objects = [
                {**one, "actions": {"upload": {"href": f"{double.storage_url}/lfs/{one['oid']}", "header": {}}}}
                for one in asked["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})

        def _take(self, repo: str, body: bytes) -> None:
            repository = double.repositories[repo]
            files = dict(repository.commits.get(repository.newest, {}))
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = double.lfs[value["oid"]]
            commit = double.add(repo, files)
            self._json({"commitUrl": f"{double.url}/{repo}/commit/{commit}", "commitOid": commit, "success": True})

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            asked = Request(
                host=host,
                method=self.command,
                path=path,
                range=self.headers.get("Range"),
                token=self.headers.get("Authorization"),
            )
            double.requests.append(asked)
            if double.status is not None:
                self._json({"error": "as the test wants"}, double.status)
            elif host == "storage":
                self._stored(path)
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
                self._model(*found.groups())
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._resolve(*found.groups())
            else:
                self._json({"error": "Not found"}, 404)

        def _commit(self, repo: str, revision: str | None) -> str | None:
            repository = double.repositories.get(repo)
            if repository is None:
                self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
                return None
            commit = repository.newest if revision in (None, "main") else revision
            if commit not in repository.commits:
                self._json({"error": f"Invalid rev id: {revision}"}, 404, {"X-Error-Code": "RevisionNotFound"})
                return None
            return commit

        def _model(self, repo: str, revision: str | None) -> None:
            commit = self._commit(repo, revision)
            if commit is None:
                return
            siblings = []
            for name, data in double.repositories[repo].commits[commit].items():
                entry = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
                if len(data) >= HubDouble.LFS_FROM:
                    sha256 = hashlib.sha256(data).hexdigest()
                    entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
                siblings.append(entry if "blobs=true" in self.path.lower() else {"rfilename": name})
            self._json(
                {
                    "_id": "0" * 24,
                    "id": repo,
                    "modelId": repo,
                    "sha": commit,
                    "private": False,
                    "tags": ["gguf", "license:apache-2.0"],
                    "siblings": siblings,
                }
            )

        def _resolve(self, repo: str, revision: str, name: str) -> None:
            commit = self._commit(repo, revision)
            if commit is None:
                return
            data = double.repositories[repo].commits[commit].get(name)
            headers = {"X-Repo-Commit": commit}
            if data is None:
                self._json({"error": "Entry not found"}, 404, {**headers, "X-Error-Code": "EntryNotFound"})
                return
            sha256 = hashlib.sha256(data).hexdigest()
            self.send_response(302)
            for key, value in {
                **headers,
                "Location": f"{double.storage_url}/{repo}/{commit}/{name}",
                "X-Linked-Size": str(len(data)),
                "X-Linked-ETag": f'"{sha256}"',
                "Accept-Ranges": "bytes",
                "Content-Length": "0",
            }.items():
                self.send_header(key, value)
            self.end_headers()

        def _stored(self, path: str) -> None:
            owner, name, commit, file = path.strip("/").split("/", 3)
            data = double.repositories[f"{owner}/{name}"].commits[commit][file]
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked.group(1)) if asked and not double.ignore_range else 0
            if start and start >= len(data):
                self._json({"error": "range"}, 416, {"Content-Range": f"bytes */{len(data)}"})
                return
            body = data[start:]
            if double.corrupt and body:
                body = bytes([body[0] ^ 1]) + body[1:]
            self.send_response(206 if asked and not double.ignore_range else 200)
            if asked and not double.ignore_range:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            cut = double.stall_after if double.stall_after is not None else double.drop_after
            if cut is None or cut >= len(body):
                self.wfile.write(body)
                return
            self.wfile.write(body[:cut])
            self.wfile.flush()
            self.close_connection = True
            if double.stall_after is not None:
                double.stalled.set()
                double._release.wait()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)

        def _json(self, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            for key, text in (headers or {}).items():
                self.send_header(key, text)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return _QuietServer(("127.0.0.1", 0), Handler)


class _QuietServer(ThreadingHTTPServer):
    """A client that hangs up is what some tests are about, and no news."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]
