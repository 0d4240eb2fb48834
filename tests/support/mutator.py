"""Spoils bytes, JSON and zip archives, at random and as an attacker would; the same numbers give the same."""

import io
import json
import random
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

NASTY_NUMBERS = (-1, 0, 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64, 2**200, 1e308, -0.5)
NASTY_TEXTS = (
    "", " ", "..", "../../escaped", "/tmp/fieldpost-escaped", "C:\\escaped", "a\x00b", "a\nb", "\u202e", "\ud800",
    "x" * 5000, "models/../stick/installer.pyz", "sha256:" + "0" * 64, "SHA256:" + "A" * 64, "con", "a" * 300, "%2e%2e",
)  # fmt: skip


def spoil_bytes(data: bytes, rng: random.Random) -> bytes:
    """One or a few changes somewhere: bits, lengths, ends, doubled and lost pieces."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        out = rng.choice(_BYTES)(out or bytearray(b"\0"), rng)
    return bytes(out)


def spoil_json(data: bytes, rng: random.Random) -> bytes:
    """The same JSON with something in it replaced, left out, doubled, nested or spelt otherwise."""
    if rng.random() < 0.25:
        return spoil_bytes(data, rng)
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _spoil_value(value, rng)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.1:
        text = rng.choice((text + " ", "\ufeff" + text, text.replace(":", ": ", 1), text + text, "[" * 3000 + text))
    return text.encode("utf-8", "surrogatepass")


def spoil_zip(data: bytes, rng: random.Random) -> bytes:
    """The same archive with hostile entries, or with bytes changed."""
    if rng.random() < 0.5:
        return spoil_bytes(data, rng)
    made = io.BytesIO()
    with (
        warnings.catch_warnings(action="ignore"),  # zipfile warns of names that stand twice; that is the point
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        entries = [(info, old.read(info)) for info in old.infolist()]
        for info, content in entries:
            if rng.random() < 0.1:
                continue
            renamed = zipfile.ZipInfo(info.filename)
            renamed.compress_type = zipfile.ZIP_BZIP2 if rng.random() < 0.03 else zipfile.ZIP_DEFLATED
            if rng.random() < 0.2:
                _spoil_entry(renamed, rng)
            if rng.random() < 0.15:
                content = rng.choice((b"", b"\x80\x04pickle", bytes(3_000_000), spoil_bytes(content, rng)))
            new.writestr(renamed, content)
        if rng.random() < 0.3:
            extra = zipfile.ZipInfo("x")
            _spoil_entry(extra, rng)
            new.writestr(extra, b"extra")
    out = made.getvalue()
    return spoil_bytes(out, rng) if rng.random() < 0.2 else out


def spoil_card(data: bytes, rng: random.Random) -> bytes:
    """The same card with hostile front matter, or with bytes changed."""
    if rng.random() < 0.5:
        return spoil_bytes(data, rng)
    front = rng.choice(_FRONT_MATTER)(rng)
    body = data.decode().rpartition("\n---\n")[2]
    return (
        spoil_bytes(f"---\n{front}\n---\n{body}".encode(), rng)
        if rng.random() < 0.3
        else (f"---\n{front}\n---\n{body}".encode())
    )


def _aliases(rng: random.Random) -> str:
    """Each line twice the one before."""
    depth = rng.randint(2, 60)
    lines = [f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]" for n in range(depth)]
    return "\n".join(["a0: &a0 x", *lines, f"license: *a{depth}", f"language: *a{depth}"])


def _merges(rng: random.Random) -> str:
    depth = rng.randint(2, 60)
    lines = [f"m{n + 1}: &m{n + 1}\n  <<: [*m{n}, *m{n}]" for n in range(depth)]
    return "\n".join(["m0: &m0 {license: mit}", *lines])


def _odd_values(rng: random.Random) -> str:
    return "\n".join(
        f"{key}: {rng.choice(_ODD_YAML)}"
        for key in ("license", "language", rng.choice(("tags", "? [a]", "!!binary x")))
    )


_ODD_YAML = (
    "!!python/object/apply:os.system [id]", "&a [*a]", "1" * 9000, "2026-99-99", "[" * 500, "{" * 200 + "}" * 200,
    "!!set {a}", "0x" + "f" * 9000, ".inf", "!!timestamp x", "'" + "x" * 15_000, "|\n  x", "*nothing", "%TAG ! x",
    "!<!> x", "=", "<<",
)  # fmt: skip
_FRONT_MATTER = (_aliases, _merges, _odd_values, _odd_values)


def _spoil_entry(info: zipfile.ZipInfo, rng: random.Random) -> None:
    top, _, rest = info.filename.partition("/")
    info.filename = rng.choice(
        (
            f"../../{rest or 'escaped'}", f"/tmp/fieldpost-escaped/{rest}", f"{top}/../../{rest}", f"{top}\\..\\{rest}",
            f"{top}/{rest}", f"{top}/stanza/x.pt", f"{top}/model/{'d/' * 200}x", f"{top}2/{rest}",
            f"{top}/{rest.upper()}",
            "/", "", f"{top}/metadata.json", f"{top}/metadata.json/x", f"{top}/model",
        )
    )  # fmt: skip
    if rng.random() < 0.3:
        kind = rng.choice((stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR))
        info.external_attr = (kind | 0o777) << 16


def _spoil_value(value: Any, rng: random.Random) -> Any:
    """Walk to a random place and change what is there."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        how = rng.random()
        if how < 0.12:
            return {k: v for k, v in value.items() if k != key}
        if how < 0.2:
            return {**value, rng.choice(NASTY_TEXTS): value[key]}
        return {**value, key: _spoil_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        how = rng.random()
        if how < 0.15:
            return value[:place] + value[place + 1 :]
        if how < 0.3:
            return [*value, value[place]]
        return [*value[:place], _spoil_value(value[place], rng), *value[place + 1 :]]
    return rng.choice(
        (
            None, True, [], {}, [value], {"a": value}, rng.choice(NASTY_NUMBERS), rng.choice(NASTY_TEXTS),
            f"{value}{rng.choice(NASTY_TEXTS)}", value[::-1] if isinstance(value, str) else [[[[value]]]],
        )
    )  # fmt: skip


def _flip(data: bytearray, rng: random.Random) -> bytearray:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _cut(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


def _insert(data: bytearray, rng: random.Random) -> bytearray:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.randbytes(rng.choice((1, 4, 64))) + data[place:]


def _lose(data: bytearray, rng: random.Random) -> bytearray:
    place = rng.randrange(len(data))
    return data[:place] + data[place + rng.choice((1, 8, 100)) :]


def _double(data: bytearray, rng: random.Random) -> bytearray:
    place = rng.randrange(len(data))
    return data[:place] + data[max(0, place - 64) :]


def _number(data: bytearray, rng: random.Random) -> bytearray:
    code = rng.choice(("<I", "<Q", ">I", "<H"))
    size = struct.calcsize(code)
    place = rng.randrange(max(1, len(data) - size))
    most = (1 << 8 * size) - 1
    data[place : place + size] = struct.pack(code, rng.choice((0, 1, most, most >> 1, rng.randint(0, most))))
    return data


def _blank(data: bytearray, rng: random.Random) -> bytearray:
    place = rng.randrange(len(data))
    size = min(rng.choice((4, 16, 256)), len(data) - place)
    data[place : place + size] = bytes([rng.choice((0, 0xFF, 0x20))]) * size
    return data


_BYTES: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    _flip, _flip, _cut, _insert, _lose, _double, _number, _number, _blank,
)  # fmt: skip
