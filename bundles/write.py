"""Writes prepared components as an OCI image layout and names what must be signed. Signs nothing.

Types and annotations: bundles/README.md; OCI image specification 1.1; CNCF ModelPack model-spec.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundles.components import Layer, PreparedComponent
from bundles.errors import LockError
from bundles.format.digest import digest_of
from bundles.format.kinds import (
    EMPTY_CONFIG,
    INDEX,
    MANIFEST,
    MODEL_CONFIG,
    OTHER_FILE,
    WEIGHTS,
    artifact_type,
    bundle_target,
    component_target,
)
from bundles.format.layout import blob_path
from bundles.progress import byte_bar
from bundles.recipe import Recipe

_CHUNK = 1 << 20


class LayoutWriter:
    """An OCI image layout that grows blob by blob; the same bytes are stored once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "blobs" / "sha256").mkdir(parents=True)
        (root / "oci-layout").write_bytes(b'{"imageLayoutVersion":"1.0.0"}')

    def put(self, data: bytes, media_type: str) -> dict[str, Any]:
        """Store bytes; returns their descriptor."""
        digest = digest_of(data)
        (self.root / blob_path(digest)).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def put_file(self, path: Path, media_type: str) -> dict[str, Any]:
        """Copy a file in, hashing what is copied; returns its descriptor."""
        hashed, size = hashlib.sha256(), 0
        growing = self.root / "blobs" / f"{secrets.token_hex(8)}.part"
        with path.open("rb") as source, growing.open("xb") as out, byte_bar(path.name, path.stat().st_size) as bar:
            while chunk := source.read(_CHUNK):
                hashed.update(chunk)
                out.write(chunk)
                size += len(chunk)
                bar.update(len(chunk))
            out.flush()
            os.fsync(out.fileno())
        digest = f"sha256:{hashed.hexdigest()}"
        growing.rename(self.root / blob_path(digest))
        return {"mediaType": media_type, "digest": digest, "size": size}


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no spaces, in UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def write_components(
    recipe: Recipe, components: Sequence[PreparedComponent], root: Path, *, signed_by_others: Collection[str] = ()
) -> dict[str, tuple[int, str]]:
    """Write every component and the bundle's index; returns what is to be signed: target name to length and SHA-256.

    Args:
        signed_by_others: contributors whose components need no signature of ours.

    Raises:
        LockError: a file's bytes are no longer those of the lock.
    """
    layout = LayoutWriter(root)
    targets: dict[str, tuple[int, str]] = {}
    manifests = []
    for component in components:
        descriptor = _write_component(layout, component)
        target = component_target(component.kind, component.publisher, component.name, component.version)
        if component.manifest is None or component.publisher not in signed_by_others:
            targets[target] = (descriptor["size"], descriptor["digest"].removeprefix("sha256:"))
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": target}
        manifests.append(descriptor)
    index = canonical(
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": manifests,
            "annotations": {
                **_told(recipe),
                "org.fieldpost.bundle": recipe.name,
                "org.fieldpost.languages": ",".join(recipe.languages),
                "org.fieldpost.publisher": recipe.publisher,
                "org.opencontainers.image.title": recipe.title,
                "org.opencontainers.image.version": recipe.version,
            },
        }
    )
    descriptor = layout.put(index, INDEX)
    (root / "index.json").write_bytes(index)
    targets[bundle_target(recipe.publisher, recipe.name, recipe.version)] = (
        descriptor["size"],
        descriptor["digest"].removeprefix("sha256:"),
    )
    return targets


def _told(recipe: Recipe) -> dict[str, str]:
    """What a recipe may leave out."""
    told = {}
    if recipe.accepted_licences:
        told["org.fieldpost.accepted-licences"] = ",".join(sorted(recipe.accepted_licences))
    if recipe.ram_mb is not None:
        told["org.fieldpost.ram-mb"] = str(recipe.ram_mb)
    if recipe.why is not None:
        told["org.opencontainers.image.description"] = recipe.why
    return told


def _write_component(layout: LayoutWriter, component: PreparedComponent) -> dict[str, Any]:
    layers = [_write_layer(layout, component, layer) for layer in component.layers]
    if component.manifest is not None:
        layout.put(b"{}", EMPTY_CONFIG)
        return layout.put(component.manifest, MANIFEST) | {"artifactType": artifact_type(component.kind)}
    if component.kind == "model":
        config = layout.put(canonical(_model_config(component, layers)), MODEL_CONFIG)
    else:
        config = layout.put(b"{}", EMPTY_CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type(component.kind),
        "config": config,
        "layers": layers,
        "annotations": {
            **component.annotations,
            "org.fieldpost.kind": component.kind,
            "org.fieldpost.name": component.name,
            "org.fieldpost.publisher": component.publisher,
            "org.opencontainers.image.licenses": component.licence,
            "org.opencontainers.image.title": component.title,
            "org.opencontainers.image.version": component.version,
        },
    }
    return layout.put(canonical(manifest), MANIFEST) | {"artifactType": manifest["artifactType"]}


def _write_layer(layout: LayoutWriter, component: PreparedComponent, layer: Layer) -> dict[str, Any]:
    descriptor = layout.put_file(layer.here, WEIGHTS if layer.weights else OTHER_FILE)
    if layer.sha256 is not None and descriptor["digest"] != f"sha256:{layer.sha256}":
        raise LockError(
            f"{layer.path} of {component.kind}/{component.name} has changed since it was locked.",
            needed=f"SHA-256 {layer.sha256} is needed.",
            todo="Restore it, or run: fieldpost-bundle lock",
        )
    descriptor["annotations"] = {"org.cncf.model.filepath": layer.path}
    return descriptor


def _model_config(component: PreparedComponent, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """After the ModelPack configuration schema. No creation time: the same lock shall give the same bytes."""
    config = {"format": "gguf"}
    if component.facts is not None:
        config |= {"architecture": component.facts.architecture}
        config |= {"paramSize": f"{component.facts.parameters / 1e9:.4g}b"}
    return {
        "descriptor": {"name": component.name, "version": component.version, "licenses": [component.licence]},
        "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
        "config": config,
    }
