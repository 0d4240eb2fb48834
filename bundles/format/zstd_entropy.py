"""The two entropy codes of Zstandard, Huffman's for literals and finite state entropy for the rest: their tables, read
out of a block. Which stands where in a block is ``bundles.format.zstd``'s. Source: RFC 8878, section 4.
"""

from collections.abc import Iterator

Huffman = tuple[int, list[tuple[int, int]]]
"""Depth in bits; by the next so many bits the symbol and the bits that it uses."""
Fse = tuple[int, list[tuple[int, int, int]]]
"""Accuracy in bits; by state the symbol, the bits to read and the next state's baseline."""


class ZstdError(Exception):
    """These bytes are no frame that can be decoded."""


def backwards(data: bytes) -> tuple[int, int]:
    """A bit stream that is read from its end: as one number, and how many bits are before the marker."""
    if not data or not data[-1]:
        raise ZstdError("a bit stream has no end")
    bits = int.from_bytes(data, "little")
    left = bits.bit_length() - 1
    return bits & (1 << left) - 1, left


def decode_literals(tree: Huffman, data: bytes, count: int, out: bytearray) -> None:
    """Huffman-coded literals."""
    depth, table = tree
    bits, left = backwards(data)
    mask = (1 << depth) - 1
    bits <<= depth  # so that the last codes may look beyond the end
    left += depth
    step = 256
    for _ in range(0, count, step):
        for _ in range(min(step, count)):
            symbol, used = table[bits >> (left - depth) & mask]
            left -= used
            out.append(symbol)
        count -= step
        bits &= (1 << left) - 1 if left > 0 else 0
    if left != depth:
        raise ZstdError("bits are left over")


def read_huffman(data: bytes, at: int) -> tuple[Huffman, int]:
    """A Huffman tree's description, as a table by the next ``depth`` bits: symbol and bits used."""
    head = data[at]
    at += 1
    if head >= 128:
        count = head - 127
        packed = data[at : at + (count + 1) // 2]
        if len(packed) != (count + 1) // 2:
            raise ZstdError("it ends early")
        weights = [byte for pair in packed for byte in (pair >> 4, pair & 15)][:count]
        at += len(packed)
    else:
        weights = list(_weights(data[at : at + head]))
        if at + head > len(data):
            raise ZstdError("it ends early")
        at += head
    total = sum(1 << weight >> 1 for weight in weights)
    if not total or len(weights) > 255 or max(weights) > 11:
        raise ZstdError("a tree has no leaves or too many")
    depth = total.bit_length()
    rest = (1 << depth) - total
    if depth > 11 or rest & rest - 1:
        raise ZstdError("a tree is not whole")
    weights.append(rest.bit_length())
    table: list[tuple[int, int]] = []
    for weight in range(1, depth + 1):
        for symbol, own in enumerate(weights):
            if own == weight:
                table += [(symbol, depth + 1 - weight)] * (1 << weight - 1)
    if len(table) != 1 << depth:
        raise ZstdError("a tree is not whole")
    return (depth, table), at


def _weights(data: bytes) -> Iterator[int]:
    """A tree's weights, themselves coded in two interleaved states."""
    norm, accuracy, at = read_probabilities(data, 0, 6, 256)
    table = fse_table(norm, accuracy)[1]
    bits, left = backwards(data[at:])
    states = []
    for _ in range(2):
        left -= accuracy
        if left < 0:
            raise ZstdError("it ends early")
        states.append(bits >> left & (1 << accuracy) - 1)
    for count in range(256):
        symbol, width, following = table[states[0]]
        yield symbol
        if left < width:
            yield table[states[1]][0]
            return
        left -= width
        states = [states[1], following + (bits >> left & (1 << width) - 1)]
        if count > 254:
            break
    raise ZstdError("a tree has too many leaves")


def read_probabilities(data: bytes, at: int, largest: int, symbols: int) -> tuple[list[int], int, int]:
    """A table's probabilities: them, the accuracy, and where they end."""
    bits = int.from_bytes(data[at : at + 512], "little")
    accuracy = (bits & 15) + 5
    if accuracy > largest:
        raise ZstdError("a table is too exact")
    used, remaining = 4, (1 << accuracy) + 1
    norm: list[int] = []
    while remaining > 1:
        width = remaining.bit_length()
        value = bits >> used & (1 << width) - 1
        few = (1 << width) - 1 - remaining
        low = value & (1 << width - 1) - 1
        if low < few:
            value = low
            used += width - 1
        else:
            if value >= 1 << width - 1:
                value -= few
            used += width
        probability = value - 1
        norm.append(probability)
        remaining -= abs(probability)
        if probability == 0:
            more = 3
            while more == 3:
                more = bits >> used & 3
                used += 2
                norm += [0] * more
                if len(norm) > symbols:
                    raise ZstdError("a table has too many symbols")
    at += (used + 7) // 8
    if remaining != 1 or len(norm) > symbols or at > len(data):
        raise ZstdError("a table is not whole")
    return norm, accuracy, at


def fse_table(norm: list[int], accuracy: int) -> Fse:
    """A table of its symbols' probabilities, out of ``1 << accuracy``; -1 stands for less than one."""
    size = 1 << accuracy
    symbols = [0] * size
    high = size - 1
    for symbol, probability in enumerate(norm):
        if probability == -1:
            symbols[high] = symbol
            high -= 1
    step, position = (size >> 1) + (size >> 3) + 3, 0
    for symbol, probability in enumerate(norm):
        for _ in range(max(0, probability)):
            symbols[position] = symbol
            position = position + step & size - 1
            while position > high:
                position = position + step & size - 1
    if position:
        raise ZstdError("a table is not whole")
    following = [1 if probability == -1 else probability for probability in norm]
    table = []
    for symbol in symbols:
        state = following[symbol]
        following[symbol] += 1
        width = accuracy - state.bit_length() + 1
        table.append((symbol, width, (state << width) - size))
    return accuracy, table
