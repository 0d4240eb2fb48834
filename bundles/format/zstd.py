"""A Zstandard decoder in plain Python, for deltas on a box that has nothing but Python.

Deltas are the one thing on a stick that nobody signed, so they are read by code that cannot corrupt memory: every
index is checked by Python, and the output never grows beyond the size that was signed. It is slow for dense data and
fast for what deltas are, long copies. Source: RFC 8878; the base is used as the reference implementation's
``--patch-from`` does, as the history before the first byte.
"""

from typing import Protocol

from bundles.format.zstd_entropy import (
    Fse,
    Huffman,
    ZstdError,
    backwards,
    decode_literals,
    fse_table,
    read_huffman,
    read_probabilities,
)

MAGIC = b"\x28\xb5\x2f\xfd"
MAX_BLOCK = 128 << 10


class Reader(Protocol):
    """What a compressed file must give."""

    def read(self, size: int, /) -> bytes: ...


def decode_frame(source: Reader, base: bytes | memoryview, limit: int) -> bytearray:
    """Decode one frame, with ``base`` before it.

    Args:
        base: what the encoder had as its raw-content dictionary.
        limit: bytes that may come out.

    Raises:
        ZstdError: it is not well-formed, or would give more than ``limit`` bytes.
    """
    if _exactly(source, 4) != MAGIC:
        raise ZstdError("it does not begin as a Zstandard frame")
    checksum = _frame_header(source, limit)
    frame = _Frame(base, limit)
    try:
        last = False
        while not last:
            head = int.from_bytes(_exactly(source, 3), "little")
            last, kind, size = bool(head & 1), head >> 1 & 3, head >> 3
            if kind == 3 or size > (MAX_BLOCK if kind != 1 else limit):
                raise ZstdError("a block is of an unknown kind or too long")
            if kind == 0:
                frame.put(_exactly(source, size))
            elif kind == 1:
                if size > limit - len(frame.out):
                    raise ZstdError("it gives more than it should")
                frame.put(_exactly(source, 1) * size)
            else:
                frame.block(_exactly(source, size))
        if checksum:
            _exactly(source, 4)  # of xxhash; the whole result is compared with its SHA-256 instead
    except (IndexError, ValueError) as error:
        raise ZstdError(f"it is damaged ({error})") from error
    return frame.out


