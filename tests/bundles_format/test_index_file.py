"""A search index written from its rows, and the rows by which it follows from the one before."""

import random
import sqlite3
from dataclasses import replace
from io import BytesIO

import pytest
import zstandard

from bundles.delta import make_index_delta
from bundles.format.index_delta import apply_index_delta, head, record
from bundles.format.index_file import DocumentRow, IndexFile, PackRow, PassageRow, write_index_file
from bundles.format.zstd_entropy import ZstdError
from tests.support.mutator import spoil_json


def document(path, *texts, dimension=0, page=None):
    text = "\n\n".join(texts)
    rows = [
        PassageRow(
            start=text.index(one),
            end=text.index(one) + len(one),
            page=page,
            heading="Maji",
            terms=("title", "maji", " ".join(one.lower().split())),
            vector=bytes(range(dimension)),
        )
        for one in texts
    ]
    return DocumentRow(path=path, title="Title", lang="sw", text=text, passages=rows)


def written(path, *documents, dimension=0):
    count = sum(len(one.passages) for one in documents)
    pack = PackRow(
        name="p", lang="sw", passages=count, mean_terms=3.0, embedder="", dimension=dimension, likeness=0.0, trust=1.0
    )
    write_index_file(path, pack, documents)
    return path


A = document("a.md", "Chemsha maji", "Nawa mikono ቡና")
B = document("b.pdf", "Chandarua", page=3)


def test_rows_are_read_as_they_were_written(tmp_path):
    empty = DocumentRow(path="c.md", title="C", lang="en", text="", passages=[])
    with IndexFile(written(tmp_path / "i", A, empty, B)) as index:
        assert index.paths == ("a.md", "c.md", "b.pdf")
        assert [index.document(path) for path in index.paths] == [A, empty, B]


def test_the_same_rows_give_the_same_bytes_and_nothing_of_who_wrote_them(tmp_path):
    first = written(tmp_path / "one", A, B).read_bytes()
    assert first == written(tmp_path / "two", A, B).read_bytes()
    assert int.from_bytes(first[96:100], "big") == 3_040_000
    with sqlite3.connect(tmp_path / "one") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        # FTS5's own tables keep one segment, written when we said so.
        assert db.execute("SELECT count(DISTINCT segid) FROM listed_idx").fetchone() == (1,)
        assert db.execute("SELECT rowid FROM listed WHERE listed MATCH '\"mikono\"'").fetchall() == [(2,)]
    db.close()


def test_what_lies_between_a_pages_pointers_and_cells_is_nothing(tmp_path):
    data = written(tmp_path / "i", *(document(f"{n}.md", f"neno{n} " * 50) for n in range(200))).read_bytes()
    for at in range(0, len(data), 4096):
        page = data[at : at + 4096]
        begin = 100 if at == 0 else 0
        if page[begin] in (2, 5, 10, 13):
            cells = int.from_bytes(page[begin + 3 : begin + 5], "big")
            first = begin + (12 if page[begin] in (2, 5) else 8) + 2 * cells
            assert not any(page[first : int.from_bytes(page[begin + 5 : begin + 7], "big")])


