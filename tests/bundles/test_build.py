"""From a recipe to a signed bundle: whole, repeatable, and refused for the right reason at the right step."""

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bundles.build import Built, build
from bundles.errors import IndexFailed, LockError
from bundles.fetch import list_repository
from bundles.format.errors import BundleError, LicenceRefused, ScanRefused
from bundles.lock import make_lock, write_lock
from bundles.recipe import load_recipe
from bundles.trust import open_signer
from tests.support.bundle_factory import DATE, INSTALLER, PASSPHRASE, Keys, make_keys
from tests.support.gguf import gguf, lora
from tests.support.hub_double import HubDouble

RECIPE = """
[bundle]
name = "clinic"
version = "1.0.0"
publisher = "relief"
title = "Clinic guides"
languages = ["en", "sw"]
[[model]]
name = "answers"
version = "1"
licence = "MIT"
card = "answers.md"
file = "answers.gguf"
[[adapter]]
name = "steps"
version = "2"
licence = "Apache-2.0"
base = "answers"
file = "steps.gguf"
[[langpack]]
name = "en-sw"
version = "1"
licence = "CC0-1.0"
argos = ["en_sw.argosmodel"]
glossary = "terms.csv"
[[docpack]]
name = "guides"
version = "1"
licence = "CC-BY-4.0"
language = "en"
files = ["docs/*.md"]
[[evalset]]
name = "ten"
version = "1"
licence = "CC0-1.0"
file = "questions.jsonl"
"""


def write_indexer(files: Sequence[Path], *, docpack: str, language: str, out: Path, embed: Path | None = None) -> None:
    """Stands in for ``fieldpost index``, whose own tests are the box's; deterministic as it is."""
    out.write_text(f"{docpack} {language} " + " ".join(f"{f.name}:{f.read_text()}" for f in files))


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """A recipe's folder, keys and an installer, and the two commands."""

    folder: Path
    keys: Keys

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.toml"

    def lock(self) -> None:
        loaded = load_recipe(self.recipe)
        write_lock(loaded, make_lock(loaded, list_repository))

    def build(self, name: str = "out", **more: Any) -> Built:
        return build(
            self.recipe,
            **{
                "out": self.folder / name,
                "signer": open_signer(self.keys.folder, PASSPHRASE),
                "installer": self.folder / "installer.pyz",
                "cache": self.folder / "cache",
                "date": DATE,
                "indexer": write_indexer,
                **more,
            },
        )

    def change(self, old: str, new: str) -> None:
        text = self.recipe.read_text()
        assert old in text
        self.recipe.write_text(text.replace(old, new))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    files: dict[str, bytes] = {
        "recipe.toml": RECIPE.encode(),
        "answers.md": b"---\nlicense: mit\n---\n\n# Answers, a small model\n\nIt knows little.\n",
        "answers.gguf": gguf(note="answers"),
        "steps.gguf": lora(),
        "terms.csv": b"en,sw\nwater,maji\n",
        "docs/water.md": b"# Water\n",
        "docs/burns.md": b"# Burns\n",
        "questions.jsonl": b'{"question": "?"}\n',
        "installer.pyz": INSTALLER,
    }
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    with zipfile.ZipFile(tmp_path / "en_sw.argosmodel", "w") as archive:
        archive.writestr("en_sw/metadata.json", json.dumps({"from_code": "en", "to_code": "sw"}))
        archive.writestr("en_sw/model/model.bin", b"\x06\x00\x00\x00weights")
        archive.writestr("en_sw/sentencepiece.model", b"\x0a\x05pieces")
    made = Workshop(folder=tmp_path, keys=make_keys(tmp_path / "keys"))
    made.lock()
    return made


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def manifests(bundle: Path) -> dict[str, dict[str, Any]]:
    index = json.loads((bundle / "index.json").read_bytes())
    return {
        entry["annotations"]["org.opencontainers.image.ref.name"]: json.loads(
            (bundle / "blobs/sha256" / entry["digest"][7:]).read_bytes()
        )
        for entry in index["manifests"]
    }


