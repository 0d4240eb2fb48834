"""GGUF files of a few hundred bytes, well-formed or broken on purpose. Written out of the format's description."""

import struct
from collections.abc import Mapping, Sequence


def string(text: str) -> bytes:
    """A GGUF string."""
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def key(name: str, value: str | int | list[str]) -> bytes:
    """One key with its value: a string, a u32 or an array of strings."""
    if isinstance(value, str):
        return string(name) + struct.pack("<I", 8) + string(value)
    if isinstance(value, int):
        return string(name) + struct.pack("<II", 4, value)
    return string(name) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(string, value))


def tensor(name: str, shape: Sequence[int], kind: int, offset: int) -> bytes:
    """One row of the tensor table."""
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def gguf(
    keys: Mapping[str, str | int | list[str]] | None = None, *, tensors: int = 2, version: int = 3, note: str = ""
) -> bytes:
    """A sound little file: F32 tensors of 8 elements. ``note`` makes it another file of the same kind."""
    head = {"general.architecture": "llama", "general.note": note or "-", **(keys or {})}
    table = b"".join(tensor(f"t{number}", (4, 2), 0, number * 32) for number in range(tensors))
    data = b"GGUF" + struct.pack("<IQQ", version, tensors, len(head))
    data += b"".join(key(name, value) for name, value in head.items()) + table
    return data + bytes(-len(data) % 32) + bytes(32 * tensors)


def head_for(size: int, keys: Mapping[str, str] | None = None) -> bytes:
    """What comes before ``size`` bytes of any data to make a sound file of one tensor; equally long for every size."""
    head = {"general.architecture": "llama", **(keys or {})}
    data = b"GGUF" + struct.pack("<IQQ", 3, 1, len(head))
    data += b"".join(key(name, value) for name, value in head.items()) + tensor("t", (size,), 24, 0)
    return data + bytes(-len(data) % 32)


def holding(data: bytes, keys: Mapping[str, str] | None = None) -> bytes:
    """A sound file around any bytes but none."""
    return head_for(len(data), keys) + data


def lora(architecture: str = "llama", note: str = "") -> bytes:
    """An adapter of the same kind."""
    return gguf({"general.architecture": architecture, "general.type": "adapter", "adapter.type": "lora"}, note=note)
