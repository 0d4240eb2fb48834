"""Tests of appliance.config: the site's settings are read strictly."""

import pytest

from appliance.config import Config, Home, load_config
from appliance.errors import ConfigError


def write(tmp_path, text):
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    return Home(root=tmp_path)


def test_without_a_file_every_key_has_its_default(tmp_path):
    assert load_config(Home(root=tmp_path)) == Config()


def test_given_keys_replace_the_defaults(tmp_path):
    config = load_config(write(tmp_path, '[engine]\ncontext = 512\n[safety]\nphone_regions = ["NG"]\n'))
    assert config.engine.context == 512
    assert config.engine.max_tokens == Config().engine.max_tokens
    assert config.safety.phone_regions == ("NG",)


def test_a_price_may_be_whole_or_have_a_fraction(tmp_path):
    config = load_config(write(tmp_path, "[cost]\ngrid = 0.25\nhardware = 300\n"))
    assert (config.cost.grid, config.cost.hardware) == (0.25, 300.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[engines]\n", "unknown keys: engines"),
        ("[engine]\ncontxt = 1\n", "unknown keys: contxt"),
        ('[engine]\ncontext = "many"\n', "context is 'many'"),
        ("[engine]\ncontext = -1\n", "whole number from 128"),
        ("[engine]\ncontext = true\n", "context is True"),
        ("[engine]\nmax_tokens = 0\n", "whole number from 8"),
        ("[cost]\nwatts = -1\n", "watts is -1. A number from 0 is needed"),
        ("[cost]\nwatts = nan\n", "A number from 0 is needed"),
        ("[cost]\ngrid = inf\n", "A number from 0 is needed"),
        ("[cost]\nquestions = 1.5\n", "A whole number from 1"),
        ("[knowledge]\npassages = 0\n", "whole number from 1"),
        ('[safety]\nphone_regions = ["kenya"]\n', "A list such as"),
        ('[safety]\nshare = "all"\n', 'share is \'all\'. One of these is needed: "text", "metrics", "nothing"'),
        ("[safety]\nshare = []\n", "One of these is needed"),
        ('[upstream]\nurl = "10.0.0.5:8000"\n', 'One such as "http://10.0.0.5:8000/v1" is needed'),
        ('[upstream]\nadapters = ["steps"]\n', 'A list such as \\["steps=site-steps"\\]'),
        ("[upstream]\nurl = 3\n", "url is 3"),
        ("engine = 3\n", "A table is needed"),
        ("[safety]\nphone_regions = [1]\n", "A list such as"),
        ("[engine\n", "not readable as TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, text))


def test_a_mistyped_home_is_told_in_words(tmp_path):
    with pytest.raises(ConfigError, match="There is no folder"):
        Home(root=tmp_path / "mistyped").prepare_data()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made"):
        Home(root=tmp_path / "file").prepare_data()


def test_the_boxs_own_data_is_private(tmp_path):
    home = Home(root=tmp_path)
    home.prepare_data()
    assert home.data.stat().st_mode & 0o777 == 0o700
