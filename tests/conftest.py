"""What tests share: the demo site, made once with the real commands; the shared models; who may make namespaces."""

import os
from pathlib import Path

# Words that a language lacks show as ⟦English⟧ in every page that a test looks at. Before anything reads it.
os.environ.setdefault("FIELDPOST_MARK_MISSING", "1")

import hypothesis
import pytest

from tests.support.site import ROOT, Site, installed_demo

SHARED = ROOT.parent / "shared"

# The same examples every time, so that a red run says something about the change; and no clock, which knows only how
# busy the machine is. FIELDPOST_EXPLORE=1 looks at new ones.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("explore" if os.environ.get("FIELDPOST_EXPLORE") else "same")


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
