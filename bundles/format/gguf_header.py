"""Checks a GGUF file's header and prints what it says as JSON: run as a script, in a child that may die.

    python -I -S - FILE < gguf_header.py            what it is, and how many parameters it has
    python -I -S - FILE layout < gguf_header.py     also its counts (such as heads) and the shape of every tensor
    python -I -S - FILE templates < gguf_header.py  also its chat templates

``bundles.format.screen`` starts it, because a hostile header can make a parser hang or eat memory; it sets its own
limits first. It is read from a pipe, because on a box it lies inside installer.pyz. Passing does not make a file safe
for llama.cpp: on the box the model still runs in a process of its own.
Layout after https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Standard library only.
"""

import json
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

try:
    import resource
except ImportError:  # Windows: only the caller's limit on time is left
    resource = None  # type: ignore[assignment]

MEMORY_BYTES = 512 << 20
CPU_SECONDS = 30

MAX_KEYS = 4096
MAX_TENSORS = 65536
MAX_STRING = 1 << 20
MAX_TOKEN = 4096
MAX_ARRAY = 4_000_000
MAX_HEADER = 256 << 20

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

# ggml type number: (elements in a block, bytes of a block)
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


class MalformedError(Exception):
    """The header breaks a rule of the format or a bound of ours."""


class _Reader:
    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size

    def take(self, count: int) -> bytes:
        position = self.file.tell()
        if count > self.size - position or position + count > MAX_HEADER:
            raise MalformedError(f"the header runs past its end at byte {position}")
        return self.file.read(count)

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def string(self, limit: int) -> str:
        length = self.number("Q")
        if length > limit:
            raise MalformedError(f"a string of {length} bytes where at most {limit} are allowed")
        # Tokens may hold parts of characters; names and keys are checked where they matter.
        return self.take(length).decode("utf-8", "replace")


def read_header(file: BinaryIO, size: int) -> dict[str, Any]:
    """What the header says: architecture, type, name, parameters, tensors and the bytes that the file must have.

    Raises:
        MalformedError: naming the first broken rule.
    """
    reader = _Reader(file, size)
    if size < 24 or reader.take(4) != b"GGUF":
        raise MalformedError("it does not begin with GGUF")
    version = reader.number("I")
    if version not in (2, 3):
        raise MalformedError(f"GGUF version {version}, where 2 or 3 is known")
    tensor_count, key_count = reader.number("Q"), reader.number("Q")
    if tensor_count > MAX_TENSORS or key_count > MAX_KEYS:
        raise MalformedError(f"{tensor_count} tensors and {key_count} keys")
    values: dict[str, Any] = {}
    for _ in range(key_count):
        key = reader.string(256)
        if key in values:
            raise MalformedError(f"key {key!r} twice")
        values[key] = _value(reader, key)
    shapes, parameters, data_bytes = _tensors(reader, tensor_count, _alignment(values))
    base = -(-file.tell() // _alignment(values)) * _alignment(values)
    if base + data_bytes > size:
        raise MalformedError(f"the tensors need {base + data_bytes} bytes and the file has {size}")
    return {
        "architecture": _text(values, "general.architecture"),
        "type": _text(values, "general.type") or "model",
        "name": _text(values, "general.name"),
        "file_type": values.get("general.file_type"),
        "chat_template": isinstance(values.get("tokenizer.chat_template"), str),
        "templates": {
            key: value
            for key, value in values.items()
            if key.startswith("tokenizer.chat_template") and isinstance(value, str)
        },
        "tensors": tensor_count,
        "parameters": parameters,
        "counts": {key: value for key, value in values.items() if type(value) is int},
        "shapes": shapes,
    }


def _value(reader: _Reader, key: str) -> Any:
    kind = reader.number("I")
    if kind == _STRING:
        return reader.string(MAX_STRING)
    if kind in _SCALARS:
        return reader.number(_SCALARS[kind])
    if kind != _ARRAY:
        raise MalformedError(f"key {key!r} is of the unknown type {kind}")
    element, count = reader.number("I"), reader.number("Q")
    if count > MAX_ARRAY:
        raise MalformedError(f"key {key!r} is an array of {count} elements")
    if element == _STRING:
        for _ in range(count):
            reader.string(MAX_TOKEN)
    elif element in _SCALARS:
        reader.take(count * struct.calcsize("<" + _SCALARS[element]))
    else:
        raise MalformedError(f"key {key!r} is an array of the type {element}")
    return count


def _alignment(values: dict[str, Any]) -> int:
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 8 <= alignment <= 65536 or alignment & (alignment - 1):
        raise MalformedError(f"general.alignment is {alignment!r}")
    return alignment


def _tensors(reader: _Reader, count: int, alignment: int) -> tuple[dict[str, list[int]], int, int]:
    """Read the tensor table: shapes, fastest extent first; numbers of parameters and of data bytes, unpadded."""
    shapes: dict[str, list[int]] = {}
    parameters, end = 0, 0
    for _ in range(count):
        name = reader.string(127)
        if name in shapes:
            raise MalformedError(f"tensor {name!r} twice")
        dimensions = reader.number("I")
        if not 1 <= dimensions <= 4:
            raise MalformedError(f"tensor {name!r} has {dimensions} dimensions")
        shape = [reader.number("Q") for _ in range(dimensions)]
        elements = 1
        for extent in shape:
            elements *= extent
        if not 0 < elements <= 1 << 40:
            raise MalformedError(f"tensor {name!r} has the shape {shape}")
        shapes[name] = shape
        kind, offset = reader.number("I"), reader.number("Q")
        if kind not in _BLOCKS:
            raise MalformedError(f"tensor {name!r} is of the type {kind}, which this check does not know")
        per_block, block_bytes = _BLOCKS[kind]
        if shape[0] % per_block:
            raise MalformedError(f"tensor {name!r} has rows of {shape[0]}, not whole blocks of {per_block}")
        start = -(-end // alignment) * alignment
        if offset != start:
            raise MalformedError(f"tensor {name!r} lies at {offset}, where {start} is next")
        parameters += elements
        end = start + elements // per_block * block_bytes
    return shapes, parameters, end


def _text(values: dict[str, Any], key: str) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) else None


def main(path: str, more: str = "") -> int:
    """Print the facts as JSON, or one line of complaint and return 1."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        with Path(path).open("rb") as file:
            facts = read_header(file, Path(path).stat().st_size)
    except MalformedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    left_out = {"counts", "shapes", "templates"} - {"layout": {"counts", "shapes"}}.get(more, {more})
    facts = {key: value for key, value in facts.items() if key not in left_out}
    sys.stdout.write(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
