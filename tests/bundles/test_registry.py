"""A bundle travels through real registries, ours and skopeo's hands, and keeps every byte; the wire may break."""

import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundles.carry import pull, push, trust_file, trust_fingerprint
from bundles.check import check_bundle
from bundles.cli import main
from bundles.errors import FetchError, RegistryError
from bundles.format.errors import DamagedFile, TrustRefused
from bundles.registry import Registry, parse_reference
from tests.support.bundle_factory import Keys, docpack, make_bundle, make_keys, model, whole
from tests.support.gguf import holding
from tests.support.registry import BreakingWire, DockerRegistry

WEIGHTS = holding(bytes(range(256)) * 8192)  # 2 MiB


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("ngo") / "keys")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Path:
    components = [model(WEIGHTS), *whole()[1:]]
    return make_bundle(tmp_path_factory.mktemp("made") / "bundle", keys, components=components)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory):
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_logins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REGISTRY_AUTH_FILE", "FIELDPOST_REGISTRY_USER", "FIELDPOST_REGISTRY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def sending(bundle: Path, place: str, cache: Path, waits_s: tuple[float, ...] = (0, 0, 0)):
    where = parse_reference(place)
    with Registry(where, cache=cache, waits_s=waits_s) as wire:
        return push(bundle, where, wire)


