"""What tests share: the demo site, made once with the real commands; the shared models; who may make namespaces."""

import os
from pathlib import Path

import pytest

from tests.support.site import ROOT, Site, installed_demo

SHARED = ROOT.parent / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("needs_shared") and not (SHARED / "models").is_dir():
            item.add_marker(pytest.mark.skip(reason="needs the shared models and data beside the project"))
        if item.get_closest_marker("needs_root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root, to make a network namespace or a mount"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared models and data; for tests marked ``needs_shared``."""
    return SHARED


@pytest.fixture(scope="session")
def demo_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A box with the demo bundle, installed from a stick. Tests share it: they ask and read, and change no release."""
    return installed_demo(tmp_path_factory.mktemp("demo"))
