"""A file is replaced whole or not at all, with the mode it shall have, whatever an earlier run left behind."""

import os
from pathlib import Path

import pytest

from bundles.format.durable import replace_file, switch


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_bytes_and_mode_are_those_asked_for_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    before = os.umask(0o077)
    try:
        replace_file(path, b"new", mode=mode)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == mode
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_draft_that_was_left_or_planted_is_not_written_through(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"untouched")
    (tmp_path / "file.tmp").symlink_to(other)
    replace_file(tmp_path / "file", b"new")
    assert other.read_bytes() == b"untouched"
    assert not (tmp_path / "file").is_symlink()


def test_what_cannot_be_written_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / "file.tmp").mkdir()
    with pytest.raises(OSError, match=r"file\.tmp"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_link_is_switched_though_an_earlier_switch_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("releases/1")
    (tmp_path / "current.tmp").symlink_to("releases/9")
    switch(tmp_path / "current", "releases/2")
    assert str((tmp_path / "current").readlink()) == "releases/2"
    assert not (tmp_path / "current.tmp").is_symlink()
