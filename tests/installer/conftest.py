"""What the installer's tests share: the NGO's keys, a small signed stick, and a quiet way to install it."""

import shutil

import pytest

from installer.install import install
from tests.support.bundle_factory import make_bundle, make_keys, whole


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("ngo") / "keys")


@pytest.fixture(scope="session")
def made_stick(keys, tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("stick") / "stick", keys, components=whole())


@pytest.fixture
def stick(made_stick, tmp_path):
    return shutil.copytree(made_stick, tmp_path / "stick")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def put(keys):
    """Install quietly, with the right fingerprint at hand."""

    def confirm(found, known):
        assert found == keys.fingerprint

    return lambda stick, home: install(stick, home, confirm=confirm, progress=lambda *_: None)
