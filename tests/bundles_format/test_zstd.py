"""Our decoder against the reference implementation's encoder, and against bytes that nobody's encoder made."""

import io
import random

import pytest
import zstandard

from bundles.format.zstd import decode_frame
from bundles.format.zstd_entropy import ZstdError

WORDS = [f"{'abcdefghij'[n % 10]}{n}" for n in range(400)]


def packed(new: bytes, base: bytes = b"", level: int = 12, **more: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(level, window_log=24, **more)
    known = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None
    return zstandard.ZstdCompressor(compression_params=parameters, dict_data=known).compress(new)


def texts(rng: random.Random, kind: str, size: int) -> bytes:
    if kind == "noise":
        return rng.randbytes(size)
    if kind == "zeros":
        return bytes(size)
    if kind == "few letters":
        return bytes(rng.choices(b"abcde", k=size))
    return " ".join(rng.choices(WORDS, k=size // 4)).encode()[:size]


@pytest.mark.parametrize("level", [1, 3, 12, 19])
@pytest.mark.parametrize("kind", ["noise", "zeros", "few letters", "words"])
def test_what_the_reference_packs_comes_back(kind: str, level: int) -> None:
    rng = random.Random(f"{kind} {level}")
    for size in (0, 1, 7, 255, 256, 4_000, 131_072, 131_073, 300_000):
        new = texts(rng, kind, size)
        cut = rng.randrange(size + 1)
        for base in (b"", new[:cut] + b"an edit" + new[cut + 3 :], texts(rng, "words", 50_000)):
            data = packed(new, base, level, write_checksum=rng.random() < 0.5)
            assert decode_frame(io.BytesIO(data), base, size) == new


def test_a_stream_without_its_size_and_frames_one_after_the_other() -> None:
    new = texts(random.Random(1), "words", 400_000)
    writer = zstandard.ZstdCompressor(level=5).compressobj()
    one = b"".join(writer.compress(new[at : at + 1000]) for at in range(0, len(new), 1000)) + writer.flush()
    source = io.BytesIO(one + packed(b"second"))
    assert decode_frame(source, b"", len(new)) == new
    assert decode_frame(source, b"", 6) == b"second"
    assert source.read() == b""


def test_never_more_than_it_may_give() -> None:
    bomb = packed(bytes(1 << 26))
    assert len(bomb) < 10_000
    with pytest.raises(ZstdError, match="more than it should"):
        decode_frame(io.BytesIO(bomb), b"", 1 << 20)
    writer = zstandard.ZstdCompressor(level=5).compressobj()  # names no size, so only what comes out can tell
    unsized = writer.compress(bytes(1 << 26)) + writer.flush()
    with pytest.raises(ZstdError, match="more than it should"):
        decode_frame(io.BytesIO(unsized), b"", 1 << 20)


def test_a_thousand_changed_frames_end_in_words() -> None:
    rng = random.Random(7)
    new = texts(rng, "words", 20_000)
    base = new[:9_000] + b"edit" + new[9_100:15_000]
    whole = packed(new, base)
    refused = 0
    for _ in range(1000):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        try:
            assert len(decode_frame(io.BytesIO(bytes(data)), base, len(new))) <= len(new)
        except ZstdError:
            refused += 1
    assert refused > 300


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\x23\x01\x01\x00"])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ZstdError):
        decode_frame(io.BytesIO(data), b"", 100)
