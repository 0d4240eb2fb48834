"""Makes deltas: with python-zstandard at the workstation; what one is, is said in ``bundles.format.delta``."""

from pathlib import Path

import zstandard

from bundles.format.delta import SEGMENT, stretch
from bundles.format.index_delta import Beside, base_of, head, record
from bundles.format.index_file import IndexFile
from bundles.progress import byte_bar

LEVEL = 12
"""With tables as large as the data: at its default size, level 9 gave sixteen times as much."""
_MAX_LOG = 26


def make_delta(old: Path | None, new: Path, out: Path, *, most: int, label: str) -> bool:
    """Write how ``new`` follows from ``old``, or ``new`` packed; False when that takes more than ``most`` bytes.

    The same files give the same bytes, for one version of zstandard.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    old_size = old.stat().st_size if old else 0
    written = 0
    with new.open("rb") as source, out.open("wb") as delta, byte_bar(label, new.stat().st_size) as bar:
        number = 0
        while piece := source.read(SEGMENT):
            first, last = stretch(number, old_size)
            packed = _pack(piece, _read(old, first, last))
            written += len(packed)
            if written > most:
                break
            delta.write(packed)
            number += 1
            bar.update(len(piece))
    if written > most:
        out.unlink()
        return False
    return True


def make_index_delta(old: Path, new: Path, out: Path, *, beside: Beside, most: int) -> bool:
    """Write the rows by which the index ``new`` follows from ``old``; False when it cannot, or takes over ``most``.

    Args:
        beside: the documents' files in the new bundle.
    """
    try:
        with IndexFile(old) as before, IndexFile(new) as after:
            changed = [
                path
                for path in after.paths
                if path not in before.paths or after.document(path) != before.document(path)
            ]
            packed = [_pack(head(after.pack, after.paths, changed), head(before.pack, before.paths))]
            for path in changed:
                packed.append(_pack(record(after.document(path)), base_of(before, path, beside)))
    except ValueError:
        return False  # an index of another format: then its bytes are compared, as any file's
    made = b"".join(packed)
    if len(made) > most:
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(made)
    return True


def _read(old: Path | None, first: int, last: int) -> bytes:
    if old is None or first == last:
        return b""
    with old.open("rb") as file:
        file.seek(first)
        return file.read(last - first)


def _pack(piece: bytes, base: bytes) -> bytes:
    reach = len(piece) + len(base)
    log = max(10, min(_MAX_LOG, reach.bit_length()))
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, window_log=max(10, reach.bit_length()), chain_log=log, hash_log=log
    )
    known = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None
    return zstandard.ZstdCompressor(compression_params=parameters, dict_data=known).compress(piece)
