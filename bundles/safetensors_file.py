"""Reads a safetensors file within bounds, as NumPy arrays, and writes one.

The form in which PEFT and the Hub keep adapters: a JSON header and plain numbers: nothing in it can run. Format:
https://github.com/huggingface/safetensors#format
"""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundles.format.errors import ScanRefused

MAX_HEADER = 64 << 20
MAX_TENSORS = 65536
_TYPES: Mapping[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}


def read_safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """Every tensor by its name, as float32 in the shape of the file.

    Raises:
        ScanRefused: the file breaks the format, or holds a type of number that adapters do not have.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", data)
        if length > min(MAX_HEADER, len(data) - 8):
            raise ValueError(f"its header claims {length} bytes")
        header = json.loads(data[8 : 8 + length])
        if not isinstance(header, dict) or len(header) > MAX_TENSORS:
            raise ValueError("its header is no table of tensors")
        header.pop("__metadata__", None)
        body = memoryview(data)[8 + length :]
        return {name: _tensor(name, entry, body) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise ScanRefused(
            f"{path.name} is no sound safetensors file: {error}.",
            needed="PEFT's save_pretrained writes one.",
            todo="Save the adapter again.",
        ) from error


def _tensor(name: str, entry: Any, body: memoryview) -> NDArray[np.float32]:
    if entry["dtype"] not in _TYPES:
        raise ValueError(f"{name} holds {entry['dtype']!r}, where {', '.join(_TYPES)} are read")
    kind, shape, (start, end) = _TYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    if not all(type(extent) is int and 0 < extent < 1 << 31 for extent in shape) or len(shape) > 8:
        raise ValueError(f"{name} has the shape {shape}")
    if type(start) is not int or type(end) is not int or not 0 <= start <= end <= len(body):
        raise ValueError(f"{name} lies outside the file")
    if end - start != math.prod(shape) * kind.itemsize:
        raise ValueError(f"{name} has {end - start} bytes, which is not its shape {shape}")
    raw = np.frombuffer(body[start:end], dtype=kind)
    if entry["dtype"] == "BF16":
        # The upper half of a float32.
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    values: NDArray[np.float32] = raw.astype(np.float32).reshape(shape)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds infinities or no numbers, so the training went wrong")
    return values


def safetensors(tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Tensors as the bytes of a file, in their order."""
    header: dict[str, object] = {}
    body = b""
    for name, values in tensors.items():
        data = values.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + body
