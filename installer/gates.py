"""The gates that need a file's bytes, kept by the box itself: a signature says who, not what.

Weights must be sound GGUF of their kind, and nothing else may be a pickle, an archive or a program. Licences are
judged with the signatures. Chat templates are tried at the build only: that needs jinja2, and a bare box has none.
"""

from collections.abc import Callable
from pathlib import Path

from bundles.format.errors import ScanRefused
from bundles.format.kinds import WEIGHTS
from bundles.format.manifest import Layer, Manifest
from bundles.format.screen import gguf_facts, refuse_dangerous, refuse_other_type
from bundles.format.verify import VerifiedBundle
from installer.store import Store


def refuse_unsound(bundle: VerifiedBundle, store: Store, progress: Callable[[int, int], None]) -> None:
    """Look into every file of a bundle whose blobs are all in the store; what is refused is not kept.

    Args:
        progress: told how many files were looked into, and of how many.

    Raises:
        ScanRefused: naming the component, the file and the reason.
    """
    files = [(part.manifest, layer) for part in bundle.components for layer in part.manifest.layers]
    for number, (manifest, layer) in enumerate(files, start=1):
        try:
            _look_into(store.path(layer.blob.digest), manifest, layer)
        except ScanRefused as error:
            store.drop(layer.blob)
            raise ScanRefused(
                f"{manifest.kind}/{manifest.name} of {manifest.publisher} cannot be used: {error.found}",
                needed="A box looks into what it is given, whoever signed it.",
                todo="The release in use stays. Send this message to your organisation and ask for another stick.",
            ) from error
        progress(number, len(files))


def _look_into(path: Path, manifest: Manifest, layer: Layer) -> None:
    if layer.blob.media_type == WEIGHTS or layer.path.lower().endswith(".gguf"):
        refuse_other_type(gguf_facts(path, layer.path), layer.path, adapter=manifest.kind == "adapter")
    elif manifest.kind != "runtime":  # a tar of programs by its nature, and signed by headquarters alone
        with path.open("rb") as file:
            refuse_dangerous(file.read(8), layer.path, document=manifest.kind == "docpack")
