"""Tests of installer.gates: what is signed and still refused on the box, before anything is switched."""

import io
import pickle
import zipfile

import pytest

from bundles.format.errors import ScanRefused
from tests.installer.test_install import assert_release_is_whole, files
from tests.support.bundle_factory import make_bundle, model, part, runtime, whole
from tests.support.gguf import gguf, lora
from tests.support.site import installer


def zipped():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    return data.getvalue()


PICKLE = pickle.dumps({"weights": [1, 2]}, protocol=4)
REFUSED = {
    "cut": (part("model", "answers", {"answers.gguf": gguf(tensors=3)[:-1]}), "the tensors need"),
    "no GGUF": (part("model", "answers", {"answers.gguf": b"GGML" + bytes(64)}), "does not begin with GGUF"),
    "pickle": (part("model", "answers", {"answers.gguf": PICKLE}), "a Python pickle"),
    "a lora as a model": (part("model", "answers", {"answers.gguf": lora()}), "of the type adapter"),
    "a model as a lora": (part("adapter", "steps", {"steps.gguf": gguf()}), "of the type model"),
    "second piece": (
        part("model", "answers", {"a-00001-of-00002.gguf": gguf(), "a-00002-of-00002.gguf": gguf()[:40]}),
        "a-00002-of-00002.gguf is not a sound GGUF file",
    ),
    "words": (part("langpack", "en-sw", {"argos/en_sw/model/model.bin": PICKLE}), "model.bin is a Python pickle"),
    "program": (part("docpack", "guides", {"water.md": b"\x7fELF" + bytes(60)}), "water.md is a program"),
    "archive": (part("docpack", "guides", {"water.zip": zipped()}), "water.zip is a zip archive"),
    "card": (part("evalset", "ten", {"q.jsonl": b"{}", "README.docx": zipped()}), "README.docx is a zip archive"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_signed_and_unsound_is_refused_by_name_and_nothing_is_switched(tmp_path, keys, home, put, what):
    bad, why = REFUSED[what]
    put(make_bundle(tmp_path / "old", keys, components=whole()), home)
    state = (home / "state.json").read_bytes()
    good = [component for component in whole() if component.kind != bad.kind]
    stick = make_bundle(tmp_path / "new", keys, version="0.2.0", components=[*good, bad], installer=b"another")
    with pytest.raises(ScanRefused, match=f"{bad.kind}/{bad.name} of fieldpost cannot be used") as refused:
        put(stick, home)
    assert why in str(refused.value)
    assert "The release in use stays" in str(refused.value)
    assert str((home / "current").readlink()) == "releases/1"
    assert (home / "state.json").read_bytes() == state, "its version must not bar the stick that replaces it"
    assert (home / "installer.pyz").read_bytes() != b"another"
    put(make_bundle(tmp_path / "next", keys, version="0.3.0", components=[model(b"mended")]), home)
    assert assert_release_is_whole(home)["version"] == "0.3.0"


def test_office_documents_and_runtimes_are_what_they_are(tmp_path, keys, home, put):
    components = [
        model(),
        part("docpack", "guides", {"water.docx": zipped(), "index.sqlite": b"SQLite format 3"}),
        runtime(entries={"MZ.txt": b""}),
    ]
    assert put(make_bundle(tmp_path / "stick", keys, components=components), home).changed


def test_the_installer_on_bare_python_looks_inside_too(tmp_path, keys, home):
    bad = part("model", "answers", {"answers.gguf": gguf({"general.alignment": 3})})
    stick = make_bundle(tmp_path / "bad", keys, components=[bad])
    done = installer("install", "--from", stick, "--home", home, "--fingerprint", keys.fingerprint, check=False)
    assert done.returncode == 1
    assert "model/answers of fieldpost cannot be used" in done.stderr
    assert "general.alignment is 3" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (home / "current").exists()
    assert files(home / "blobs") == [], "what was refused is not kept"
