"""Tests of bundles.format.manifest: what a signed but hostile or broken bundle may not make a reader do."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.format.errors import FormatRefused
from bundles.format.kinds import EMPTY_CONFIG, INDEX, MANIFEST, OTHER_FILE, artifact_type
from bundles.format.manifest import MAX_BYTES, parse_index, parse_manifest, safe_path

DIGEST = "sha256:" + "ab" * 32


def layer(path):
    notes = {"org.cncf.model.filepath": path}
    return {"mediaType": OTHER_FILE, "digest": DIGEST, "size": 3, "annotations": notes}


def manifest(**changes):
    raw = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type("docpack"),
        "config": {"mediaType": EMPTY_CONFIG, "digest": DIGEST, "size": 2},
        "layers": [layer("a.md"), layer("sub/b.md")],
        "annotations": {
            "org.fieldpost.kind": "docpack",
            "org.fieldpost.name": "guides",
            "org.fieldpost.publisher": "acme",
            "org.opencontainers.image.version": "1.0.0",
            "org.opencontainers.image.licenses": "MIT",
            "org.fieldpost.language": "en",
        },
    }
    return raw | changes


def parse(raw):
    return parse_manifest(json.dumps(raw).encode())


def test_a_manifest_becomes_values():
    parsed = parse(manifest())
    assert (parsed.kind, parsed.name, parsed.version, parsed.licence) == ("docpack", "guides", "1.0.0", "MIT")
    assert parsed.target == "docpacks/acme/guides-1.0.0"
    assert parsed.folder == "docpacks/acme/guides"
    assert [entry.path for entry in parsed.layers] == ["a.md", "sub/b.md"]


@pytest.mark.parametrize(
    "path",
    [
        "../a",
        "/etc/passwd",
        "a/../b",
        "a//b",
        "a/",
        "",
        ".",
        "a\\b",
        "C:a",
        "a\nb",
        "a\x00b",
        "a\u202eb",
        "a.",
        "e\u0301",
        "x" * 241,
    ],
)
def test_paths_that_could_leave_their_folder_are_refused(path):
    with pytest.raises(FormatRefused):
        safe_path(path)


@given(st.text())
def test_a_safe_path_never_leaves_its_folder(tmp_path_factory, path):
    try:
        safe_path(path)
    except FormatRefused:
        return
    folder = tmp_path_factory.getbasetemp()
    assert (folder / path).resolve().is_relative_to(folder.resolve())


@pytest.mark.parametrize("paths", [("a.md", "a.md"), ("a.md", "A.MD"), ("a", "a/b"), ("ß", "ss")])
def test_two_files_never_share_a_place(paths):
    with pytest.raises(FormatRefused, match="same place"):
        parse(manifest(layers=[layer(path) for path in paths]))


@pytest.mark.parametrize("size", [True, -1, 1.5, "3", None, 1 << 60, [1]])
def test_sizes_are_whole_numbers_in_bounds(size):
    with pytest.raises(FormatRefused, match="size"):
        parse(manifest(layers=[layer("a") | {"size": size}]))


@pytest.mark.parametrize(
    "digest", ["sha256:AB" + "ab" * 31, "md5:" + "ab" * 16, "../../x", "", None, "sha256:" + "ab" * 33]
)
def test_digests_are_sha256(digest):
    with pytest.raises(FormatRefused, match="digest"):
        parse(manifest(layers=[layer("a") | {"digest": digest}]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[" * 100_000, "no JSON"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b"{}", "another type"),
        (b"[]", "another type"),
        (b"\xff", "no JSON"),
        (b'{"a": "\\ud800"}', "no JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no JSON"),
        (b" " * (MAX_BYTES + 1), "bytes"),
    ],
)
def test_bytes_that_are_no_manifest_are_refused(data, words):
    with pytest.raises(FormatRefused, match=words):
        parse_manifest(data)


def test_a_kind_cannot_pass_for_another():
    raw = manifest(artifactType=artifact_type("adapter"))
    with pytest.raises(FormatRefused, match="calls itself"):
        parse(raw)
    with pytest.raises(FormatRefused, match="unknown type"):
        parse(manifest(artifactType="application/vnd.other.v1"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    ),
    st.data(),
)
def test_any_value_in_any_place_is_parsed_or_refused(value, data):
    raw = copy.deepcopy(manifest())
    places = [(raw, key) for key in raw] + [(raw["annotations"], key) for key in raw["annotations"]]
    places += [(raw["layers"][0], key) for key in raw["layers"][0]] + [(raw["config"], key) for key in raw["config"]]
    container, key = data.draw(st.sampled_from(places))
    container[key] = value
    try:
        parse(raw)
    except FormatRefused:
        return
    assert isinstance(value, str | int | dict | list)


def test_an_index_that_names_a_component_twice_is_refused():
    entry = {
        "mediaType": MANIFEST,
        "digest": DIGEST,
        "size": 3,
        "annotations": {"org.opencontainers.image.ref.name": "models/acme/m-1"},
    }
    raw = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [entry],
        "annotations": {
            "org.fieldpost.bundle": "demo",
            "org.fieldpost.publisher": "acme",
            "org.fieldpost.languages": "en,sw",
            "org.opencontainers.image.version": "1",
            "org.opencontainers.image.title": "Demo",
        },
    }
    assert parse_index(json.dumps(raw).encode()).target == "bundles/acme/demo-1"
    with pytest.raises(FormatRefused, match="twice"):
        parse_index(json.dumps(raw | {"manifests": [entry, entry]}).encode())
