"""The kinds of components, their media types, and the names under which they are signed."""

from bundles.format.errors import FormatRefused

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
MODEL_CONFIG = "application/vnd.cncf.model.config.v1+json"
WEIGHTS = "application/vnd.cncf.model.weight.v1.raw"
OTHER_FILE = "application/vnd.cncf.model.doc.v1.raw"

KINDS = ("model", "adapter", "langpack", "docpack", "evalset", "dataset", "runtime")
CONTRIBUTED = ("adapter", "langpack", "docpack", "evalset", "dataset")
"""Kinds that headquarters may delegate to a contributor. Never a base model or anything that runs or starts a box."""
_MODEL = "application/vnd.cncf.model.manifest.v1+json"

STICK_FILES = (
    "START-HERE.txt", "NOTICES.txt", "bom.cdx.json", "install.sh", "installer.pyz", "index.json", "oci-layout",
)  # fmt: skip
"""What lies on top of a bundle beside ``blobs`` and ``tuf``; each is signed as ``stick/<name>``."""


def artifact_type(kind: str) -> str:
    """The OCI artifact type of a component's manifest."""
    return _MODEL if kind == "model" else f"application/vnd.fieldpost.{kind}.v1"


def kind_of(artifact: str) -> str:
    """The kind with this artifact type.

    Raises:
        FormatRefused: none of ours.
    """
    for kind in KINDS:
        if artifact_type(kind) == artifact:
            return kind
    raise FormatRefused(
        f"The bundle holds a component of the unknown type {artifact!r}.",
        needed=f"Known kinds are: {', '.join(KINDS)}.",
        todo="Use a newer installer, or a bundle made for this one.",
    )


def component_target(kind: str, publisher: str, name: str, version: str) -> str:
    """The name under which a component's manifest is signed."""
    return f"{kind}s/{publisher}/{name}-{version}"


def bundle_target(publisher: str, name: str, version: str) -> str:
    """The name under which a bundle's index is signed."""
    return f"bundles/{publisher}/{name}-{version}"


def component_folder(kind: str, publisher: str, name: str) -> str:
    """Where a component's files lie inside a release."""
    return f"{kind}s/{publisher}/{name}"