def fetching(place: str, out: Path, keys: Keys, waits_s: tuple[float, ...] = (0, 0, 0)):
    where = parse_reference(place)
    with Registry(where, cache=out.parent, waits_s=waits_s) as wire:
        return pull(where, out, wire, trusted=trust_file(keys.root.read_bytes()))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def skopeo(*words: str) -> bytes:
    done = subprocess.run(["skopeo", "--insecure-policy", *words], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


INSECURE = ("--src-tls-verify=false", "--dest-tls-verify=false")
COPY = ("copy", "--preserve-digests", *INSECURE)


def test_pushed_and_pulled_it_is_the_same_to_the_last_byte(registry, bundle, keys, tmp_path) -> None:
    place = f"{registry.host}/relief/clinic:1.0"
    sent = sending(bundle, place, tmp_path)
    assert sent.index == "sha256:" + hashlib.sha256((bundle / "index.json").read_bytes()).hexdigest()
    checked = fetching(place, tmp_path / "out", keys)
    assert tree(tmp_path / "out") == tree(bundle)
    assert checked.paths == check_bundle(bundle, keys.root.read_bytes()).paths
    again = sending(bundle, place, tmp_path)
    assert (again.sent_files, again.kept_files) == (0, sent.sent_files + sent.kept_files)


def test_skopeo_copies_a_pushed_bundle_to_another_registry_and_it_still_verifies(
    registry, bundle, keys, tmp_path
) -> None:
    sending(bundle, f"{registry.host}/relief/clinic:2.0", tmp_path)
    with DockerRegistry(tmp_path / "second") as second:
        there = f"docker://{registry.host}/relief/clinic:2.0"
        # skopeo 1.9 writes an index anew and copies the manifests under it as they are; a newer one keeps both.
        skopeo("copy", "--all", *INSECURE, there, f"docker://{second.host}/other/name:2.0")
        skopeo(
            "copy", "--preserve-digests", *INSECURE, f"{there}.trust", f"docker://{second.host}/other/name:2.0.trust"
        )
        fetching(f"{second.host}/other/name:2.0", tmp_path / "out", keys)
    assert tree(tmp_path / "out") == tree(bundle)


def test_skopeo_takes_components_straight_from_the_folder_and_brings_them_back(registry, bundle, tmp_path) -> None:
    for number, entry in enumerate(json.loads((bundle / "index.json").read_bytes())["manifests"]):
        name = entry["annotations"]["org.opencontainers.image.ref.name"]
        there = f"docker://{registry.host}/by/skopeo:{number}"
        skopeo(*COPY, f"oci:{bundle}:{name}", there)
        raw = skopeo("inspect", "--raw", "--tls-verify=false", there)
        assert "sha256:" + hashlib.sha256(raw).hexdigest() == entry["digest"]
        back = tmp_path / f"back{number}"
        skopeo(*COPY, there, f"oci:{back}:{name}")
        for blob in (back / "blobs/sha256").iterdir():
            assert blob.read_bytes() == (bundle / "blobs/sha256" / blob.name).read_bytes()
        assert json.loads((back / "index.json").read_bytes())["manifests"][0]["digest"] == entry["digest"]


def test_a_broken_download_goes_on_where_it_broke(registry, bundle, keys, tmp_path) -> None:
    sending(bundle, f"{registry.host}/relief/clinic:3.0", tmp_path)
    with BreakingWire(registry.port) as wire:
        wire.cut_down = 700_000
        fetching(f"{wire.host}/relief/clinic:3.0", tmp_path / "out", keys)
        ranges = [head for head in wire.heads if b"Range: bytes=" in head or b"range: bytes=" in head]
    assert tree(tmp_path / "out") == tree(bundle)
    assert len(ranges) >= 2


def test_a_given_up_download_is_finished_by_the_next(registry, bundle, keys, tmp_path) -> None:
    sending(bundle, f"{registry.host}/relief/clinic:3.1", tmp_path)
    name = hashlib.sha256(WEIGHTS).hexdigest()
    with BreakingWire(registry.port) as wire:
        wire.budget_down = 500_000
        with pytest.raises(FetchError, match="What came is kept"):
            fetching(f"{wire.host}/relief/clinic:3.1", tmp_path / "out", keys, waits_s=())
        part = tmp_path / "out.tmp/blobs/sha256" / f"{name}.part"
        kept = part.stat().st_size
        assert 0 < kept < len(WEIGHTS) and not (tmp_path / "out").exists()
        wire.budget_down, wire.heads = None, []
        fetching(f"{wire.host}/relief/clinic:3.1", tmp_path / "out", keys)
        assert any(f"bytes={kept}-".encode() in head for head in wire.heads)
    assert tree(tmp_path / "out") == tree(bundle)


def test_a_broken_upload_is_taken_up_again(registry, keys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("bundles.registry.UPLOAD_CHUNK", 1 << 20)
    big = make_bundle(tmp_path / "big", keys, components=[model(WEIGHTS + bytes(3 << 20))])
    with BreakingWire(registry.port) as wire:
        wire.cut_up = 3_500_000
        with pytest.raises(RegistryError, match="Run push again"):
            sending(big, f"{wire.host}/relief/broken:1", tmp_path, waits_s=())
        assert len(list((tmp_path / "uploads").iterdir())) == 1
        wire.cut_up = None
        sending(big, f"{wire.host}/relief/broken:1", tmp_path)
        assert list((tmp_path / "uploads").iterdir()) == []
    fetching(f"{registry.host}/relief/broken:1", tmp_path / "out", keys)
    assert tree(tmp_path / "out") == tree(big)


def test_an_upload_left_between_two_pieces_goes_on_there(registry, tmp_path, monkeypatch) -> None:
    """As after a SIGKILL: a new process knows only what lies in the cache."""
    monkeypatch.setattr("bundles.registry.UPLOAD_CHUNK", 1 << 20)
    data = hashlib.sha256(b"seed").digest() * (4 << 15)
    digest, path = "sha256:" + hashlib.sha256(data).hexdigest(), tmp_path / "blob"
    path.write_bytes(data)
    code = (
        "import os, signal, sys; from pathlib import Path; import bundles.registry as r\n"
        "r.UPLOAD_CHUNK = 1 << 20; real = r.Registry._send; sent = []\n"
        "class Dying(r.Registry):\n"
        "    def _send(self, *more):\n"
        "        if len(sent) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        sent.append(1); return super()._send(*more)\n"
        "Dying(r.parse_reference(sys.argv[1]), cache=Path(sys.argv[2])).push_blob(sys.argv[3], Path(sys.argv[4]), 'b')"
    )
    place = f"{registry.host}/relief/killed:1"
    command = [sys.executable, "-c", code, place, str(tmp_path), digest, str(path)]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], timeout=60).returncode == -9
    with BreakingWire(registry.port) as wire:
        note = next((tmp_path / "uploads").iterdir())
        note.write_text(note.read_text().replace(registry.host, wire.host))
        there = parse_reference(f"{wire.host}/relief/killed:1")
        renamed = hashlib.sha256(f"{there.base} {digest}".encode()).hexdigest()
        note.rename(note.with_name(renamed))
        with Registry(there, cache=tmp_path) as again:
            assert again.push_blob(digest, path, "blob")
        pieces = [head for head in wire.heads if head.startswith(b"PATCH")]
    assert [piece.lower().split(b"content-range: ")[1].split(b"\r")[0] for piece in pieces] == [
        b"2097152-3145727",
        b"3145728-4194303",
    ]
    with Registry(there := parse_reference(place), cache=tmp_path) as again:
        again.fetch_blob(digest, len(data), tmp_path / "got", "blob")
    assert (tmp_path / "got" / digest[7:]).read_bytes() == data


