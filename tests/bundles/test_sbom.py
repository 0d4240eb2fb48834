"""NOTICES.txt and the ML-BOM name exactly what travels, are signed, and the same bytes for the same bundle."""

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from bundles.check import check_bundle
from bundles.notices import is_notice, without_text
from tests.support.bundle_factory import Keys, adapter, docpack, make_bundle, make_keys, model, part, sound, whole

CARD = b"""# A small model

## Intended use
First answers from clinic guides.

## Limits
It does not know today's date.

## Training
Secret sauce.
"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("ngo") / "keys")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Path:
    answers = part("model", "answers", {"answers.gguf": sound(b"GGUF weights"), "README.md": CARD}, licence="MIT")
    guides = part(
        "docpack", "guides", {"a.md": b"# A\n", "index.sqlite": b"i", "NOTICE": "© Étoile\n".encode()},
        licence="CC-BY-SA-4.0", publisher="partner", annotations={"org.fieldpost.language": "en"},
    )  # fmt: skip
    components = [answers, *whole()[1:3], guides, whole()[4]]
    return make_bundle(tmp_path_factory.mktemp("made") / "bundle", keys, components=components)


@pytest.fixture(scope="module")
def bom(bundle: Path) -> dict:
    return json.loads((bundle / "bom.cdx.json").read_bytes())


def test_it_is_cyclonedx(bundle: Path) -> None:
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str((bundle / "bom.cdx.json").read_text())
    assert problem is None, problem


def test_it_names_every_component_and_file_with_its_digest(bundle: Path, bom: dict, keys: Keys) -> None:
    checked = check_bundle(bundle, keys.root.read_bytes())
    assert [c["bom-ref"] for c in bom["components"]] == [c.target for c in checked.components]
    told = {h["content"] for c in bom["components"] for f in c["components"] for h in f["hashes"]}
    blobs = {path.rpartition("/")[2] for path in checked.paths if path.startswith("blobs/")}
    assert told <= blobs and len(told) > 8
    types = {c["name"]: c["type"] for c in bom["components"]}
    assert types == {
        "answers": "machine-learning-model",
        "steps": "machine-learning-model",
        "en-sw": "machine-learning-model",
        "guides": "data",
        "ten": "data",
    }


def test_the_model_card_says_what_the_card_says_and_no_more(bom: dict) -> None:
    card = bom["components"][0]["modelCard"]
    assert card["considerations"] == {
        "useCases": ["First answers from clinic guides."],
        "technicalLimitations": ["It does not know today's date."],
    }
    assert "sauce" not in json.dumps(bom)
    assert bom["components"][2]["modelCard"]["modelParameters"]["task"] == "translation"


def test_an_adapter_depends_on_its_base(bom: dict) -> None:
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in bom["dependencies"]}
    assert needs["adapters/fieldpost/steps-0.1.0"] == ["models/fieldpost/answers-0.1.0"]
    assert len(needs["bundle"]) == 5


def test_the_notices_name_licences_conditions_and_what_came_with_them(bundle: Path) -> None:
    text = (bundle / "NOTICES.txt").read_text()
    assert "model answers 0.1.0, from fieldpost\n  answers\nLicence: MIT" in text
    assert "MIT: its copyright line and its text travel with it." in text
    assert "https://spdx.org/licenses/CC-BY-SA-4.0.html" in text
    assert "--- NOTICE ---\n© Étoile" in text
    assert "Made for answers, so its licence binds too: MIT" in text


def test_a_licence_that_wants_its_text_along_and_brings_none_is_named(keys: Keys, tmp_path: Path) -> None:
    components = [
        part("model", "bare", {"bare.gguf": b"x"}, licence="MIT"),
        part("model", "good", {"good.gguf": b"y", "LICENSE": "© Étoile\n".encode()}, licence="MIT"),
        part("evalset", "either", {"q.jsonl": b"{}"}, licence="BSD-3-Clause AND (MIT OR CC0-1.0)"),
        part("evalset", "named", {"q.jsonl": b"{}"}, licence="CC-BY-4.0"),
    ]
    bundle = make_bundle(tmp_path / "bundle", keys, components=components)
    told = without_text(bundle)
    assert [line.split(", which")[0] for line in told] == [
        "model/bare is under MIT",
        "evalset/either is under BSD-3-Clause",
    ]
    assert all("notices = [...]" in line for line in told)
    notices = (bundle / "NOTICES.txt").read_text()
    assert notices.count("ATTENTION") == 2
    assert "ATTENTION: no text of MIT came with it." in notices


def test_both_are_the_same_for_the_same_bundle_and_signed(keys: Keys, tmp_path: Path) -> None:
    made = [make_bundle(tmp_path / str(n), keys, components=[model(), adapter(), docpack()]) for n in range(2)]
    for name in ("NOTICES.txt", "bom.cdx.json"):
        assert (made[0] / name).read_bytes() == (made[1] / name).read_bytes()
        path = made[0] / name
        whole_text = path.read_bytes()
        path.write_bytes(whole_text.replace(b"answers", b"ANSWERS", 1))
        with pytest.raises(Exception, match=name):
            check_bundle(made[0], keys.root.read_bytes())
        path.write_bytes(whole_text)


@pytest.mark.parametrize(
    ("path", "notice"),
    [
        ("LICENSE", True), ("argos/en_sw/LICENCE.txt", True), ("NOTICE.md", True), ("COPYING-2", True),
        ("licences.md", False), ("notice-board.md", True), ("README.md", False), ("index.sqlite", False),
    ],
)  # fmt: skip
def test_notices_are_known_by_name(path: str, notice: bool) -> None:
    assert is_notice(path) is notice
