"""Runs ``tests/support/tuf_client`` against a repository: in this process, because most tests need many runs."""

import importlib.machinery
import importlib.util
from pathlib import Path

from tuf.api.metadata import Metadata

from tests.support.site import ROOT
from tests.support.tuf_repository import Repository

CLIENT = ROOT / "tests/support/tuf_client"


def _load():
    loader = importlib.machinery.SourceFileLoader("tuf_client", str(CLIENT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("tuf_client", loader))
    loader.exec_module(module)
    return module


main = _load().main


class Client:
    """A client that knows a repository's first root."""

    def __init__(self, folder: Path, repo: Repository, address: str) -> None:
        self.repo, self.address = repo, address
        self.metadata, self.targets = folder / "metadata", folder / "targets"
        self.metadata.mkdir()
        self.targets.mkdir()
        (folder / "initial.json").write_bytes(repo.published["root"][0])
        assert self.run("init", str(folder / "initial.json")) == 0

    def words(self, *rest: str) -> list[str]:
        return ["--metadata-dir", str(self.metadata), "--metadata-url", f"{self.address}metadata/", *rest]

    def run(self, *rest: str) -> int:
        return main(self.words(*rest))

    def refresh(self) -> int:
        self.repo.asked.clear()
        return self.run("refresh")

    def download(self, *names: str) -> int:
        self.repo.asked.clear()
        named = [word for name in names for word in ("--target-name", name)]
        where = ["--target-base-url", f"{self.address}targets/", "--target-dir", str(self.targets)]
        return self.run(*named, *where, "download")

    @property
    def trusts(self) -> dict[str, int]:
        """Role to version of what lies in the metadata folder."""
        return {
            path.stem: Metadata.from_file(str(path)).signed.version for path in sorted(self.metadata.glob("*.json"))
        }

    @property
    def files(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.targets.iterdir())]
