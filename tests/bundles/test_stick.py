"""A stick gets what is missing, keeps what is not ours, and must give every byte back."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from bundles.check import check_bundle
from bundles.errors import StickError
from bundles.format.errors import BundleError, DamagedFile
from bundles.format.kinds import STICK_FILES
from bundles.stick import file_system, write_stick
from installer.errors import SourceDamaged
from installer.install import install
from tests.support.bundle_factory import INSTALLER, Keys, adapter, docpack, make_bundle, make_keys, model
from tests.support.gguf import holding
from tests.support.media import exfat, fat32, from_fat, to_fat

WEIGHTS = holding(bytes(300_000))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def bundle(tmp_path: Path, keys: Keys) -> Path:
    return make_bundle(tmp_path / "one", keys, components=[model(WEIGHTS), adapter(base=WEIGHTS), docpack()])


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_an_empty_stick_becomes_the_bundle(bundle: Path, stick: Path, keys: Keys) -> None:
    receipt = write_stick(bundle, stick)
    assert tree(stick) == tree(bundle)
    assert receipt.copied_files == receipt.files == len(tree(bundle))
    assert receipt.fingerprint == keys.fingerprint
    assert receipt.installer_sha256 == hashlib.sha256(INSTALLER).hexdigest()


def test_the_second_time_nothing_is_written(bundle: Path, stick: Path) -> None:
    write_stick(bundle, stick)
    before = {p: p.stat().st_mtime_ns for p in stick.rglob("*") if p.is_file()}
    receipt = write_stick(bundle, stick)
    assert (receipt.copied_files, receipt.removed_files) == (0, 0)
    assert {p: p.stat().st_mtime_ns for p in stick.rglob("*") if p.is_file()} == before


def test_an_update_copies_what_is_new_and_removes_what_is_stale(
    bundle: Path, stick: Path, keys: Keys, tmp_path: Path
) -> None:
    write_stick(bundle, stick)
    newer = make_bundle(tmp_path / "two", keys, version="0.2.0", components=[model(WEIGHTS), docpack(version="2")])
    weights = next(p for p in (stick / "blobs/sha256").iterdir() if p.stat().st_size == len(WEIGHTS))
    written = weights.stat().st_mtime_ns
    receipt = write_stick(newer, stick)
    assert tree(stick) == tree(newer)
    assert weights.stat().st_mtime_ns == written
    assert receipt.removed_files > 0


def test_what_is_not_ours_stays(bundle: Path, stick: Path, keys: Keys, tmp_path: Path) -> None:
    foreign = {
        "photos/holiday.jpg": b"x",
        "fieldpost-sync/batch-1": b"sealed",
        "blobs/sha256/" + "0" * 64: b"another tool's",
        "blobs/sha256/notes.txt": b"mine",
        "tuf/readme.txt": b"mine",
    }
    for name, data in foreign.items():
        (stick / name).parent.mkdir(parents=True, exist_ok=True)
        (stick / name).write_bytes(data)
    write_stick(bundle, stick)
    write_stick(make_bundle(tmp_path / "two", keys, version="2", components=[model(b"other")]), stick)
    assert foreign.items() <= tree(stick).items()


def test_a_half_written_stick_is_finished(bundle: Path, stick: Path) -> None:
    write_stick(bundle, stick)
    (stick / "tuf/timestamp.json").unlink()
    (stick / "blobs/sha256/.fieldpost-0123456789abcdef.part").write_bytes(b"cut off")
    for path in list((stick / "blobs/sha256").iterdir())[:4]:
        path.unlink()
    write_stick(bundle, stick)
    assert tree(stick) == tree(bundle)


def test_a_blob_gone_bad_on_the_stick_is_written_again(bundle: Path, stick: Path) -> None:
    write_stick(bundle, stick)
    weights = next(p for p in (stick / "blobs/sha256").iterdir() if p.stat().st_size == len(WEIGHTS))
    weights.write_bytes(WEIGHTS[:-1] + b"?")
    assert write_stick(bundle, stick).copied_files == 1
    assert tree(stick) == tree(bundle)


def test_a_stick_that_lies_is_found_out(bundle: Path, stick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a medium gives back what was written while it is in memory, and something else once it is not."""
    real, dropped = os.posix_fadvise, []

    def lying(descriptor: int, offset: int, length: int, advice: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        real(descriptor, offset, length, advice)
        if stick in path.parents:
            dropped.append(path)
            if path.stat().st_size == len(WEIGHTS):
                path.write_bytes(WEIGHTS[:-1] + b"?")

    monkeypatch.setattr(os, "posix_fadvise", lying)
    with pytest.raises(StickError, match=r"does not give back what was written: .*answers\.gguf"):
        write_stick(bundle, stick)
    assert {str(p.relative_to(stick)) for p in dropped} == set(tree(stick))  # every file is read from the medium


def test_a_bad_bundle_never_reaches_the_stick(bundle: Path, stick: Path) -> None:
    weights = next(p for p in (bundle / "blobs/sha256").iterdir() if p.stat().st_size == len(WEIGHTS))
    weights.write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(DamagedFile, match=r"answers\.gguf of models/fieldpost/answers-0\.1\.0"):
        write_stick(bundle, stick)
    assert tree(stick) == {}


def test_a_bad_bundle_leaves_the_older_one_on_the_stick(bundle: Path, stick: Path, keys: Keys, tmp_path: Path) -> None:
    write_stick(bundle, stick)
    before = tree(stick)
    newer = make_bundle(tmp_path / "two", keys, version="2", components=[model(WEIGHTS + b"new"), docpack(version="2")])
    weights = next(p for p in (newer / "blobs/sha256").iterdir() if p.stat().st_size == len(WEIGHTS) + 3)
    weights.write_bytes(WEIGHTS + b"bad")
    with pytest.raises(DamagedFile, match=r"answers\.gguf of models/fieldpost/answers-0\.1\.0"):
        write_stick(newer, stick)
    assert tree(stick) == before


def test_a_folder_that_is_no_bundle_is_said(stick: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"1\.root\.json is missing"):
        write_stick(tmp_path, stick)


@pytest.mark.needs_root
def test_no_room_is_told_before_anything_is_written(bundle: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    assert os.system(f"mount -t tmpfs -o size=1M tmpfs {small}") == 0
    try:
        with pytest.raises(StickError, match="bytes free"):
            write_stick(bundle, small)
        assert list(small.iterdir()) == []
        assert file_system(small) == "tmpfs"
    finally:
        os.system(f"umount {small}")


def test_a_fat_stick_is_known_by_its_file_system(bundle: Path, stick: Path) -> None:
    device = stick.stat().st_dev
    mounts = stick.parent / "mountinfo"
    mounts.write_text(
        f"22 1 0:99 / /proc rw - proc proc rw\n"
        f"30 22 {os.major(device)}:{os.minor(device)} / {stick} rw,relatime shared:1 - vfat /dev/sdb1 rw\n"
    )
    assert file_system(stick, mounts) == "vfat"
    assert write_stick(bundle, stick, mounts=mounts).split_files == 0  # nothing here is as large as that


def test_what_is_too_large_lies_in_pieces_and_is_the_same_bundle(bundle: Path, stick: Path, keys: Keys) -> None:
    receipt = write_stick(bundle, stick, largest=100_000)
    assert receipt.split_files == 1
    name = hashlib.sha256(WEIGHTS).hexdigest()
    pieces = sorted(path.name for path in (stick / "blobs/sha256").glob(f"{name}*"))
    assert pieces == [f"{name}.{number:03}" for number in range(4)]
    checked = check_bundle(stick, keys.root.read_bytes())
    assert checked.split and checked.bytes == check_bundle(bundle, keys.root.read_bytes()).bytes
    assert write_stick(bundle, stick, largest=100_000).copied_files == 0
    home = stick.parent / "home"
    install(stick, home, confirm=lambda *_: None, progress=lambda *_: None)
    assert (home / "current/models/fieldpost/answers/answers.gguf").read_bytes() == WEIGHTS
    assert write_stick(bundle, stick).removed_files == 4
    assert tree(stick) == tree(bundle)


@pytest.mark.parametrize("harm", ["flip", "cut", "missing", "swapped", "more"])
def test_a_bad_piece_is_found(bundle: Path, stick: Path, keys: Keys, harm: str) -> None:
    write_stick(bundle, stick, largest=100_000)
    name = f"blobs/sha256/{hashlib.sha256(WEIGHTS).hexdigest()}"
    first, second = stick / f"{name}.000", stick / f"{name}.001"
    if harm == "flip":
        flip(second)
    elif harm == "cut":
        second.write_bytes(second.read_bytes()[:-1])
    elif harm == "missing":
        second.unlink()
    elif harm == "swapped":
        data = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(data)
    else:
        (stick / f"{name}.004").write_bytes(b"more")
    with pytest.raises(DamagedFile, match=name):
        check_bundle(stick, keys.root.read_bytes())
    with pytest.raises(SourceDamaged, match=name):
        install(stick, stick.parent / "home", confirm=lambda *_: None, progress=lambda *_: None)
    assert write_stick(bundle, stick, largest=100_000).copied_files == (
        0 if harm == "more" else 2 if harm == "swapped" else 1
    )
    check_bundle(stick, keys.root.read_bytes())


@pytest.mark.needs_root
def test_a_real_exfat_stick(bundle: Path, stick: Path, keys: Keys, tmp_path: Path) -> None:
    with exfat(tmp_path / "image", stick, 64 << 20):
        receipt = write_stick(bundle, stick)
        assert receipt.copied_files == len(tree(bundle)) and file_system(stick) == "fuseblk"
    with exfat(tmp_path / "image", stick):
        assert tree(stick) == tree(bundle)
        check_bundle(stick, keys.root.read_bytes())
        install(stick, tmp_path / "home", confirm=lambda *_: None, progress=lambda *_: None)
    assert (tmp_path / "home/current/models/fieldpost/answers/answers.gguf").read_bytes() == WEIGHTS


def test_a_real_fat32_stick(bundle: Path, stick: Path, keys: Keys, tmp_path: Path) -> None:
    """The kernel need not know FAT: mtools write the image and read it back."""
    write_stick(bundle, stick, largest=100_000)
    image, back = tmp_path / "image", tmp_path / "back"
    fat32(image, 64 << 20)
    back.mkdir()
    to_fat(image, stick)
    from_fat(image, back)
    assert tree(back) == tree(stick)
    assert check_bundle(back, keys.root.read_bytes()).split
    install(back, tmp_path / "home", confirm=lambda *_: None, progress=lambda *_: None)
    assert (tmp_path / "home/current/models/fieldpost/answers/answers.gguf").read_bytes() == WEIGHTS


@pytest.mark.parametrize("name", sorted(STICK_FILES))
def test_check_finds_a_flipped_byte_in_every_file_on_top(bundle: Path, keys: Keys, name: str) -> None:
    flip(bundle / name)
    with pytest.raises(BundleError) as caught:
        check_bundle(bundle, keys.root.read_bytes())
    assert name in str(caught.value)


def test_check_finds_a_flipped_byte_in_every_other_file(bundle: Path, keys: Keys) -> None:
    root = keys.root.read_bytes()
    index = json.loads((bundle / "index.json").read_bytes())
    names = {path for path in check_bundle(bundle, root).paths if "/" in path}
    assert len(names) > 12 and len(index["manifests"]) == 3
    for name in sorted(names):
        kept = (bundle / name).read_bytes()
        flip(bundle / name)
        with pytest.raises(BundleError) as caught:
            check_bundle(bundle, root)
        assert name in str(caught.value), str(caught.value)
        (bundle / name).write_bytes(kept)
    check_bundle(bundle, root)


def test_check_refuses_another_ngos_bundle(bundle: Path, tmp_path: Path) -> None:
    other = make_keys(tmp_path / "other")
    with pytest.raises(BundleError, match="fingerprint"):
        check_bundle(bundle, other.root.read_bytes())


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