def paths(manifest: dict[str, Any]) -> list[str]:
    return [layer["annotations"]["org.cncf.model.filepath"] for layer in manifest["layers"]]


def test_the_bundle_holds_what_the_recipe_says(workshop: Workshop) -> None:
    built = workshop.build()
    assert {p.name for p in built.folder.iterdir()} == {
        "START-HERE.txt", "NOTICES.txt", "bom.cdx.json", "install.sh", "installer.pyz", "oci-layout", "index.json",
        "blobs", "tuf",
    }  # fmt: skip
    found = manifests(built.folder)
    assert {name: paths(manifest) for name, manifest in found.items()} == {
        "models/relief/answers-1": ["README.md", "answers.gguf"],
        "adapters/relief/steps-2": ["steps.gguf"],
        "langpacks/relief/en-sw-1": [
            "argos/en_sw/metadata.json",
            "argos/en_sw/model/model.bin",
            "argos/en_sw/sentencepiece.model",
            "glossary.csv",
        ],
        "docpacks/relief/guides-1": ["burns.md", "index.sqlite", "water.md"],
        "evalsets/relief/ten-1": ["questions.jsonl"],
    }
    model = found["models/relief/answers-1"]
    weights = next(layer for layer in model["layers"] if layer["mediaType"].endswith("weight.v1.raw"))
    assert model["annotations"]["org.opencontainers.image.title"] == "Answers, a small model"
    assert found["adapters/relief/steps-2"]["annotations"]["org.fieldpost.base"] == weights["digest"]
    assert found["langpacks/relief/en-sw-1"]["annotations"]["org.fieldpost.pairs"] == "en>sw"
    assert found["docpacks/relief/guides-1"]["annotations"]["org.fieldpost.language"] == "en"
    start = (built.folder / "START-HERE.txt").read_text()
    assert "Clinic guides (clinic 1.0.0)" in start and "Linganisha" in start.replace("Ilinganishe", "Linganisha")
    assert "sha256:" + built.folder.joinpath("index.json").name not in start


def test_the_same_lock_keys_and_date_give_the_same_bytes(workshop: Workshop) -> None:
    first = tree(workshop.build("one").folder)
    assert tree(workshop.build("two").folder) == first
    assert not list(workshop.folder.glob("*.tmp")) and not list(workshop.folder.glob(".fieldpost-*"))


def test_a_newer_build_replaces_the_bundle_and_counts_on(workshop: Workshop) -> None:
    assert workshop.build().version == 1
    (workshop.folder / "docs/water.md").write_text("# Water, better\n")
    workshop.lock()
    built = workshop.build()
    assert built.version == 2
    assert not (built.folder / "tuf/1.targets.json").exists()
    assert b"# Water, better\n" in tree(built.folder).values()
    assert b"# Water\n" not in tree(built.folder).values()
    assert not (workshop.folder / "out.old").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("answers.gguf", gguf(note="others!")), ("docs/water.md", b"# Fires\n"), ("answers.md", b"# Other\n")],
)
def test_a_file_changed_since_the_lock_is_refused(workshop: Workshop, name: str, content: bytes) -> None:
    for data in (content, (workshop.folder / name).read_bytes()[:-1] + b"?"):
        (workshop.folder / name).write_bytes(data)
        with pytest.raises(LockError, match="changed since it was locked"):
            workshop.build()
    assert not (workshop.folder / "out").exists()


def test_a_changed_language_package_is_refused(workshop: Workshop) -> None:
    path = workshop.folder / "en_sw.argosmodel"
    path.write_bytes(path.read_bytes().replace(b"pieces", b"piecez"))
    with pytest.raises(LockError, match=r"en_sw\.argosmodel of langpack/en-sw has changed"):
        workshop.build()


def test_without_a_lock_nothing_is_built(workshop: Workshop) -> None:
    (workshop.folder / "recipe.lock.json").unlink()
    with pytest.raises(LockError, match="fieldpost-bundle lock"):
        workshop.build()


def test_an_adapter_must_fit_its_base(workshop: Workshop) -> None:
    (workshop.folder / "steps.gguf").write_bytes(lora("qwen3"))
    workshop.lock()
    with pytest.raises(ScanRefused, match="architecture qwen3"):
        workshop.build()