def test_an_update_fetches_only_what_is_new(registry, keys, tmp_path) -> None:
    place = f"{registry.host}/relief/update:latest"
    first = make_bundle(tmp_path / "first", keys, components=[model(WEIGHTS), docpack()])
    sending(first, place, tmp_path)
    fetching(place, tmp_path / "out", keys)
    second = make_bundle(tmp_path / "second", keys, version="2", components=[model(WEIGHTS), docpack(version="2")])
    sending(second, place, tmp_path)
    with BreakingWire(registry.port) as wire:
        fetching(f"{wire.host}/relief/update:latest", tmp_path / "out", keys)
        asked = b"".join(wire.heads)
    assert hashlib.sha256(WEIGHTS).hexdigest().encode() not in asked
    assert tree(tmp_path / "out") == tree(second)


def test_another_root_is_refused_before_any_blob_is_fetched(registry, bundle, keys, tmp_path) -> None:
    place = f"{registry.host}/relief/clinic:4.0"
    sending(bundle, place, tmp_path)
    other = make_keys(tmp_path / "other")
    with pytest.raises(TrustRefused, match=r"root fingerprint SHA256:"):
        fetching(place, tmp_path / "out", other)
    assert not list((tmp_path / "out.tmp/blobs/sha256").iterdir()) and not (tmp_path / "out").exists()
    trust_fingerprint(keys.fingerprint)(keys.root.read_bytes())
    with pytest.raises(TrustRefused):
        trust_fingerprint(other.fingerprint)(keys.root.read_bytes())


def test_a_registry_that_changes_a_blob_is_found_out(bundle, keys, tmp_path) -> None:
    with DockerRegistry(tmp_path / "evil") as evil:
        place = f"{evil.host}/relief/clinic:1.0"
        sending(bundle, place, tmp_path)
        name = hashlib.sha256(WEIGHTS).hexdigest()
        (stored,) = (tmp_path / "evil/data").rglob(f"{name}/data")
        stored.write_bytes(b"EVIL" + WEIGHTS[4:])
        with pytest.raises(FetchError, match=f"It should be {name}"):
            fetching(place, tmp_path / "out", keys)
        assert not (tmp_path / "out").exists()


def test_strange_names_in_the_trust_artifact_are_refused(registry, bundle, keys, tmp_path) -> None:
    where = parse_reference(f"{registry.host}/relief/strange:1")
    sending(bundle, str(where), tmp_path)
    with Registry(where, cache=tmp_path) as wire:
        trust = json.loads(wire.manifest("1.trust"))
        for name in ("../../evil", "tuf/../x.json", "/etc/passwd", "blobs/sha256/x", "tuf/.x.json"):
            trust["layers"][0]["annotations"]["org.opencontainers.image.title"] = name
            data = json.dumps(trust).encode()
            wire.put_manifest("1.trust", data, trust["mediaType"])
            with pytest.raises(RegistryError):
                fetching(str(where), tmp_path / "out", keys)
    assert not (tmp_path / "evil").exists()


def test_a_login_is_asked_for_found_and_used(bundle, keys, tmp_path, monkeypatch) -> None:
    with DockerRegistry(tmp_path / "closed", login=("amina", "secret words")) as closed:
        place = f"{closed.host}/relief/clinic:1"
        with pytest.raises(RegistryError, match=f"skopeo login {closed.host}"):
            sending(bundle, place, tmp_path)
        monkeypatch.setenv("FIELDPOST_REGISTRY_USER", "amina")
        monkeypatch.setenv("FIELDPOST_REGISTRY_PASSWORD", "wrong")
        with pytest.raises(RegistryError, match="not accepted"):
            sending(bundle, place, tmp_path)
        monkeypatch.delenv("FIELDPOST_REGISTRY_USER")
        file = tmp_path / "auth.json"
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
        words = ("login", "--tls-verify=false", "--authfile", str(file), "-u", "amina", "-p", "secret words")
        skopeo(*words, closed.host)
        sending(bundle, place, tmp_path)
        fetching(place, tmp_path / "out", keys)
    assert tree(tmp_path / "out") == tree(bundle)


