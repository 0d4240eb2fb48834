"""Looks into every file before it is signed: is it what its place in the recipe says, and nothing that can run?

Weights are GGUF and nothing else; documents are text, PDF, or office files, which ``fieldpost index`` then reads in a
limited child; every other file is plain UTF-8 text. Pickles, and archives that may hold some, have no place. Argos
packages are ``bundles.argos_package``'s. What a box looks at again is ``bundles.format.screen``'s.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bundles.foreign_weights import refuse_by_header
from bundles.format.errors import ScanRefused
from bundles.format.screen import TIMEOUT_S, ZIPPED, gguf_facts, refuse_dangerous, refuse_other_type

MAX_TEXT_BYTES = 32 << 20

LIMITED = importlib.util.find_spec("resource") is not None
"""Whether this system limits a child's memory and writing. Windows does not: there a hostile header is held by time
alone, and whoever checks files there is told so."""

_NO_TEXT = ZIPPED | {".pdf", ".xls", ".zim", ".htm", ".html", ".xhtml"}
"""Documents that need not be UTF-8 text: web pages may name another encoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFacts:
    """What a GGUF header says of itself."""

    architecture: str
    type: str
    """``model``, or ``adapter`` for a LoRA."""
    parameters: int
    chat_template: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufLayout:
    """What an adapter must fit to."""

    architecture: str
    counts: Mapping[str, int]
    """Its whole-number keys, such as ``llama.attention.head_count``."""
    shapes: Mapping[str, tuple[int, ...]]
    """Tensor name to extents, in NumPy's order: (out, in) for a linear map."""


def scan_weights(path: Path, *, adapter: bool) -> GgufFacts:
    """Check a model's or adapter's weights in a child with limits on memory and time.

    Raises:
        ScanRefused: it is no well-formed GGUF file, or an adapter stands for a model or the other way round.
    """
    refuse_by_header(path)
    facts = gguf_facts(path, path.name, "templates")
    _refuse_nameless(facts, path)
    _check_templates(facts["templates"], path)
    refuse_other_type(facts, path.name, adapter=adapter)
    return GgufFacts(
        architecture=facts["architecture"],
        type=facts["type"],
        parameters=facts["parameters"],
        chat_template=facts["chat_template"],
    )


def _check_templates(templates: Mapping[str, str], path: Path) -> None:
    """Render a model's chat templates once, in a child with limits on memory and time."""
    if not templates:
        return
    command = [sys.executable, "-I", str(Path(__file__).with_name("chat_template.py"))]
    try:
        child = subprocess.run(  # noqa: S603 ours
            command, input=json.dumps(templates).encode(), capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ScanRefused(f"The chat template of {path.name} never ends.", todo="Do not use this model.") from error
    if child.returncode != 0:
        said = child.stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[-1] if child.returncode == 1 and said else "it took too much time or memory, and its check was ended"
        raise ScanRefused(
            f"The chat template of {path.name} cannot be used: {why}.",
            needed="It must make a prompt of an ordinary conversation, within small limits.",
            todo="Get the model from another source, or have its template mended.",
        )


def read_layout(path: Path) -> GgufLayout:
    """The shapes in a model's weights, read in the same child.

    Raises:
        ScanRefused: it is no well-formed GGUF file.
    """
    facts = gguf_facts(path, path.name, "layout")
    _refuse_nameless(facts, path)
    return GgufLayout(
        architecture=facts["architecture"],
        counts=facts["counts"],
        shapes={name: tuple(reversed(shape)) for name, shape in facts["shapes"].items()},
    )


def scan_split(paths: Sequence[Path]) -> GgufFacts:
    """Check a model's weights, in one file or in pieces; the facts are of the whole.

    Raises:
        ScanRefused: as ``scan_weights``; or a piece is not the one that its place is for.
    """
    facts = scan_weights(paths[0], adapter=False)
    for number, path in enumerate(paths):
        counts = gguf_facts(path, path.name, "layout")["counts"]
        found = (counts.get("split.no", 0), counts.get("split.count", 0) or 1)
        if found != (number, len(paths)):
            raise ScanRefused(
                f"{path.name} is piece {found[0] + 1} of {found[1]} of its model.",
                needed=f"Piece {number + 1} of {len(paths)} is needed here.",
                todo="Name the first piece as it was published, ...-00001-of-....gguf; the others are found by name.",
            )
    more = sum(gguf_facts(path, path.name)["parameters"] for path in paths[1:])
    return replace(facts, parameters=facts.parameters + more)


def _refuse_nameless(facts: Mapping[str, Any], path: Path) -> None:
    if not facts["architecture"]:
        raise ScanRefused(f"{path.name} names no architecture.", todo="Convert it again with llama.cpp.")


def scan_document(path: Path) -> None:
    """Check a docpack's document by its ending and first bytes; that it can be read is shown by indexing it.

    Raises:
        ScanRefused: it is a program or an archive, or a text that is not UTF-8.
    """
    suffix = path.suffix.lower()
    if suffix not in _NO_TEXT:
        scan_text(path)
        return
    with path.open("rb") as file:
        refuse_dangerous(file.read(8), path.name, document=True)


def scan_text(path: Path) -> str:
    """Check a card, document, glossary or question file, and return its text.

    Raises:
        ScanRefused: it is not plain UTF-8 text, or far too long for one.
    """
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise ScanRefused(f"{path.name} has {size:,} bytes.", needed=f"Texts have at most {MAX_TEXT_BYTES:,}.")
    data = path.read_bytes()
    refuse_dangerous(data[:8], path.name)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ScanRefused(f"{path.name} is not UTF-8 text: {error}.", todo="Save it as UTF-8 text.") from error
    if "\x00" in text:
        raise ScanRefused(f"{path.name} holds NUL bytes, so it is no text.", todo="Save it as UTF-8 text.")
    return text