def _exactly(source: Reader, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise ZstdError("it ends early")
    return data


def _frame_header(source: Reader, limit: int) -> bool:
    """Read it; whether a checksum follows the last block."""
    descriptor = _exactly(source, 1)[0]
    single, fcs = bool(descriptor & 0x20), descriptor >> 6
    if descriptor & 0x08:
        raise ZstdError("it uses reserved bits")
    if not single:
        _exactly(source, 1)  # the window: all of the base and the output is at hand anyway
    if descriptor & 3 and any(_exactly(source, (0, 1, 2, 4)[descriptor & 3])):
        raise ZstdError("it wants a trained dictionary")
    size = _exactly(source, (1 if single else 0, 2, 4, 8)[fcs])
    if size and int.from_bytes(size, "little") + (256 if fcs == 1 else 0) > limit:
        raise ZstdError("it gives more than it should")
    return bool(descriptor & 4)


# Literal lengths, match lengths: (baseline, extra bits) by code. RFC 8878, 3.1.1.3.2.1.1.
_LL = [(n, 0) for n in range(16)] + [
    (16, 1), (18, 1), (20, 1), (22, 1), (24, 2), (28, 2), (32, 3), (40, 3), (48, 4), (64, 6), (128, 7), (256, 8),
    (512, 9), (1024, 10), (2048, 11), (4096, 12), (8192, 13), (16384, 14), (32768, 15), (65536, 16),
]  # fmt: skip
_ML = [(n, 0) for n in range(3, 35)] + [
    (35, 1), (37, 1), (39, 1), (41, 1), (43, 2), (47, 2), (51, 3), (59, 3), (67, 4), (83, 4), (99, 5), (131, 7),
    (259, 8), (515, 9), (1027, 10), (2051, 11), (4099, 12), (8195, 13), (16387, 14), (32771, 15), (65539, 16),
]  # fmt: skip
_OF = [(1 << n, n) for n in range(32)]
_LL_NORM = [4, 3] + [2] * 11 + [1] * 3 + [2] * 9 + [3, 2] + [1] * 5 + [-1] * 4
_ML_NORM = [1, 4, 3, 2, 2, 2, 2, 2, 2] + [1] * 37 + [-1] * 7
_OF_NORM = [1, 1, 1, 1, 1, 1, 2, 2, 2] + [1] * 15 + [-1] * 5


class _Frame:
    """What blocks of one frame hand on to the next."""

    def __init__(self, base: bytes | memoryview, limit: int) -> None:
        self.out = bytearray()
        self._base = memoryview(base)
        self._limit = limit
        self._huffman: Huffman | None = None
        self._tables: list[Fse | None] = [None, None, None]
        self._offsets = [1, 4, 8]

    def put(self, data: bytes | bytearray | memoryview) -> None:
        if len(self.out) + len(data) > self._limit:
            raise ZstdError("it gives more than it should")
        self.out += data

    def block(self, data: bytes) -> None:
        literals, at = self._literals(data)
        count = data[at]
        at += 1
        if count >= 128:
            if count == 255:
                count = int.from_bytes(data[at : at + 2], "little") + 0x7F00
                at += 2
            else:
                count = (count - 128 << 8) + data[at]
                at += 1
        if count == 0:
            self.put(literals)
            return
        modes = data[at]
        at += 1
        for number, (codes, norm, accuracy, largest) in enumerate(
            ((_LL, _LL_NORM, 6, 9), (_OF, _OF_NORM, 5, 8), (_ML, _ML_NORM, 6, 9))
        ):
            mode = modes >> (6 - 2 * number) & 3
            if mode == 0:
                self._tables[number] = fse_table(norm, accuracy)
            elif mode == 1:
                self._tables[number] = (0, [(data[at], 0, 0)])
                at += 1
            elif mode == 2:
                found, accuracy, at = read_probabilities(data, at, largest, len(codes))
                self._tables[number] = fse_table(found, accuracy)
        self._sequences(data[at:], count, literals)

    def _sequences(self, data: bytes, count: int, literals: bytes | bytearray) -> None:
        if None in self._tables:
            raise ZstdError("it repeats a table that it never gave")
        (lb, ll), (ob, of), (mb, ml) = self._tables  # type: ignore[misc]
        bits, left = backwards(data)
        at, out = 0, self.out
        recent = self._offsets
        left -= lb
        ls = bits >> left & (1 << lb) - 1
        left -= ob
        os = bits >> left & (1 << ob) - 1
        left -= mb
        ms = bits >> left & (1 << mb) - 1
        # One big number is read from its top; now and then what is used up is cut off, or each shift would cost its
        # whole length.
        mask = (1 << left) - 1 if left > 0 else 0
        bits &= mask
        trimmed = left
        for number in range(count):
            if trimmed - left > 2048:
                bits &= (1 << left) - 1
                trimmed = left
            lcode, lbits, lnext = ll[ls]
            ocode, obits, onext = of[os]
            mcode, mbits, mnext = ml[ms]
            left -= ocode
            offset = (1 << ocode) + (bits >> left & (1 << ocode) - 1)
            mbase, mextra = _ML[mcode]
            left -= mextra
            match = mbase + (bits >> left & (1 << mextra) - 1)
            lbase, lextra = _LL[lcode]
            left -= lextra
            length = lbase + (bits >> left & (1 << lextra) - 1)
            if number + 1 < count:
                left -= lbits
                ls = lnext + (bits >> left & (1 << lbits) - 1)
                left -= mbits
                ms = mnext + (bits >> left & (1 << mbits) - 1)
                left -= obits
                os = onext + (bits >> left & (1 << obits) - 1)
            if offset > 3:
                offset -= 3
                recent[:] = offset, recent[0], recent[1]
            else:
                which = offset - 1 if length else offset
                offset = recent[which] if which < 3 else recent[0] - 1
                if which:
                    recent[:] = offset, recent[0], recent[1] if which > 1 else recent[2]
            if length:
                out += literals[at : at + length]
                at += length
                if at > len(literals):
                    raise ZstdError("it names more literals than it has")
            self._copy(offset, match)
        if left != 0:
            raise ZstdError("bits are left over")
        self.put(literals[at:])

    def _copy(self, offset: int, length: int) -> None:
        out, base = self.out, self._base
        here = len(out)
        if here + length > self._limit:
            raise ZstdError("it gives more than it should")
        if offset <= 0 or offset > here + len(base):
            raise ZstdError("it refers to what is not there")
        if offset > here:
            start = len(base) - (offset - here)
            piece = base[start : start + length]
            out += piece
            length -= len(piece)
            offset = len(out)  # what is still missing goes on at the beginning of the output
        if length:
            start = len(out) - offset
            if offset >= length:
                out += out[start : start + length]
            else:
                again = bytes(out[start:])
                out += (again * (length // offset + 1))[:length]

    def _literals(self, data: bytes) -> tuple[bytes | bytearray, int]:
        kind, form = data[0] & 3, data[0] >> 2 & 3
        if kind < 2:
            width = (1, 2, 1, 3)[form]
            size = int.from_bytes(data[:width], "little") >> (3 if width == 1 else 4)
            if size > MAX_BLOCK:
                raise ZstdError("a block has too many literals")
            if kind == 0:
                if width + size > len(data):
                    raise ZstdError("it ends early")
                return data[width : width + size], width + size
            return data[width : width + 1] * size, width + 1
        width, bits = ((3, 10), (3, 10), (4, 14), (5, 18))[form]
        head = int.from_bytes(data[:width], "little") >> 4
        size, packed = head & (1 << bits) - 1, head >> bits
        if size > MAX_BLOCK or width + packed > len(data):
            raise ZstdError("a block has too many literals")
        at, end = width, width + packed
        if kind == 2:
            self._huffman, at = read_huffman(data, at)
        if self._huffman is None:
            raise ZstdError("it repeats a tree that it never gave")
        out = bytearray()
        if form == 0:
            decode_literals(self._huffman, data[at:end], size, out)
            return out, end
        sizes = [int.from_bytes(data[at + 2 * n : at + 2 * n + 2], "little") for n in range(3)]
        at += 6
        part = (size + 3) // 4
        for number in range(4):
            stop = at + sizes[number] if number < 3 else end
            if stop > end:
                raise ZstdError("it ends early")
            decode_literals(self._huffman, data[at:stop], part if number < 3 else size - 3 * part, out)
            at = stop
        return out, end
