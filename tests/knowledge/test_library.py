"""Documents added on a box: whole or not at all, found at once by a running box, gone when removed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.errors import KnowledgeError
from appliance.knowledge.document import Document
from appliance.knowledge.index import build_index
from appliance.knowledge.ingest import Reader
from appliance.knowledge.library import DOCPACK, Library
from appliance.knowledge.retrieve import Retriever
from bundles.format.index_file import FORMAT
from tests.knowledge.reading import put
from tests.support.office import docx, paragraph
from tests.support.pdf import Line, pdf

GOATS = b"# Goats\n\n## Feeding\n\nGive a goat clean water and hay.\n"
HENS = b"# Hens\n\n## Feeding\n\nGive hens maize and grit each morning.\n"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "documents", lang="en")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    out = tmp_path / "release.sqlite"
    build_index([put(tmp_path, "water.md", b"Boil water for one minute.")], docpack="guides", language="en", out=out)
    return out


@pytest.fixture
def shelf(library: Library, release: Path) -> Iterator[Retriever]:
    with Retriever([release], added=library.index) as opened:
        yield opened


def found(shelf: Retriever, query: str) -> list[str]:
    return [passage.id for passage in shelf.search(query, 3)]


def test_a_running_box_answers_from_what_is_added_and_no_more_from_what_is_removed(
    library: Library, shelf: Retriever, reader: Reader, tmp_path: Path
) -> None:
    assert found(shelf, "goat hay") == []
    library.add(put(tmp_path, "goats.md", GOATS), reader)
    assert found(shelf, "goat hay") == [f"{DOCPACK}/goats.md#1"]
    assert shelf.document(DOCPACK, "goats.md")[0] == "Goats"
    library.add(put(tmp_path, "hens.md", HENS), reader)
    assert found(shelf, "hens grit")[0] == f"{DOCPACK}/hens.md#1"
    assert found(shelf, "boil water")[0].startswith("guides/")
    library.remove("goats.md")
    assert found(shelf, "goat hay") == []
    library.remove("hens.md")
    assert [one.name for one in library.documents()] == []
    assert found(shelf, "hens grit") == []
    assert not library.index.exists()


def test_a_language_that_is_none_is_refused_before_it_closes_the_index_to_all(
    library: Library, shelf: Retriever, reader: Reader, tmp_path: Path
) -> None:
    library.add(put(tmp_path, "goats.md", GOATS), reader)
    with pytest.raises(KnowledgeError, match="'Kiswahili' is no language's tag"):
        library.add(put(tmp_path, "hens.md", HENS), reader, lang="Kiswahili")
    assert found(shelf, "goat hay") == [f"{DOCPACK}/goats.md#1"]
    assert shelf.problems == []


def test_the_list_tells_what_is_there(library: Library, reader: Reader, tmp_path: Path) -> None:
    file = put(tmp_path, "plan.pdf", pdf([[Line(text="Vaccinate on Monday.")], None]))
    assert library.add(file, reader, lang="sw") == ["Pages without text, perhaps scanned: 2."]
    (one,) = library.documents()
    assert (one.name, one.lang, one.pages, one.bytes) == ("plan.pdf", "sw", 2, file.stat().st_size)
    assert one.notes == ("Pages without text, perhaps scanned: 2.",)


def test_the_file_itself_is_kept_and_a_new_edition_takes_its_place(
    library: Library, shelf: Retriever, reader: Reader, tmp_path: Path
) -> None:
    library.add(put(tmp_path, "goats.md", GOATS), reader)
    library.add(put(tmp_path, "goats.md", GOATS.replace(b"hay", b"leaves")), reader)
    assert found(shelf, "goat leaves") == [f"{DOCPACK}/goats.md#1"]
    (kept,) = (tmp_path / "documents" / "files").iterdir()
    assert kept.read_bytes() == GOATS.replace(b"hay", b"leaves")
    assert kept.stat().st_mode & 0o077 == 0


def test_a_copy_is_refused_and_a_near_copy_noted(library: Library, reader: Reader, tmp_path: Path) -> None:
    sentences = [f"Sentence number {n} tells about goats in place {n * 7}." for n in range(30)]
    library.add(put(tmp_path, "a.txt", " ".join(sentences).encode()), reader)
    with pytest.raises(KnowledgeError, match=r"b\.docx says the same as a\.txt"):
        library.add(put(tmp_path, "b.docx", docx(paragraph(" ".join(sentences)))), reader)
    (note,) = library.add(put(tmp_path, "c.txt", " ".join(sentences[:-2]).encode()), reader)
    assert "nearly the same as a.txt" in note
    assert [one.name for one in library.documents()] == ["a.txt", "c.txt"]


def test_what_cannot_be_read_changes_nothing(library: Library, reader: Reader, tmp_path: Path) -> None:
    library.add(put(tmp_path, "goats.md", GOATS), reader)
    before = library.index.read_bytes()
    for name, data in (("goats.md", b"\xff"), ("x.pdf", b"%PDF-"), ("empty.md", b"# \n")):
        with pytest.raises(KnowledgeError):
            library.add(put(tmp_path, name, data), reader)
    assert library.index.read_bytes() == before
    assert [one.name for one in library.documents()] == ["goats.md"]
    assert len(list((tmp_path / "documents" / "files").iterdir())) == 1
    with pytest.raises(KnowledgeError, match=r"Here are: goats\.md"):
        library.remove("other.md")


@pytest.mark.parametrize(
    ("name", "kept"), [("..md", None), ("a\nb.md", "ab.md"), ("ц" * 120 + ".md", "ц" * 98 + ".md"), (".x.md", "x.md")]
)
def test_names_are_made_safe(library: Library, reader: Reader, tmp_path: Path, name: str, kept: str | None) -> None:
    file = put(tmp_path, name, GOATS)
    if kept is None:
        with pytest.raises(KnowledgeError, match=r"name|kind"):
            library.add(file, reader)
    else:
        library.add(file, reader)
        assert [one.name for one in library.documents()] == [kept]


def test_an_old_index_is_made_anew_and_a_good_one_left_alone(
    library: Library, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add(put(tmp_path, "goats.md", GOATS), reader)
    before = library.index.stat().st_ino
    library.refresh()
    assert library.index.stat().st_ino == before
    library.index.unlink()
    library.refresh()
    assert library.index.exists()
    monkeypatch.setattr("appliance.knowledge.library.FORMAT", FORMAT + 1)
    old = library.index.stat().st_ino
    keep = library.index.with_name("keep")
    keep.hardlink_to(library.index)  # or its number could be given to the new one
    library.refresh()
    assert library.index.stat().st_ino != old


def test_a_damaged_index_of_added_documents_does_not_silence_the_release(
    library: Library, shelf: Retriever, reader: Reader, tmp_path: Path
) -> None:
    library.add(put(tmp_path, "goats.md", GOATS), reader)
    assert found(shelf, "goat hay")
    library.index.write_bytes(b"junk" * 500)
    assert found(shelf, "boil water") == ["guides/water.md#1"]
    assert "index.sqlite" in shelf.problems[0]


STEPS = frozenset({"os.rename", "os.remove", "os.link", "sqlite3.connect", "os.mkdir"})


class _Before:
    """A reader that has read already: the process that is killed has no use for another process."""

    def __init__(self, document: Document) -> None:
        self.read = lambda *_, **__: document


def add_and_die(library: Library, folder: Path, file: Path, document: Document, step: int) -> bool:
    """Add in a forked process that is killed before its ``step``-th change to the disk; False if it lived."""
    pid = os.fork()
    if pid == 0:
        seen = 0

        def hear(name: str, args: tuple[object, ...]) -> None:
            nonlocal seen
            if name in STEPS and str(args[0]).startswith(str(folder)):
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hear)
            library.add(file, _Before(document))  # type: ignore[arg-type]
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_a_pulled_plug_at_any_step_leaves_the_old_or_the_new(library: Library, reader: Reader, tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    library.add(put(tmp_path, "goats.md", GOATS), reader)
    before = tmp_path / "before"
    shutil.copytree(folder, before)
    new = put(tmp_path, "goats.md", GOATS.replace(b"hay", b"leaves"))
    document = reader.read(new, name="goats.md", lang="en")
    outcomes = []
    killed = True
    while killed:
        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        killed = add_and_die(library, folder, new, document, len(outcomes) + 1)
        library.refresh()
        with Retriever([], added=library.index) as opened:
            (passage,) = opened.search("goat feeding", 3)
        (kept,) = (folder / "files").iterdir()
        outcomes.append("leaves" if "leaves" in passage.text else "hay")
        assert outcomes[-1] in kept.read_text()
        assert len(library.documents()) == 1
    assert len(outcomes) > 5
    assert outcomes == sorted(outcomes)  # first always the old, from one step on always the new
    assert {*outcomes} == {"hay", "leaves"}


@pytest.mark.needs_root
def test_a_full_disk_changes_nothing_and_says_so(reader: Reader, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        library = Library(small / "documents", lang="en")
        library.add(put(tmp_path, "goats.md", GOATS), reader)
        before = library.index.read_bytes()
        big = put(tmp_path, "big.txt", b"".join(b"Sentence number %d is here.\n" % n for n in range(4000)))
        with pytest.raises(KnowledgeError, match=r"No space left|disk"):
            library.add(big, reader)
        assert library.index.read_bytes() == before
        assert [one.name for one in library.documents()] == ["goats.md"]
        library.add(put(tmp_path, "hens.md", HENS), reader)
        library.remove("goats.md")
        assert [one.name for one in library.documents()] == ["hens.md"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_two_who_add_at_once_both_do(library: Library, tmp_path: Path) -> None:
    files = [put(tmp_path, f"d{n}.md", b"# D\n\nNumber %d is written here.\n" % n) for n in range(4)]

    def add(file: Path) -> None:
        with Reader(idle=False) as own:
            library.add(file, own)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, files))
    assert [one.name for one in library.documents()] == [file.name for file in files]
    with Retriever([], added=library.index) as opened:
        assert len(opened.search("number written", 10)) == 4


def test_texts_that_were_damaged_are_named(library: Library, reader: Reader, tmp_path: Path) -> None:
    library.add(put(tmp_path, "goats.md", GOATS), reader)
    text = tmp_path / "documents" / "texts" / "goats.md.json"
    text.write_text(json.dumps({"format": 99}))
    with pytest.raises(KnowledgeError, match=r"goats\.md\.json"):
        library.documents()
