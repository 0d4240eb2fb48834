"""A TUF repository over HTTP that does what a test tells it, honest or not: real keys, real signatures, any version.

    repo = Repository()
    repo.publish("targets", "snapshot", "timestamp")      # each one version higher, signed by its keys
    with repo.serve() as address: ...                     # address + "metadata/", address + "targets/"

``repo.asked`` lists what a client asked for. Nothing is checked here: lying is what it is for.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

TOP = ("root", "timestamp", "snapshot", "targets")
VALID = timedelta(days=30)


def signer(number: int, kind: str = "ed25519") -> CryptoSigner:
    """The same key for the same number and kind, made once; RSA keys take a second."""
    return _make(number, kind)


@cache
def _make(number: int, kind: str) -> CryptoSigner:
    make = {
        "ed25519": CryptoSigner.generate_ed25519,
        "ecdsa": CryptoSigner.generate_ecdsa,
        "rsa": CryptoSigner.generate_rsa,
        "rsa-pkcs1": lambda: CryptoSigner.generate_rsa(scheme="rsa-pkcs1v15-sha256"),
    }[kind]
    return make()


class Repository:
    """All metadata and artifacts of one repository, and every version that was published."""

    def __init__(self, *, kind: str = "ed25519", hashes: bool = False, consistent: bool = True) -> None:
        expires = (datetime.now(UTC) + VALID).replace(microsecond=0)
        self.expires = expires
        self.hashes = hashes
        """Whether snapshot and timestamp give length and hashes."""
        self.kind = kind
        self.signed: dict[str, Any] = {
            "root": Root(expires=expires, consistent_snapshot=consistent),
            "timestamp": Timestamp(expires=expires),
            "snapshot": Snapshot(expires=expires),
            "targets": Targets(expires=expires),
        }
        self.signers: dict[str, list[CryptoSigner]] = {}
        self.published: dict[str, list[bytes]] = {}
        self.artifacts: dict[str, bytes] = {}
        self.asked: list[str] = []
        for number, role in enumerate(TOP):
            self.set_keys(role, [number])
        self.publish("root", "targets", "snapshot", "timestamp")

    @property
    def root(self) -> Root:
        return self.signed["root"]

    def set_keys(self, role: str, keys: list[int], *, threshold: int = 1, signing: list[int] | None = None) -> None:
        """Name the role's keys in the root by number, and which of all keys sign it; both by default the same."""
        self.root.roles[role].keyids.clear()
        for number in keys:
            self.root.add_key(deepcopy(signer(number, self.kind).public_key), role)
        self.root.roles[role].threshold = threshold
        self.signers[role] = [signer(number, self.kind) for number in (keys if signing is None else signing)]

    def publish(self, *roles: str, version: int | None = None) -> None:
        """Sign each role anew, one version higher or as told, and name it where the roles above name it."""
        for role in roles:
            signed = self.signed[role]
            if version is not None:
                signed.version = version
            elif role in self.published:
                signed.version += 1
            metadata: Metadata[Any] = Metadata(signed)
            for one in self.signers[role]:
                metadata.sign(one, append=True)
            data = metadata.to_bytes(JSONSerializer())
            self.published.setdefault(role, []).append(data)
            meta = MetaFile.from_data(signed.version, data, ["sha256"]) if self.hashes else MetaFile(signed.version)
            if role == "snapshot":
                self.signed["timestamp"].snapshot_meta = meta
            elif role not in TOP or role == "targets":
                self.signed["snapshot"].meta[f"{role}.json"] = meta

    def publish_all(self) -> None:
        """Targets, snapshot and timestamp, in the order in which they name each other."""
        self.publish("targets", "snapshot", "timestamp")

    def add(self, role: str, path: str, data: bytes) -> None:
        """An artifact, and its entry in a role that is still to be published."""
        self.artifacts[path] = data
        self.signed[role].targets[path] = TargetFile.from_data(path, data, ["sha256"])

    def delegate(self, parent: str, name: str, *, key: int, paths: list[str] | None = None, **more: Any) -> None:
        """Let ``name`` sign under ``paths``, or under ``path_hash_prefixes``."""
        delegator = self.signed[parent]
        if delegator.delegations is None:
            delegator.delegations = Delegations(keys={}, roles={})
        terminating = more.pop("terminating", False)
        role = DelegatedRole(name=name, keyids=[], threshold=1, terminating=terminating, paths=paths, **more)
        delegator.delegations.roles[name] = role
        delegator.add_key(signer(key).public_key, name)
        self.signers.setdefault(name, []).append(signer(key))
        self.signed.setdefault(name, Targets(expires=self.expires))

    def delegate_bins(self, *, key: int, bits: int, prefix: str) -> SuccinctRoles:
        """Share all names out over 2**bits roles."""
        bins = SuccinctRoles([], 1, bits, prefix)
        targets = self.signed["targets"]
        targets.delegations = Delegations(keys={}, roles=None, succinct_roles=bins)
        targets.add_key(signer(key).public_key)
        for name in bins.get_roles():
            self.signed[name] = Targets(expires=self.expires)
            self.signers[name] = [signer(key)]
        return bins

    def answer(self, path: str) -> bytes | None:
        """The bytes at a path of the server."""
        folder, _, name = path.partition("/")
        if folder == "metadata":
            self.asked.append(name.removesuffix(".json"))
            return self._metadata(name.removesuffix(".json"))
        parent, separator, last = unquote(name).rpartition("/")
        if self.root.consistent_snapshot:
            digest, _, last = last.partition(".")
            wanted = f"{parent}{separator}{last}"
            target = next(
                (s.targets[wanted] for s in self.signed.values() if isinstance(s, Targets) and wanted in s.targets),
                None,
            )
            if target is None or digest not in target.hashes.values():
                return None
        self.asked.append(f"{parent}{separator}{last}")
        return self.artifacts.get(f"{parent}{separator}{last}")

    def _metadata(self, name: str) -> bytes | None:
        version, _, role = name.partition(".")
        for known, versions in self.published.items():
            if known != "root" and name == quote(known, ""):
                return versions[-1]
            if version.isdecimal() and role == quote(known, ""):
                # Read as JSON: what a test made of it need not be metadata.
                wanted = (v for v in reversed(versions) if json.loads(v)["signed"]["version"] == int(version))
                return next(wanted, None)
        return None

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Answer over HTTP on the loopback; yields the address, with a slash at the end."""
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                data = repository.answer(self.path.lstrip("/"))
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
