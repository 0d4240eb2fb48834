"""Argos packages are unpacked at the workstation, or refused for the reason they deserve."""

import json
import stat
import zipfile
from pathlib import Path

import pytest

from bundles.argos_package import explode
from bundles.format.errors import ScanRefused

METADATA = json.dumps({"from_code": "en", "to_code": "sw", "type": "translate"}).encode()
GOOD = {
    "translate-en_sw/metadata.json": METADATA,
    "translate-en_sw/README.md": b"# en sw\n",
    "translate-en_sw/sentencepiece.model": b"\x0a\x05pieces",
    "translate-en_sw/model/model.bin": b"\x06\x00\x00\x00weights",
    "translate-en_sw/model/config.json": b"{}",
    "translate-en_sw/model/shared_vocabulary.json": b"[]",
}


def pack(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def test_a_package_is_exploded_under_its_pair(tmp_path: Path) -> None:
    package = explode(pack(tmp_path / "a.argosmodel", GOOD), tmp_path / "out")
    assert package.pair == "en>sw"
    assert [name for name, _ in package.files] == [
        "argos/en_sw/README.md",
        "argos/en_sw/metadata.json",
        "argos/en_sw/model/config.json",
        "argos/en_sw/model/model.bin",
        "argos/en_sw/model/shared_vocabulary.json",
        "argos/en_sw/sentencepiece.model",
    ]
    assert dict(package.files)["argos/en_sw/model/model.bin"].read_bytes() == b"\x06\x00\x00\x00weights"


def with_entry(name: str, data: bytes = b"x") -> dict[str, bytes]:
    return GOOD | {name: data}


@pytest.mark.parametrize(
    ("entries", "needle"),
    [
        (with_entry("../evil.py"), "leads out"),
        (with_entry("/etc/cron.d/evil"), "leads out"),
        (with_entry("translate-en_sw/../../evil"), "leads out"),
        (with_entry("translate-en_sw\\..\\evil"), "leads out"),
        (with_entry("translate-en_sw/stanza/en.pt"), "Stanza data"),
        (with_entry("translate-en_sw/model/extra.pkl"), "no place"),
        (with_entry("translate-en_sw/run.py"), "no place"),
        (with_entry("other/README.md"), "there twice"),
        (with_entry("other/LICENSE"), "2 top folders"),
        (with_entry("translate-en_sw/model/model.bin", b"\x80\x04evil"), "pickle"),
        (with_entry("translate-en_sw/sentencepiece.model", b"PK\x03\x04zip"), "zip archive"),
        (with_entry("translate-en_sw/model/model.bin", bytes(8 << 20)), "bomb"),
        (with_entry("translate-en_sw/metadata.json", b"{}"), "metadata.json cannot be read"),
        (with_entry("translate-en_sw/metadata.json", b'{"from_code": "../x", "to_code": "sw"}'), "'../x'"),
        (with_entry("translate-en_sw/metadata.json", b'{"from_code": 7, "to_code": "sw"}'), "language 7"),
        ({k: v for k, v in GOOD.items() if "model.bin" not in k}, "lacks ['model/model.bin']"),
        ({f"top/{n}": b"" for n in range(300)}, "300 entries"),
    ],
)
def test_what_has_no_place_is_refused(tmp_path: Path, entries: dict[str, bytes], needle: str) -> None:
    package = pack(tmp_path / "a.argosmodel", entries)
    with pytest.raises(ScanRefused) as caught:
        explode(package, tmp_path / "out")
    assert needle in str(caught.value)
    assert "evil" not in [path.name for path in tmp_path.rglob("*")]


def test_a_link_is_refused(tmp_path: Path) -> None:
    package = pack(tmp_path / "a.argosmodel", GOOD)
    with zipfile.ZipFile(package, "a") as archive:
        link = zipfile.ZipInfo("translate-en_sw/LICENSE")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ScanRefused, match="link or a device"):
        explode(package, tmp_path / "out")


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
def test_a_damaged_archive_is_refused(tmp_path: Path, cut: int) -> None:
    package = pack(tmp_path / "a.argosmodel", GOOD)
    package.write_bytes(package.read_bytes()[:cut])
    with pytest.raises(ScanRefused, match="no sound zip archive"):
        explode(package, tmp_path / "out")


def test_a_flipped_byte_in_the_weights_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "a.argosmodel"
    with zipfile.ZipFile(package, "w", zipfile.ZIP_STORED) as archive:
        for name, data in GOOD.items():
            archive.writestr(name, data)
    package.write_bytes(package.read_bytes().replace(b"weights", b"weighty"))
    with pytest.raises(ScanRefused, match="CRC"):
        explode(package, tmp_path / "out")


@pytest.mark.needs_shared
def test_a_real_package(tmp_path: Path, shared: Path) -> None:
    assert explode(shared / "models/translit-ar_en-1_0.argosmodel", tmp_path).pair == "ar>en"


def test_an_entry_that_lies_before_the_file_is_refused(tmp_path: Path) -> None:
    package = pack(tmp_path / "a.argosmodel", GOOD)
    data = bytearray(package.read_bytes())
    central = data.index(b"PK\x01\x02")
    # A central directory that says it is longer than it is moves every entry's place by the difference.
    end = data.rindex(b"PK\x05\x06")
    data[end + 12 : end + 16] = (end - central).to_bytes(4, "little")
    data[end + 16 : end + 20] = (central + 1000).to_bytes(4, "little")
    package.write_bytes(data)
    with pytest.raises(ScanRefused, match="no sound zip archive"):
        explode(package, tmp_path / "out")


def test_a_stream_that_cannot_be_unpacked_is_refused(tmp_path: Path) -> None:
    package = pack(tmp_path / "a.argosmodel", GOOD | {"translate-en_sw/model/model.bin": bytes(range(256)) * 40})
    data = bytearray(package.read_bytes())
    place = data.index(b"model/model.bin") + len(b"model/model.bin")
    data[place : place + 8] = b"\xff" * 8
    package.write_bytes(data)
    with pytest.raises(ScanRefused, match="no sound zip archive"):
        explode(package, tmp_path / "out")


def test_another_compression_than_zips_own_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.argosmodel"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        for name, data in GOOD.items():
            archive.writestr(name, data)
    with pytest.raises(ScanRefused, match="packed in an unusual way"):
        explode(path, tmp_path / "out")
