"""Files that were damaged or made to harm: a sound one with something changed, most of it where lengths are written."""

import random
import struct

_HEAD = 4096
_LENGTHS = (0, 1, 0x7F, 0xFF, 1 << 16, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def damaged(sound: bytes, seed: object) -> bytes:
    """Another version of ``sound``, the same for the same seed."""
    rng = random.Random(str(seed))
    raw = bytearray(sound)
    for _ in range(rng.choice((1, 1, 2, 8))):
        _change(raw, rng)
    return bytes(raw)


def _change(raw: bytearray, rng: random.Random) -> None:
    head = min(_HEAD, len(raw))
    at = rng.randrange(head) if rng.random() < 0.8 else rng.randrange(len(raw))
    match rng.randrange(7):
        case 0:
            raw[at] ^= 1 << rng.randrange(8)
        case 1:
            raw[at : at + 8] = struct.pack("<Q", rng.choice(_LENGTHS))
        case 2:
            raw[at : at + 4] = struct.pack("<I", rng.choice(_LENGTHS) & 0xFFFFFFFF)
        case 3:
            raw[at : at + rng.randrange(1, 64)] = rng.randbytes(rng.randrange(64))
        case 4:
            del raw[max(32, at) :]
        case 5:
            other = rng.randrange(head)
            raw[at : at + 16], raw[other : other + 16] = raw[other : other + 16], raw[at : at + 16]
        case 6:
            raw[at : at + 32] = raw[at : at + 32] * 2
