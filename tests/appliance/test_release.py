"""Tests of appliance.release: what the box relies on is checked before it is used."""

import json

import pytest

from appliance.box import Box
from appliance.config import Home
from appliance.errors import AdapterError, ReleaseError
from appliance.release import load_release


def component(kind, name, annotations=None, files=("a.gguf",)):
    return {
        "kind": kind,
        "name": name,
        "publisher": "p",
        "version": "1",
        "licence": "MIT",
        "manifest": "sha256:0",
        "annotations": annotations or {},
        "folder": f"{kind}s/p/{name}",
        "files": [{"path": path, "digest": "sha256:0", "size": 1} for path in files],
    }


def write(tmp_path, *components, **changes):
    facts = {
        "format": 1,
        "number": 1,
        "bundle": "b",
        "version": "1",
        "title": "B",
        "languages": ["en"],
        "components": list(components),
    }
    folder = tmp_path / "releases" / "1"
    folder.mkdir(parents=True)
    (folder / "release.json").write_text(json.dumps(facts | changes))
    (tmp_path / "current").symlink_to("releases/1")
    return Home(root=tmp_path)


def test_components_are_found_by_kind_and_name(tmp_path):
    release = load_release(write(tmp_path, component("model", "m"), component("adapter", "a")))
    assert release.model.name == "m"
    assert release.adapters["a"].only(".gguf").name == "a.gguf"


def test_a_component_without_the_file_is_told(tmp_path):
    release = load_release(write(tmp_path, component("model", "m", files=())))
    with pytest.raises(ReleaseError, match="holds 0 files"):
        release.model.only(".gguf")


def test_of_a_model_in_pieces_the_first_is_loaded(tmp_path):
    pieces = tuple(f"m-0000{n}-of-00002.gguf" for n in (1, 2))
    release = load_release(write(tmp_path, component("model", "m", files=pieces)))
    assert release.model.weights.name == pieces[0]


def test_a_glossary_alone_translates_no_language_and_shows_its_card(tmp_path):
    home = write(tmp_path, component("langpack", "l", files=("glossary.csv", "README.md", "strings/so.json")))
    pack = load_release(home).of("langpack")[0]
    pack.folder.mkdir(parents=True)
    (pack.folder / "README.md").write_text("# Maji")
    assert (pack.pairs, pack.strings, pack.card) == ((), ("strings/so.json",), "# Maji")


def test_a_bundle_without_a_model_is_told(tmp_path):
    with pytest.raises(ReleaseError, match="has no model"):
        _ = load_release(write(tmp_path)).model


def test_nothing_installed_says_how_to_install(tmp_path):
    with pytest.raises(ReleaseError, match=r"installer\.pyz install"):
        load_release(Home(root=tmp_path))


@pytest.mark.parametrize(
    ("components", "changes", "words"),
    [
        ([component("docpack", "d")], {}, "language is missing"),
        ([component("langpack", "l", {"org.fieldpost.pairs": "en-sw"})], {}, "no tag such as sw"),
        ([component("langpack", "l", {"org.fieldpost.pairs": "en>sw>fr"})], {}, "no tag such as sw"),
        ([component("docpack", "d", {"org.fieldpost.language": 'en" onload="x'})], {}, "no tag"),
        ([component("adapter", "a"), component("adapter", "a")], {}, "same name"),
        (
            [component("docpack", n, {"org.fieldpost.language": n}) for n in ("en", "sw")],
            {},
            "several languages",
        ),
        ([], {"languages": []}, "language is missing"),
        ([], {"format": 2}, "needed 1"),
        ([], {"title": None, "number": "x"}, "cannot be used"),
    ],
)
def test_what_the_box_could_not_use_is_refused_in_words(tmp_path, components, changes, words):
    with pytest.raises(ReleaseError, match=words):
        load_release(write(tmp_path, *components, **changes))


def revoke(home, **reasons):
    (home.root / "revoked.json").write_text(json.dumps({"format": 1, "seen": [1, 1], "revoked": reasons}))


def test_what_was_taken_back_is_not_there(tmp_path):
    home = write(tmp_path, component("model", "m"), component("adapter", "a"), component("adapter", "b"))
    revoke(home, **{"adapters/p/a-1": "wrong doses", "adapters/p/other-1": "not installed"})
    release = load_release(home)
    assert [*release.adapters] == ["b"] and release.model.name == "m"
    assert release.revoked == {"adapters/p/a-1": "wrong doses"}


def test_another_version_of_what_was_taken_back_is_there(tmp_path):
    home = write(tmp_path, component("model", "m"), component("adapter", "a"))
    revoke(home, **{"adapters/p/a-2": "wrong doses"})
    assert [*load_release(home).adapters] == ["a"]


def test_no_other_model_answers_in_place_of_one_that_was_taken_back(tmp_path):
    home = write(tmp_path, component("model", "m"), component("model", "embeddings"))
    revoke(home, **{"models/p/m-1": "licence withdrawn"})
    release = load_release(home)
    with pytest.raises(ReleaseError, match="models/p/m-1 was taken back by your organisation: licence withdrawn"):
        _ = release.model
    revoke(home, **{"models/p/embeddings-1": "broken"})
    assert load_release(home).model.name == "m"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2, "revoked": {}}', '{"format": 1, "revoked": {"a": 1}}'])
def test_a_list_that_cannot_be_read_loads_nothing(tmp_path, text):
    home = write(tmp_path, component("model", "m"))
    home.revoked.write_text(text)
    with pytest.raises(ReleaseError, match="may not use any more"):
        load_release(home)


def test_an_adapter_that_is_taken_back_while_the_box_is_open_is_refused_from_then_on(tmp_path):
    home = write(tmp_path, component("model", "m"), component("adapter", "a"))
    box = Box(home=home, config=None, release=load_release(home), pipeline=None, retriever=None, log=None)
    box.check(lang="en", adapter="a")
    revoke(home, **{"adapters/p/a-1": "wrong doses"})
    with pytest.raises(AdapterError, match="'a' was taken back by your organisation: wrong doses"):
        box.check(lang="en", adapter="a")
    box.check(lang="en", adapter=None)
