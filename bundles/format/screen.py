"""What a file is refused for by its look alone: by its first bytes, and weights by their GGUF header. Stands at the
workstation before anything is signed, and again on a box, whoever signed it.

Passing does not make a file safe: it finds broken files, the wrong ones, and those that run when they are loaded.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from bundles.format.errors import ScanRefused

TIMEOUT_S = 120
"""For one header, on the slowest box; the child ends itself after 30 s of computing."""

_REFUSED = (
    (b"PK\x03\x04", "a zip archive, as PyTorch and NumPy files are"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x80\x02", "a Python pickle, which runs code when it is loaded"),
    (b"\x80\x03", "a Python pickle, which runs code when it is loaded"),
    (b"\x80\x04", "a Python pickle, which runs code when it is loaded"),
    (b"\x80\x05", "a Python pickle, which runs code when it is loaded"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf'\x1c", "a 7z archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)

ZIPPED = frozenset({".docx", ".epub", ".ods", ".odt", ".xlsx"})
"""Documents that are zip archives by their nature."""


def refuse_dangerous(head: bytes, name: str, *, document: bool = False) -> None:
    """Refuse a file by its first bytes; four are enough for most kinds, eight for all.

    Args:
        name: of the file, for the message; what a document may be is told by its ending.
        document: whether it is one of a docpack's.

    Raises:
        ScanRefused: it is a pickle, an archive or a program.
    """
    if document and PurePosixPath(name).suffix.lower() in ZIPPED and head.startswith(b"PK\x03\x04"):
        return
    for magic, what in _REFUSED:
        if head.startswith(magic):
            raise ScanRefused(
                f"{name} is {what}.", needed="Weights come as GGUF, documents as plain text.", todo="Convert it."
            )


def gguf_facts(path: Path, name: str, *words: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """What a GGUF header says, read in a child with limits on memory and time.

    Args:
        name: how the messages call the file.
        words: what else to tell: ``layout``, ``templates``; see ``bundles.format.gguf_header``.

    Raises:
        ScanRefused: it is no well-formed GGUF file, or its header cannot be read within the limits.
    """
    with path.open("rb") as file:
        refuse_dangerous(file.read(8), name)
    program = resources.files("bundles.format").joinpath("gguf_header.py").read_bytes()
    command = [sys.executable, "-I", "-S", "-", str(path), *words]
    try:
        child = subprocess.run(  # noqa: S603 ours
            command, input=program, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ScanRefused(f"{name} took over {timeout_s:g} s to look at.", todo="Get it from its source.") from error
    if child.returncode != 0:
        said = child.stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[-1] if child.returncode == 1 and said else f"the check died with status {child.returncode}"
        raise ScanRefused(
            f"{name} is not a sound GGUF file: {why}.",
            needed="Weights come as GGUF.",
            todo="Get it again from its source, or convert it with llama.cpp.",
        )
    facts: dict[str, Any] = json.loads(child.stdout)
    return facts


def refuse_other_type(facts: Mapping[str, Any], name: str, *, adapter: bool) -> None:
    """Refuse an adapter in a model's place, and the other way round.

    Raises:
        ScanRefused: naming both types.
    """
    wanted = "adapter" if adapter else "model"
    if facts["type"] != wanted:
        raise ScanRefused(f"{name} is a GGUF of the type {facts['type']}.", needed=f"Here one of the type {wanted}.")
