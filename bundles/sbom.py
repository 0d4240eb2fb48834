"""bom.cdx.json: a CycloneDX 1.6 bill of materials with model cards (an ML-BOM), the same bytes for the same bundle.

Made out of the written layout. Written as JSON by hand, because cyclonedx-python-lib has no class for model cards; the
tests hold it against the schema that library ships. Source: the CycloneDX 1.6 JSON schema (ECMA-424).
"""

import importlib.metadata
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bundles.format.digest import digest_of
from bundles.format.kinds import MODEL_CONFIG, WEIGHTS
from bundles.format.layout import blob_path, read_blob
from bundles.format.manifest import Manifest
from bundles.notices import bases, read_layout

_NAMESPACE = uuid.UUID("6b1c8f0e-2f5a-4a5d-9d0b-3a7d3c1f0e24")
_TASKS = {"answer": "text-generation", "embed": "feature-extraction"}
_LIMITS = re.compile(r"limit|cannot|not for|risk|caution|weak", re.IGNORECASE)
_USES = re.compile(r"intended|use|purpose|what it is", re.IGNORECASE)
_MAX_SECTION = 2000


def bill_of_materials(root: Path, sources: Mapping[str, str], *, date: datetime) -> bytes:
    """The bytes of bom.cdx.json.

    Args:
        root: the written layout.
        sources: where files came from, by SHA-256 in hex.
        date: when the bundle is signed.
    """
    index, manifests = read_layout(root)
    known = bases(manifests)
    serial = uuid.uuid5(_NAMESPACE, digest_of((root / "index.json").read_bytes()))
    dependencies: list[dict[str, Any]] = [{"ref": "bundle", "dependsOn": sorted(m.target for m in manifests)}]
    for manifest in manifests:
        base = known.get(manifest.annotations.get("org.fieldpost.base", ""))
        dependencies.append({"ref": manifest.target} | ({"dependsOn": [base.target]} if base else {}))
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {
                "components": [
                    {"type": "application", "name": "fieldpost", "version": importlib.metadata.version("fieldpost")}
                ]
            },
            "component": {
                "type": "application",
                "bom-ref": "bundle",
                "name": index.name,
                "version": index.version,
                "publisher": index.publisher,
                "description": index.title,
            },
        },
        "components": [_component(root, manifest, sources) for manifest in manifests],
        "dependencies": sorted(dependencies, key=lambda entry: str(entry["ref"])),
    }
    return (json.dumps(bom, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _component(root: Path, manifest: Manifest, sources: Mapping[str, str]) -> dict[str, Any]:
    notes = manifest.annotations
    component: dict[str, Any] = {
        "type": _type(manifest),
        "bom-ref": manifest.target,
        "name": manifest.name,
        "version": manifest.version,
        "publisher": manifest.publisher,
        "description": notes.get("org.opencontainers.image.title", manifest.name),
        "licenses": [{"expression": manifest.licence}],
        "properties": [
            {"name": name.removeprefix("org."), "value": notes[name]}
            for name in sorted(notes)
            if name.startswith("org.fieldpost.") and notes[name]
        ],
        "components": [
            {
                "type": "file",
                "bom-ref": f"{manifest.target}/{layer.path}",
                "name": layer.path,
                "hashes": [{"alg": "SHA-256", "content": layer.blob.digest.removeprefix("sha256:")}],
                "properties": [{"name": "fieldpost.size", "value": str(layer.blob.size)}, *_source(layer, sources)],
            }
            for layer in manifest.layers
        ],
    }
    if component["type"] == "machine-learning-model":
        component["modelCard"] = _card(root, manifest)
    elif component["type"] == "data":
        component["data"] = [{"type": "dataset", "name": manifest.name}]
    return component


def _source(layer: Any, sources: Mapping[str, str]) -> list[dict[str, str]]:
    where = sources.get(layer.blob.digest.removeprefix("sha256:"))
    return [{"name": "fieldpost.source", "value": where}] if where else []


def _type(manifest: Manifest) -> str:
    """A language pack is a model as soon as it holds one that translates."""
    if manifest.kind in ("model", "adapter") or any(layer.path.startswith("argos/") for layer in manifest.layers):
        return "machine-learning-model"
    return "application" if manifest.kind == "runtime" else "data"


def _card(root: Path, manifest: Manifest) -> dict[str, Any]:
    """What the weights and the card say. Nothing is made up: what neither says is left out."""
    task = (
        "translation"
        if manifest.kind == "langpack"
        else _TASKS.get(manifest.annotations.get("org.fieldpost.task", "answer"), "text-generation")
    )
    parameters: dict[str, Any] = {"task": task}
    if manifest.config.media_type == MODEL_CONFIG:
        config = json.loads(read_blob(root, manifest.config)).get("config", {})
        if "architecture" in config:
            parameters["architectureFamily"] = config["architecture"]
        if "paramSize" in config:
            parameters["modelArchitecture"] = f"{config['architecture']} {config['paramSize']}"
    if any(layer.blob.media_type == WEIGHTS for layer in manifest.layers) or task == "translation":
        parameters["inputs"] = parameters["outputs"] = [{"format": "string"}]
    sections = _sections(_read_card(root, manifest))
    considerations = {
        "useCases": _matching(sections, _USES, but=_LIMITS),
        "technicalLimitations": _matching(sections, _LIMITS),
    }
    told = {key: texts for key, texts in considerations.items() if texts}
    return {"modelParameters": parameters} | ({"considerations": told} if told else {})


def _read_card(root: Path, manifest: Manifest) -> str:
    for layer in manifest.layers:
        if layer.path == "README.md":
            return (root / blob_path(layer.blob.digest)).read_text(encoding="utf-8", errors="replace")
    return ""


def _sections(card: str) -> list[tuple[str, str]]:
    """A card's headings with the text under each."""
    pieces = re.split(r"^#{2,}\s*(.+?)\s*$", card, flags=re.MULTILINE)[1:]
    return [(head, " ".join(text.split())[:_MAX_SECTION]) for head, text in zip(pieces[::2], pieces[1::2], strict=True)]


def _matching(
    sections: Sequence[tuple[str, str]], wanted: re.Pattern[str], *, but: re.Pattern[str] | None = None
) -> list[str]:
    return [
        text for head, text in sections if text and wanted.search(head) and not (but is not None and but.search(head))
    ]
