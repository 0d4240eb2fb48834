"""Tests of appliance.files."""

from appliance.files import write_private


def test_a_written_file_is_private_even_over_a_public_draft(tmp_path):
    path = tmp_path / "key"
    draft = tmp_path / "key.tmp"
    draft.write_bytes(b"left by a crash, and longer than the new one")
    draft.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert not draft.exists()
