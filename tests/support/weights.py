"""A GGUF written again with its weights in F32: to merge into, or to quantize from."""

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np


def weights_of(path: Path) -> dict[str, np.ndarray]:
    """Every tensor by its name, unpacked."""
    return {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}


def in_f32(source: Path, target: Path, weights: Mapping[str, np.ndarray] | None = None) -> Path:
    """``source`` with all its keys, and its own weights or these, in F32."""
    reader = gguf.GGUFReader(source)
    out = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for key, value in reader.fields.items():
        if not key.startswith("GGUF.") and key not in ("general.architecture", "general.file_type"):
            sub = value.types[1] if len(value.types) > 1 else None
            out.add_key_value(key, value.contents(), value.types[0], sub_type=sub)
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, values in (weights or weights_of(source)).items():
        out.add_tensor(name, np.ascontiguousarray(values, dtype=np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return target
