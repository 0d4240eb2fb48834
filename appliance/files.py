"""How the box writes its own small files: private, whole or not at all, and there after a power cut."""

import os
from pathlib import Path


def write_private(path: Path, data: bytes) -> None:
    """Write ``data`` so that others cannot read it and a crash leaves either the old file or the new one."""
    draft = path.with_name(path.name + ".tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # a draft left by an earlier crash keeps its old mode otherwise
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
