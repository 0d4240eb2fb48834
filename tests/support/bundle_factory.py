"""Real signed bundles in a fraction of a second: tiny payloads, written and signed by the code that makes real ones.

Only looking into the files is left out, so that a payload of ``part`` may be any bytes. Weights of ``model`` and
``adapter`` are sound GGUF files, because the installer looks again: what is no GGUF file is put into one.

    keys = make_keys(tmp_path / "keys")
    old = make_bundle(tmp_path / "old", keys)
    new = make_bundle(tmp_path / "new", keys, version="0.2.0", components=[model(b"other weights")])

Each further bundle of the same keys is newer than the one before. ``model`` and its like give usual components;
``part`` gives any.
"""

import hashlib
import io
import os
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bundles.build import assemble
from bundles.components import Layer, PreparedComponent
from bundles.contributors import accept_packages, delegate, read_contributors, write_contributors
from bundles.format.kinds import KINDS
from bundles.format.layout import blob_path, read_blob
from bundles.keys import read_public
from bundles.package import Package, PackedComponent, new_contributor, sign_package
from bundles.recipe import Recipe
from bundles.roots import init_root
from bundles.trust import open_signer
from bundles.write import write_components
from tests.support.gguf import holding

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = "only for tests"
DATE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
INSTALLER = b"#!/usr/bin/env python3\nstands in for installer.pyz\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A signing folder and what a test needs to know of it."""

    folder: Path
    passphrase: str
    fingerprint: str
    """``SHA256:...`` of 1.root.json."""

    @property
    def root(self) -> Path:
        """1.root.json, as a box trusts it."""
        return self.folder / "1.root.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A component to be: its files by path, and whatever annotations it shall carry."""

    kind: str
    name: str
    files: Mapping[str, bytes]
    version: str = "0.1.0"
    licence: str = "Apache-2.0"
    publisher: str = "fieldpost"
    annotations: Mapping[str, str] | None = None


def make_keys(
    folder: Path, *, passphrase: str = PASSPHRASE, date: datetime = DATE, root_keys: int = 1, threshold: int = 1
) -> Keys:
    """A new signing folder; one bcrypt round, because tests have nothing to hide."""
    fingerprint = init_root(
        folder,
        root_passphrases=[passphrase] * root_keys,
        hq_passphrase=passphrase,
        threshold=threshold,
        date=date,
        kdf_rounds=1,
    )
    return Keys(folder=folder, passphrase=passphrase, fingerprint=fingerprint)


def part(kind: str, name: str, files: Mapping[str, bytes], **more: object) -> Payload:
    """Any component."""
    return Payload(kind=kind, name=name, files=files, **more)  # type: ignore[arg-type]


def model(weights: bytes = b"GGUF weights", name: str = "answers", **more: object) -> Payload:
    """A model of one weights file and a card."""
    return part("model", name, {f"{name}.gguf": sound(weights), "README.md": f"# {name}\n".encode()}, **more)


def adapter(
    weights: bytes = b"GGUF lora", name: str = "steps", base: bytes = b"GGUF weights", **more: object
) -> Payload:
    """An adapter for the model whose weights are ``base``."""
    annotations = {"org.fieldpost.base": f"sha256:{hashlib.sha256(sound(base)).hexdigest()}"}
    lora = sound(weights, {"general.type": "adapter"})
    return part("adapter", name, {f"{name}.gguf": lora}, annotations=annotations, **more)


def sound(weights: bytes, keys: Mapping[str, str] | None = None) -> bytes:
    """The weights, if they are a GGUF file; else one that holds them."""
    return weights if weights.startswith(b"GGUF\x03\0\0\0") else holding(weights, keys)


def langpack(name: str = "en-sw", **more: object) -> Payload:
    """Two Argos packages as they lie unpacked, and a glossary."""
    files = {"glossary.csv": b"en,sw\nwater,maji\n"}
    for pair in ("en_sw", "sw_en"):
        files[f"argos/{pair}/metadata.json"] = b"{}"
        files[f"argos/{pair}/model/model.bin"] = f"weights {pair}".encode()
    return part("langpack", name, files, annotations={"org.fieldpost.pairs": "en>sw,sw>en"}, **more)


def docpack(name: str = "field-guides", **more: object) -> Payload:
    """Two documents and something in the index's place."""
    files = {"water.md": b"# Water\nBoil it.\n", "burns.md": b"# Burns\nCool them.\n", "index.sqlite": b"index"}
    return part("docpack", name, files, annotations={"org.fieldpost.language": "en"}, **more)


def evalset(name: str = "ten", **more: object) -> Payload:
    """One question."""
    return part("evalset", name, {"questions.jsonl": b'{"question": "?"}\n'}, **more)