@pytest.mark.parametrize(
    "after",
    [
        (document("a.md", "Chemsha maji safi", "Nawa mikono ቡና"), B),
        (B,),
        (document("0.md", "Mpya kabisa"), A, B),
        (B, A),
    ],
    ids=["changed", "removed", "added", "in another order"],
)
def test_an_index_follows_from_the_one_before(after, tmp_path):
    old, new = written(tmp_path / "old", A, B), written(tmp_path / "new", *after)
    assert make_index_delta(old, new, tmp_path / "delta", beside=lambda _: None, most=10_000)
    with (tmp_path / "delta").open("rb") as delta:
        apply_index_delta(delta, old, lambda _: None, new.stat().st_size, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == new.read_bytes()


def test_vectors_travel_with_their_passages(tmp_path):
    old = written(tmp_path / "old", document("a.md", "Moja", dimension=8), dimension=8)
    new = written(tmp_path / "new", document("a.md", "Moja", "Mbili", dimension=8), dimension=8)
    assert make_index_delta(old, new, tmp_path / "delta", beside=lambda _: None, most=10_000)
    with (tmp_path / "delta").open("rb") as delta:
        apply_index_delta(delta, old, lambda _: None, new.stat().st_size, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == new.read_bytes()


def test_another_kind_of_file_is_left_to_other_deltas(tmp_path):
    (tmp_path / "old").write_bytes(b"no database" * 1000)
    new = written(tmp_path / "new", A)
    assert not make_index_delta(tmp_path / "old", new, tmp_path / "delta", beside=lambda _: None, most=10_000)
    assert not (tmp_path / "delta").exists()


def test_a_passage_outside_its_text_is_refused(tmp_path):
    old = written(tmp_path / "old", A)
    line, _, rest = record(A).partition(b"\n")
    for wrong in (b"[0,12,0,2,", b"[0,12,0,99999999,", b'[0,"x",0,2,'):
        other = {b"[0,12,0,2,": b"[-5,12,0,2,"}.get(wrong, wrong)
        assert b"[0,12,0,2," in line
        spoilt = line.replace(b"[0,12,0,2,", other) + b"\n" + rest
        with IndexFile(old) as index:
            first = head(index.pack, index.paths, ["a.md"])
        delta = BytesIO(zstandard.compress(first) + zstandard.compress(spoilt))
        with pytest.raises(ZstdError):
            apply_index_delta(delta, old, lambda _: None, 10_000, tmp_path / "again")
        (tmp_path / "again").unlink(missing_ok=True)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_term_without_end_is_refused_before_it_is_cut_into_pieces(place, tmp_path):
    old = written(tmp_path / "old", A)
    terms = tuple("a" * 100_000 if place == n else "maji" for n in range(3))
    row = replace(A.passages[0], terms=terms)
    with IndexFile(old) as index:
        first = head(index.pack, index.paths, ["a.md"])
    spoilt = record(replace(A, passages=[row]))
    delta = BytesIO(zstandard.compress(first) + zstandard.compress(spoilt))
    with pytest.raises(ZstdError, match="too many terms"):
        apply_index_delta(delta, old, lambda _: None, 10_000_000, tmp_path / "again")


def test_an_index_that_would_grow_without_end_is_stopped(tmp_path):
    texts = [f"neno{n} " * 500 for n in range(600)]
    old, new = written(tmp_path / "old", A), written(tmp_path / "new", document("a.md", *texts))
    assert make_index_delta(old, new, tmp_path / "delta", beside=lambda _: None, most=10**9)
    with (tmp_path / "delta").open("rb") as delta, pytest.raises(ZstdError, match="full"):
        apply_index_delta(delta, old, lambda _: None, 4096, tmp_path / "again")
    assert not (tmp_path / "again").exists() and not (tmp_path / "again.raw").exists()


def test_spoilt_rows_are_refused_or_give_an_index_and_leave_nothing(tmp_path):
    """Whoever writes a delta writes its JSON: well packed, and wrong within."""
    rng = random.Random(5)
    old = written(tmp_path / "old", A, B)
    with IndexFile(old) as index:
        first = head(index.pack, index.paths, ["a.md"])
    line, _, rest = record(document("a.md", "Chemsha maji safi", "Nawa mikono ቡና")).partition(b"\n")
    refused = 0
    for number in range(120):
        spoilt = (spoil_json(first, rng), line) if number % 2 else (first, spoil_json(line, rng))
        delta = BytesIO(zstandard.compress(spoilt[0]) + zstandard.compress(spoilt[1] + b"\n" + rest))
        try:
            apply_index_delta(delta, old, lambda _: None, 60_000, tmp_path / "again")
        except ZstdError:
            refused += 1
        (tmp_path / "again").unlink(missing_ok=True)
        assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert refused > 80