def test_a_login_is_given_to_nobody_the_registry_redirects_to(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FIELDPOST_REGISTRY_USER", "amina")
    monkeypatch.setenv("FIELDPOST_REGISTRY_PASSWORD", "secret words")
    seen: list[tuple[int, str | None]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            port = self.server.server_address[1]
            seen.append((port, self.headers["Authorization"]))
            if port == thief.server_address[1]:
                self.send_response(401)
                challenge = f'Bearer realm="http://127.0.0.1:{port}/token",service="x"'
                self.send_header("WWW-Authenticate", challenge)
            elif self.headers["Authorization"] is None:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
            else:
                self.send_response(307)
                self.send_header("Location", f"http://127.0.0.1:{thief.server_address[1]}/blob")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as ours, ThreadingHTTPServer(("127.0.0.1", 0), Answer) as thief:
        for server in (ours, thief):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        where = parse_reference(f"127.0.0.1:{ours.server_address[1]}/relief/clinic:1")
        with Registry(where, cache=tmp_path, waits_s=()) as wire, pytest.raises(RegistryError):
            wire.blob("sha256:" + "0" * 64, 10)
        for server in (ours, thief):
            server.shutdown()
    told = dict.fromkeys(seen)
    assert (ours.server_address[1], "Basic YW1pbmE6c2VjcmV0IHdvcmRz") in told  # the registry itself had it
    assert [login for port, login in told if port == thief.server_address[1]] == [None]


def test_an_index_that_nobody_signed_is_not_parsed(registry, bundle, keys, tmp_path) -> None:
    where = parse_reference(f"{registry.host}/relief/unsigned:1")
    sending(bundle, str(where), tmp_path)
    with Registry(where, cache=tmp_path) as wire:
        trust = json.loads(wire.manifest("1.trust"))
        (layer,) = [x for x in trust["layers"] if "index.json" in x["annotations"].values()]
        layer["digest"], layer["size"] = "sha256:" + hashlib.sha256(b"no JSON").hexdigest(), 7
        wire.push_blob(layer["digest"], b"no JSON", "index")
        wire.put_manifest("1.trust", json.dumps(trust).encode(), trust["mediaType"])
    with pytest.raises(DamagedFile, match=r"index\.json is damaged or was changed"):
        fetching(str(where), tmp_path / "out", keys)
    assert not (tmp_path / "out").exists()


def test_the_commands(registry, bundle, keys, tmp_path) -> None:
    place = f"{registry.host}/relief/commands:1.0"
    run = CliRunner()
    said = run.invoke(main, ["push", str(bundle), place])
    assert said.exit_code == 0 and f"{place}: demo 0.1.0, index sha256:" in said.output
    said = run.invoke(main, ["pull", place, "--out", str(tmp_path / "out"), "--fingerprint", keys.fingerprint])
    assert said.exit_code == 0 and "every byte checked" in said.output, said.output
    assert tree(tmp_path / "out") == tree(bundle)
    assert run.invoke(main, ["pull", place, "--out", str(tmp_path / "x")]).exit_code == 2
    missing = run.invoke(main, ["pull", f"{registry.host}/no/such:1", "--out", "x", "--fingerprint", keys.fingerprint])
    assert missing.exit_code == 1 and "is not there" in missing.output


@pytest.mark.parametrize(
    "text", ["clinic", "a/b", "a/b:", "HTTP://a/b:1", "a/B:1", "a/b@sha256:0", "a b/c:1", "a/../b:1"]
)
def test_no_such_place(text: str) -> None:
    with pytest.raises(RegistryError, match="names no place"):
        parse_reference(text)


def test_beyond_this_machine_it_is_always_encrypted() -> None:
    assert parse_reference("registry.example.org/relief/clinic:1").base.startswith("https://")
    assert parse_reference("localhost.example.org/relief/clinic:1").base.startswith("https://")
    assert parse_reference("localhost:5000/relief/clinic:1").base.startswith("http://")