def runtime(name: str = "box", *, platform: str = "", entries: Mapping[str, bytes] | None = None) -> Payload:
    """The programs of a box: by default this checkout's own, which a path file leads to, for this machine."""
    here = f"linux-{os.uname().machine}-cp3{sys.version_info.minor}"
    packages = f"lib/python3.{sys.version_info.minor}/site-packages"
    leads = f"{ROOT}\n{sysconfig.get_path('purelib')}\n".encode()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path, data in (entries or {f"{packages}/checkout.pth": leads}).items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    annotations = {"org.fieldpost.platform": platform or here}
    return part("runtime", name, {f"{platform or here}.tar": raw.getvalue()}, annotations=annotations)


def whole() -> list[Payload]:
    """One of every kind."""
    return [model(), adapter(), langpack(), docpack(), evalset()]


def make_bundle(
    folder: Path,
    keys: Keys,
    *,
    components: Sequence[Payload] | None = None,
    name: str = "demo",
    version: str = "0.1.0",
    publisher: str = "fieldpost",
    title: str = "Demo",
    languages: Sequence[str] = ("en", "sw"),
    installer: bytes = INSTALLER,
    date: datetime = DATE,
    packages: Sequence[Path] = (),
) -> Path:
    """A signed bundle at ``folder``, which is also how its stick looks; returns ``folder``.

    ``packages`` are contributors' signed ones, whose delegations ``keys`` must hold.
    """
    recipe = _recipe(folder, name=name, version=version, publisher=publisher, title=title, languages=languages)
    with tempfile.TemporaryDirectory() as scratch:
        pyz = Path(scratch) / "installer.pyz"
        pyz.write_bytes(installer)
        prepared = [
            _prepare(payload, Path(scratch) / str(number))
            for number, payload in enumerate(whole() if components is None else components)
        ]
        signer = open_signer(keys.folder, keys.passphrase)
        accepted = accept_packages(keys.folder, packages)
        prepared += [_contributed(package, packed) for package in accepted.packages for packed in package.components]
        prepared.sort(key=lambda component: KINDS.index(component.kind))
        assemble(recipe, prepared, out=folder, signer=signer, installer=pyz, date=date, accepted=accepted)
    return folder


def _contributed(package: Package, packed: PackedComponent) -> PreparedComponent:
    manifest = packed.manifest
    return PreparedComponent(
        kind=manifest.kind,
        name=manifest.name,
        publisher=manifest.publisher,
        version=manifest.version,
        licence=manifest.licence,
        title=manifest.name,
        layers=tuple(
            Layer(
                path=layer.path,
                here=package.folder / blob_path(layer.blob.digest),
                weights=layer.path.endswith(".gguf"),
            )
            for layer in manifest.layers
        ),
        annotations={},
        manifest=read_blob(package.folder, packed.blob),
    )


def make_package(
    folder: Path, *, components: Sequence[Payload], contributor: str = "amina", version: str = "1.0.0"
) -> Path:
    """A contributor's package, not signed yet; returns ``folder``."""
    recipe = _recipe(folder, name=folder.name, version=version, publisher=contributor, title="Package")
    with tempfile.TemporaryDirectory() as scratch:
        prepared = [
            _prepare(replace(payload, publisher=contributor), Path(scratch) / str(number))
            for number, payload in enumerate(components)
        ]
        write_components(recipe, prepared, folder)
    return folder


def let(keys: Keys, key: Path, *paths: str, name: str = "amina") -> None:
    """Let the contributor whose private key is ``key`` sign under ``paths``; their adapters by default."""
    public = read_public(key.with_suffix(".pub"))
    known = delegate(read_contributors(keys.folder), name, public, paths or (f"adapters/{name}/*",))
    write_contributors(keys.folder, known)


def sign(package: Path, key: Path) -> Path:
    """Sign a package as its contributor; returns ``package``."""
    sign_package(package, key, PASSPHRASE, date=DATE)
    return package


def make_contributor(folder: Path, name: str = "amina") -> Path:
    """A contributor's key; returns the private one's path, and the public one lies beside it."""
    new_contributor(folder, name, PASSPHRASE, kdf_rounds=1)
    return folder / f"{name}.key"


def _recipe(folder: Path, *, name: str, version: str, publisher: str, title: str, languages: Sequence[str] = ("en",)):
    return Recipe(
        path=folder / "recipe.toml",
        name=name,
        version=version,
        publisher=publisher,
        title=title,
        languages=tuple(languages),
        components=(),
        accepted_licences=frozenset(),
    )


def _prepare(payload: Payload, scratch: Path) -> PreparedComponent:
    layers = []
    for path, data in sorted(payload.files.items()):
        here = scratch / hashlib.sha256(path.encode()).hexdigest()
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_bytes(data)
        layers.append(Layer(path=path, here=here, weights=path.endswith(".gguf")))
    return PreparedComponent(
        kind=payload.kind,
        name=payload.name,
        publisher=payload.publisher,
        version=payload.version,
        licence=payload.licence,
        title=payload.name,
        layers=tuple(layers),
        annotations=payload.annotations or {},
    )
