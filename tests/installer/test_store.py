"""Tests of installer.store: whole blobs or none, from media that lie, rot and get pulled."""

import hashlib
import os
import random
import subprocess
import tempfile
from pathlib import Path

import pytest

from bundles.format.digest import digest_of
from bundles.format.errors import DamagedFile, MissingFile
from bundles.format.layout import blob_path
from bundles.format.manifest import Descriptor
from installer.store import Store

SEED = 20261124


@pytest.fixture
def stick(tmp_path):
    (tmp_path / "stick" / "blobs" / "sha256").mkdir(parents=True)
    return tmp_path / "stick"


@pytest.fixture
def store(tmp_path):
    (tmp_path / "home").mkdir()
    return Store(tmp_path / "home")


def put_on(stick, data):
    digest = digest_of(data)
    (stick / blob_path(digest)).write_bytes(data)
    return Descriptor(media_type="x/y", digest=digest, size=len(data))


def nothing(_size):
    pass


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 17 << 20])
def test_a_blob_of_any_size_becomes_whole_and_read_only(stick, store, size):
    blob = put_on(stick, random.Random(SEED).randbytes(size))
    told = []
    store.take(blob, stick, told.append)
    assert digest_of(store.path(blob.digest).read_bytes()) == blob.digest
    assert store.path(blob.digest).stat().st_mode & 0o777 == 0o444
    assert sum(told) == size
    assert store.missing([blob], nothing) == []


@pytest.mark.parametrize("rest", [b"", b"garbage", b"x" * (3 << 20)])
def test_a_wrong_half_file_is_not_the_sticks_fault(stick, store, tmp_path, rest):
    blob = put_on(stick, random.Random(SEED).randbytes(2 << 20))
    (tmp_path / "home" / "staging" / f"{blob.digest[7:]}.part").write_bytes(rest)
    told = []
    store.take(blob, stick, told.append)
    assert digest_of(store.path(blob.digest).read_bytes()) == blob.digest
    assert sum(told) == blob.size


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("change", ["flipped", "shorter", "longer"])
def test_other_bytes_than_the_signed_ones_leave_nothing_behind(stick, store, tmp_path, change, begun):
    data = random.Random(SEED).randbytes(2 << 20)
    blob = put_on(stick, data)
    bad = {"flipped": data[:-1] + bytes([data[-1] ^ 1]), "shorter": data[:-1], "longer": data + b"x"}[change]
    (stick / blob_path(blob.digest)).write_bytes(bad)
    part = tmp_path / "home" / "staging" / f"{blob.digest[7:]}.part"
    if begun:
        part.write_bytes(data[: 1 << 20])
    with pytest.raises(DamagedFile, match=blob.digest[7:]):
        store.take(blob, stick, nothing)
    assert not part.exists()
    assert not store.path(blob.digest).exists()


def test_every_bad_blob_is_reported_and_every_good_one_taken(stick, store):
    blobs = [put_on(stick, f"blob {n}".encode()) for n in range(6)]
    (stick / blob_path(blobs[1].digest)).unlink()
    (stick / blob_path(blobs[4].digest)).write_bytes(b"blob 5")
    refused = store.take_all(blobs, stick, nothing)
    assert [type(error) for error in refused] == [MissingFile, DamagedFile]
    assert store.missing(blobs, nothing) == [blobs[1], blobs[4]]


def test_what_is_still_to_be_written_counts_what_was_begun(stick, store, tmp_path):
    blob = put_on(stick, b"x" * 1000)
    assert store.remaining(blob, stick) == 1000
    part = tmp_path / "home" / "staging" / f"{blob.digest[7:]}.part"
    part.write_bytes(b"x" * 600)
    assert store.remaining(blob, stick) == 400
    part.write_bytes(b"x" * 2000)
    assert store.remaining(blob, stick) == 0


def test_abandoned_parts_go_and_wanted_ones_stay(store, tmp_path):
    staging = tmp_path / "home" / "staging"
    for name in ("aa", "bb"):
        (staging / f"{name}.part").touch()
    store.forget_parts(["sha256:aa"])
    assert [path.name for path in staging.iterdir()] == ["aa.part"]


@pytest.mark.needs_root
def test_a_sector_that_cannot_be_read_is_named_and_what_was_copied_is_kept(stick, store, tmp_path):
    blob = put_on(stick, b"y" * 5000)
    path = stick / blob_path(blob.digest)
    # A process's memory at address 0 gives a real input/output error.
    subprocess.run(["mount", "--bind", f"/proc/{os.getpid()}/mem", path], check=True)
    try:
        with pytest.raises(DamagedFile, match=rf"{blob.digest[7:]} cannot be read from the stick: Input/output"):
            store.take(blob, stick, nothing)
    finally:
        subprocess.run(["umount", path], check=True)
    assert (tmp_path / "home" / "staging" / f"{blob.digest[7:]}.part").exists()
    store.take(blob, stick, nothing)


def test_a_run_that_ended_just_before_the_rename_is_taken_up_by_an_ordinary_user():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        base = Path(folder)
        (base / "stick" / "blobs" / "sha256").mkdir(parents=True)
        (base / "home").mkdir()
        store = Store(base / "home")
        data = b"z" * 5000
        blob = put_on(base / "stick", data)
        part = base / "home" / "staging" / f"{blob.digest[7:]}.part"
        part.write_bytes(data)
        part.chmod(0o444)
        if os.geteuid() == 0:  # root may write to what is read-only, which would prove nothing
            assert as_nobody(base, lambda: store.take(blob, base / "stick", nothing)) == 0
        else:
            store.take(blob, base / "stick", nothing)
        assert store.path(blob.digest).read_bytes() == data


def as_nobody(base, act):
    """Give the folder to an ordinary user, act as that user in a child process, and return its exit status."""
    for path in (base, *base.rglob("*")):
        os.chown(path, 65534, 65534)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            act()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_reading_back_really_reads_from_the_medium(stick, store, tmp_path):
    """The page cache is dropped after the sync and before the second hash: seen from outside, with strace."""
    data = random.Random(SEED).randbytes(3 << 20)
    blob = put_on(stick, data)
    trace = tmp_path / "trace"
    program = (
        "import sys; from pathlib import Path; from installer.store import Store;"
        "from bundles.format.manifest import Descriptor as D;"
        f"Store(Path({str(tmp_path / 'home')!r})).take("
        f"D(media_type='x', digest={blob.digest!r}, size={blob.size}), Path({str(stick)!r}), lambda _: None)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        ["strace", "-f", "-y", "-o", trace, "-e", "trace=fsync,fadvise64,openat,rename", "python3", "-c", program],
        check=True,
        env={"PYTHONPATH": str(root), "PATH": os.environ["PATH"]},
    )
    part = f"{hashlib.sha256(data).hexdigest()}.part"
    calls = [line.split(maxsplit=1)[1].split("(")[0] for line in trace.read_text().splitlines() if part in line]
    assert calls == ["openat", "fsync", "openat", "fadvise64", "openat", "rename"], calls
