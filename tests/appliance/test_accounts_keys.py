"""Keys of the API: made once, kept as hashes, refused once revoked."""

import pytest

from appliance.accounts.keys import Keys
from appliance.errors import ConfigError


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path / "api-keys.json")


def test_a_key_tells_its_owner_and_no_other_does(keys):
    first, second = keys.make("spreadsheet"), keys.make("tablet")
    assert [keys.owner(first), keys.owner(second)] == ["spreadsheet", "tablet"]
    for wrong in ("", first[:-1], first + "a", first.upper(), "fp-", "\ud800"):
        assert keys.owner(wrong) is None


def test_the_file_gives_no_key_away(keys, tmp_path):
    secret = keys.make("spreadsheet")
    stored = (tmp_path / "api-keys.json").read_text()
    assert secret not in stored
    assert secret.removeprefix("fp-") not in stored
    assert (tmp_path / "api-keys.json").stat().st_mode & 0o777 == 0o600


def test_revoking_ends_a_key_for_a_box_that_is_running(keys, tmp_path):
    secret = keys.make("spreadsheet")
    running = Keys(tmp_path / "api-keys.json")
    assert running.owner(secret) == "spreadsheet"
    keys.revoke("spreadsheet")
    assert running.owner(secret) is None
    keys.make("another")
    assert running.owner(secret) is None


def test_mistakes_are_named(keys, tmp_path):
    keys.make("tablet")
    with pytest.raises(ConfigError, match="There is a key named tablet"):
        keys.make("tablet")
    with pytest.raises(ConfigError, match=r"no key named phone.*There are: tablet"):
        keys.revoke("phone")
    with pytest.raises(ConfigError, match="is no name for a key"):
        keys.make("A name\n")
    (tmp_path / "api-keys.json").write_text("[]")
    with pytest.raises(ConfigError, match="make the keys anew"):
        keys.all()