def test_what_may_not_be_passed_on_is_refused_before_anything_is_fetched(workshop: Workshop) -> None:
    workshop.change('licence = "CC0-1.0"\nargos', 'licence = "CC-BY-NC-4.0"\nargos')
    workshop.lock()
    (workshop.folder / "answers.gguf").unlink()
    (workshop.folder / "answers.gguf").write_bytes(b"gone")
    with pytest.raises(LicenceRefused, match="langpack/en-sw"):
        workshop.build()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("answers.gguf", b"PK\x03\x04 a PyTorch file"),
        ("answers.gguf", b"\x80\x04 a pickle"),
        ("docs/water.md", b"\xff\xfe not UTF-8"),
        ("terms.csv", b"PK\x03\x04 a spreadsheet"),
        ("questions.jsonl", b"\x00"),
        ("en_sw.argosmodel", b"no zip"),
    ],
)
def test_every_file_is_looked_into(workshop: Workshop, name: str, data: bytes) -> None:
    (workshop.folder / name).write_bytes(data)
    workshop.lock()
    with pytest.raises(ScanRefused):
        workshop.build()


def test_a_failed_index_fails_the_build(workshop: Workshop) -> None:
    def fail(files: Sequence[Path], *, docpack: str, language: str, out: Path, embed: Path | None = None) -> None:
        raise IndexFailed(f"docpack/{docpack}: no")

    with pytest.raises(IndexFailed):
        workshop.build(indexer=fail)
    assert not list(workshop.folder.glob("out*"))


def test_a_folder_that_is_no_bundle_is_left_alone(workshop: Workshop) -> None:
    for name in ("out", "out.tmp"):
        kept = workshop.folder / name / "thesis.txt"
        kept.parent.mkdir()
        kept.write_text("years of work")
        with pytest.raises(BundleError, match=r"holds thesis\.txt"):
            workshop.build()
        assert kept.read_text() == "years of work"
        kept.unlink()


def test_what_a_killed_build_left_is_no_obstacle(workshop: Workshop) -> None:
    whole = tree(workshop.build().folder)
    half = workshop.folder / "out.tmp"
    (half / "blobs/sha256").mkdir(parents=True)
    (half / "blobs/1234.part").write_bytes(b"cut off")
    (workshop.keys.folder / "published.json.tmp").write_text("{")
    assert tree(workshop.build().folder) == whole
    assert not half.exists()


def test_a_missing_installer_is_said(workshop: Workshop) -> None:
    with pytest.raises(BundleError, match="scripts/build"):
        workshop.build(installer=workshop.folder / "none.pyz")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    with HubDouble() as double:
        monkeypatch.setenv("HF_ENDPOINT", double.url)
        yield double


def test_a_model_from_the_hub_takes_the_same_way(workshop: Workshop, hub: HubDouble) -> None:
    data = gguf(note="x" * 4096)
    first = hub.add("org/tiny-GGUF", {"tiny.gguf": data})
    workshop.change('file = "answers.gguf"', 'hub = "org/tiny-GGUF"\nfile = "tiny.gguf"')
    workshop.lock()
    assert hub.ranges() == []  # locking fetches nothing
    hub.add("org/tiny-GGUF", {"tiny.gguf": gguf(note="y" * 4096)})  # a newer commit does not matter
    built = workshop.build()
    assert data in tree(built.folder).values()
    assert first in (workshop.folder / "recipe.lock.json").read_text()
    asked = len(hub.requests)
    hub.status = 503
    assert tree(workshop.build("offline").folder) == tree(built.folder)  # the second time from the cache alone
    assert len(hub.requests) == asked


def test_two_packages_of_one_pair_are_refused(workshop: Workshop) -> None:
    data = (workshop.folder / "en_sw.argosmodel").read_bytes()
    (workshop.folder / "again.argosmodel").write_bytes(data)
    workshop.change('["en_sw.argosmodel"]', '["en_sw.argosmodel", "again.argosmodel"]')
    workshop.lock()
    with pytest.raises(ScanRefused, match="en>sw twice"):
        workshop.build()
