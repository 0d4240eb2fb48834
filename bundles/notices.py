"""NOTICES.txt: what is in a bundle, under which licences, what they ask for, and the notices that came with it.

Made out of the written layout, so that it names exactly what travels. Signed like every file on top of a bundle.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from bundles.format.layout import blob_path, read_blob
from bundles.format.licence_policy import WANTS_TEXT, joined, judge
from bundles.format.manifest import Index, Layer, Manifest, parse_index, parse_manifest

NOTICE_FILES = ("license", "licence", "notice", "copying", "authors", "copyright", "attribution")
"""Files of a component with these names, whatever follows a dot or a dash, are notices."""
_RULE = "=" * 78
_MAX_TEXT = 1 << 20


def read_layout(root: Path) -> tuple[Index, list[Manifest]]:
    """What a layout that we just wrote holds."""
    index = parse_index((root / "index.json").read_bytes())
    return index, [parse_manifest(read_blob(root, entry.blob)) for entry in index.entries]


def bases(manifests: list[Manifest]) -> Mapping[str, Manifest]:
    """Which component holds a file, by the file's digest: how an adapter's base is found."""
    return {layer.blob.digest: manifest for manifest in manifests for layer in manifest.layers}


def notices(root: Path, sources: Mapping[str, str]) -> bytes:
    """The text of NOTICES.txt.

    Args:
        root: the written layout.
        sources: where files came from, by SHA-256 in hex: ``Qwen/Qwen3-0.6B-GGUF/x.gguf at <commit>``.
    """
    index, manifests = read_layout(root)
    known = bases(manifests)
    parts = [
        f"NOTICES for {index.title} ({index.name} {index.version}), put together by {index.publisher}\n\n"
        "Everything on this stick may be passed on under the licences below. Whoever passes it on passes on this\n"
        "file too. Fieldpost itself, with installer.pyz and what that holds, is under Apache-2.0 and the licences\n"
        "inside installer.pyz."
    ]
    for manifest in manifests:
        base = known.get(manifest.annotations.get("org.fieldpost.base", ""))
        parts.append("\n".join([_RULE, *_lines(root, manifest, base, sources)]))
    return ("\n\n".join(parts) + "\n").encode()


def without_text(root: Path) -> tuple[str, ...]:
    """What a person who builds is to be told: components whose licence wants its text along, and that name none."""
    _, manifests = read_layout(root)
    return tuple(
        f"{manifest.kind}/{manifest.name} is under {', '.join(wanted)}, which wants its text to travel along, and no "
        "file of it is one. Get its LICENSE from its source and name it in notices = [...]."
        for manifest in manifests
        if (wanted := _lacks_text(manifest))
    )


def _lacks_text(manifest: Manifest) -> list[str]:
    """The licences of a component that want their text shipped, if it brings no licence or notice file at all."""
    if any(is_notice(layer.path) for layer in manifest.layers):
        return []
    conditions = judge(manifest.licence, frozenset(_all_ask(manifest, None))).conditions
    return [key for key, _ in conditions if key in WANTS_TEXT]


def _lines(root: Path, manifest: Manifest, base: Manifest | None, sources: Mapping[str, str]) -> Iterator[str]:
    yield f"{manifest.kind} {manifest.name} {manifest.version}, from {manifest.publisher}"
    yield f"  {manifest.annotations.get('org.opencontainers.image.title', manifest.name)}"
    yield f"Licence: {manifest.licence}"
    if base is not None and base.licence != manifest.licence:
        yield f"Made for {base.name}, so its licence binds too: {base.licence}"
    for key, condition in judge(
        joined(manifest.licence, base.licence if base else None), frozenset(_all_ask(manifest, base))
    ).conditions:
        where = "" if key.startswith("LicenseRef-") else f"  https://spdx.org/licenses/{key}.html"
        yield f"  {key}: {condition or 'no conditions'}.{where}"
    for layer in manifest.layers:
        source = sources.get(layer.blob.digest.removeprefix("sha256:"))
        if source is not None:
            yield f"  {layer.path} is {source}"
    if wanted := _lacks_text(manifest):
        yield f"  ATTENTION: no text of {', '.join(wanted)} came with it. Whoever passes it on should add it."
    for layer in manifest.layers:
        if is_notice(layer.path) and layer.blob.size <= _MAX_TEXT:
            yield f"\n--- {layer.path} ---"
            yield _text(root, layer)


def _all_ask(manifest: Manifest, base: Manifest | None) -> Iterator[str]:
    """Accepted or not was decided before; here every licence is to be named with what it asks for."""
    for each in (manifest, base):
        if each is not None:
            yield from each.licence.replace("(", " ").replace(")", " ").split()


def is_notice(path: str) -> bool:
    """Whether a file of a component is a licence or notice, by its name."""
    name = path.rpartition("/")[2].lower().replace("-", ".").replace("_", ".").split(".")[0]
    return name in NOTICE_FILES


def _text(root: Path, layer: Layer) -> str:
    return (root / blob_path(layer.blob.digest)).read_text(encoding="utf-8", errors="replace").strip()
