"""Vectors in the index: what is near is found without a shared word, another model's are refused, words do without."""

import importlib.util
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.embedding import open_embedder
from appliance.errors import ConfigError, EngineError, KnowledgeError
from appliance.knowledge.index import build_index
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.retrieve import Retriever
from appliance.knowledge.stores import vector_store
from appliance.knowledge.vectors import ExactVectors, VectorStore, likeness, packed, stored_vectors, unpacked
from bundles.format.digest import digest_of_file

MEANINGS = ["fever hot temperature", "water drink thirsty", "goat animal cattle", "maize crop field"]


class Meanings:
    """An embedder that knows a few words: one dimension a meaning, and one for all else."""

    digest = "m" * 64

    def question(self, text: str) -> np.ndarray:
        return self.passages([text])[0]

    def passages(self, texts: Sequence[str]) -> np.ndarray:
        found = np.array(
            [[0.05, *(sum(w in text.lower() for w in m.split()) for m in MEANINGS)] for text in texts], np.float32
        )
        return found / np.linalg.norm(found, axis=1, keepdims=True)


class Broken(Meanings):
    def question(self, text: str) -> np.ndarray:
        raise EngineError("The process died.")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    texts = [
        "A child with fever rests.",
        "Give water often.",
        "The goat eats hay.",
        "Plant maize early.",
    ]
    files = []
    for number, text in enumerate(texts):
        files.append(folder / f"{number}.md")
        files[-1].write_text(f"# {number}\n\n{text}\n")
    build_index(files, docpack="p", language="en", out=folder / "index.sqlite", embedder=Meanings())
    return folder / "index.sqlite"


def random_vectors(count: int, dimension: int = 48) -> np.ndarray:
    vectors = np.random.default_rng(7).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_meaning_finds_what_shares_no_word(index: Path) -> None:
    with Retriever([index], embedder=Meanings()) as opened:
        assert opened.search("My cattle are thin", 1)[0].document == "2.md"
        assert opened.search("Is her temperature high?", 1)[0].document == "0.md"
        assert opened.search("Which parliament met?", 3) == []
    with Retriever([index]) as words_only:
        assert words_only.search("My cattle are thin", 1) == []
        assert words_only.search("goat", 1)[0].document == "2.md"


def test_an_embedder_that_fails_leaves_the_words(index: Path) -> None:
    with Retriever([index], embedder=Broken()) as opened:
        assert opened.search("goat hay", 1)[0].document == "2.md"


def test_another_models_vectors_are_left_alone_and_said(index: Path) -> None:
    other = Meanings()
    other.digest = "o" * 64  # type: ignore[misc]
    with Retriever([index], embedder=other) as opened:
        assert opened.search("My cattle are thin", 1) == []
        assert opened.search("goat", 1)[0].document == "2.md"
        (problem,) = opened.problems
    assert "another embedding model (mmmmmmmmmmmm)" in problem
    with Retriever([index], embedder=Meanings()) as opened:
        assert opened.problems == []


class Slow(Meanings):
    """Waits with a question's vector until it is told to go on."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Event(), threading.Event()

    def question(self, text: str) -> np.ndarray:
        self.asked.set()
        assert self.go.wait(60)
        return super().question(text)


def test_a_question_whose_vector_takes_long_holds_up_nobody(index: Path) -> None:
    slow = Slow()
    with Retriever([index], embedder=slow) as opened, ThreadPoolExecutor(1) as threads:
        first = threads.submit(opened.search, "goat hay", 1)
        assert slow.asked.wait(60)
        try:
            assert opened.document("p", "2.md")[0] == "2"  # needs the same indexes
        finally:
            slow.go.set()
        assert first.result(60)[0].document == "2.md"


class Away:
    """A store that is not there when it is asked."""

    def nearest(self, vector: np.ndarray, limit: int) -> list[tuple[int, float]]:
        raise KnowledgeError("Milvus at http://10.0.0.5:19530 failed.")

    def close(self) -> None:
        pass


def test_a_store_that_is_away_leaves_the_words(index: Path) -> None:
    def refuses(opened: OpenIndex) -> VectorStore:
        raise KnowledgeError("Milvus at http://10.0.0.5:19530 failed.")

    with Retriever([index], embedder=Meanings(), store=lambda _: Away()) as opened:
        assert opened.search("goat hay", 1)[0].document == "2.md"
    with Retriever([index], embedder=Meanings(), store=refuses) as opened:
        assert opened.search("goat hay", 1)[0].document == "2.md"
        assert "10.0.0.5" in opened.problems[0]


def test_each_kind_of_store_is_had_or_says_what_it_needs(index: Path, tmp_path: Path) -> None:
    opened = OpenIndex(index)
    assert isinstance(vector_store("numpy")(opened), ExactVectors)
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        with pytest.raises(ConfigError, match="may load no SQLite extensions"):
            vector_store("sqlite-vec")(opened)
    opened.close()
    for kind, module in (("faiss", "faiss"), ("milvus", "pymilvus")):
        if importlib.util.find_spec(module) is None:
            with pytest.raises(ConfigError, match=rf"fieldpost\[{kind}\]"):
                vector_store(kind, milvus=str(tmp_path / "m.db"))


class Backwards(Meanings):
    """An embedder that puts passages anywhere but where their sentences are."""

    def question(self, text: str) -> np.ndarray:
        return -super().question(text)


def test_vectors_are_trusted_as_far_as_they_find_again_what_was_taken_apart(tmp_path: Path) -> None:
    for number, meaning in enumerate(MEANINGS * 3):
        text = f"The {meaning} was seen by {number} people here. Later the {meaning} came to all of us."
        (tmp_path / f"{number}.md").write_text(f"# {number}\n\n{text}\n")
    trusted = {}
    for name, embedder in (("good", Meanings()), ("bad", Backwards())):
        out = tmp_path / f"{name}.sqlite"
        build_index(sorted(tmp_path.glob("*.md")), docpack="p", language="en", out=out, embedder=embedder)
        opened = OpenIndex(out)
        trusted[name] = opened.trust
        opened.close()
    assert trusted["bad"] < 0.8 * trusted["good"]


def test_indexes_with_and_without_vectors_are_searched_together(index: Path, tmp_path: Path) -> None:
    (tmp_path / "hens.md").write_text("# Hens\n\nHens lay eggs in straw.\n")
    build_index([tmp_path / "hens.md"], docpack="q", language="en", out=tmp_path / "i.sqlite")
    with Retriever([index, tmp_path / "i.sqlite"], embedder=Meanings()) as opened:
        assert opened.search("hens eggs", 1)[0].document == "hens.md"
        assert opened.search("cattle", 1)[0].document == "2.md"


def test_damaged_vectors_are_an_error_in_words(index: Path, tmp_path: Path) -> None:
    for change in ("update vector set value = x'0102' where passage = 1", "drop table vector"):
        (tmp_path / "i.sqlite").write_bytes(index.read_bytes())
        connection = sqlite3.connect(tmp_path / "i.sqlite")
        with connection:
            connection.execute(change)
        connection.close()
        with (
            Retriever([tmp_path / "i.sqlite"], embedder=Meanings()) as opened,
            pytest.raises(KnowledgeError, match="damaged"),
        ):
            opened.search("cattle", 1)


def test_the_same_vectors_give_the_same_bytes(index: Path, tmp_path: Path) -> None:
    files = sorted(index.parent.glob("*.md"))
    build_index(files, docpack="p", language="en", out=tmp_path / "i.sqlite", embedder=Meanings())
    assert (tmp_path / "i.sqlite").read_bytes() == index.read_bytes()


def test_a_byte_a_dimension_keeps_the_neighbours() -> None:
    vectors = random_vectors(2000)
    kept = unpacked(packed(vectors))
    assert np.allclose(np.linalg.norm(kept, axis=1), 1, atol=1e-5)
    same = 0
    for vector in random_vectors(30):
        same += len({*np.argsort(-(vectors @ vector))[:10]} & {*np.argsort(-(kept @ vector))[:10]})
    assert same >= 0.95 * 300


def test_nearest_are_the_nearest_in_order() -> None:
    vectors = random_vectors(300)
    with sqlite3.connect(":memory:") as db:
        db.execute("create table vector (passage integer primary key, value blob)")
        db.executemany("insert into vector values (?, ?)", enumerate(packed(vectors), start=1))
        store = ExactVectors(db)
        kept = unpacked(packed(vectors))
        expected = np.argsort(-(kept @ vectors[5]))[:8] + 1
        found = store.nearest(vectors[5], 8)
        assert [number for number, _ in found] == expected.tolist()
        assert found[0][0] == 6
        assert found[0][1] == pytest.approx(1, abs=0.01)
        assert len(store.nearest(vectors[5], 1000)) == 300
        db.execute("delete from vector")
        assert ExactVectors(db).nearest(vectors[5], 8) == []
    db.close()


def test_likeness_is_the_mean_similarity_of_different_passages() -> None:
    vectors = random_vectors(50)
    similar = vectors @ vectors.T
    mean = (similar.sum() - 50) / (50 * 49)
    assert likeness(vectors) == pytest.approx(max(0, mean), abs=1e-5)
    assert likeness(vectors[:1]) == 0
    assert likeness(np.repeat(vectors[:1], 5, axis=0)) == pytest.approx(1, abs=1e-5)


_SQLITE_VEC = """
import json, sqlite3, sys
import numpy as np
from appliance.knowledge.vectors import SqliteVecVectors, packed, stored_vectors
vectors = np.random.default_rng(7).standard_normal((200, 48)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
db = sqlite3.connect(":memory:")
db.execute("create table vector (passage integer primary key, value blob)")
db.executemany("insert into vector values (?, ?)", enumerate(packed(vectors), start=1))
store = stored_vectors(db, passages=200, dimension=48, in_memory=0)
assert isinstance(store, SqliteVecVectors)
try:
    db.execute("select load_extension('x')")
except sqlite3.OperationalError as error:
    assert "not authorized" in str(error)
print(json.dumps([number for number, _ in store.nearest(vectors[5], 10)]))
"""


def test_sqlite_vec_finds_the_same_and_no_other_extension_can_be_loaded_then() -> None:
    import sqlite_vec

    if hasattr(sqlite3.Connection, "enable_load_extension"):
        python = sys.executable
    else:  # a Python built without; Debian's has it, and takes the same wheels where it is the same version
        python = "/usr/bin/python3"
        told = subprocess.run(
            [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True
        )
        if told.stdout.split() != [str(part) for part in sys.version_info[:2]]:
            pytest.skip("no Python here may load SQLite extensions")
    root, packages = Path(__file__).resolve().parents[2], Path(sqlite_vec.__file__).parents[1]
    child = subprocess.run(
        [python, "-c", _SQLITE_VEC],
        env={"PYTHONPATH": f"{root}:{packages}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    kept = unpacked(packed(random_vectors(200)))
    expected = {*(np.argsort(-(kept @ random_vectors(200)[5]))[:10] + 1).tolist()}
    assert len({*json.loads(child.stdout)} & expected) >= 9  # the question's vector is rounded too


def test_few_vectors_stay_in_memory(index: Path) -> None:
    opened = OpenIndex(index)
    assert isinstance(opened.vectors(), ExactVectors)
    opened.close()


def test_faiss_agrees_with_comparing_all_and_keeps_its_graph(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="the extra faiss is not installed")
    from appliance.knowledge.vectors_faiss import FaissVectors

    rows = list(enumerate(packed(random_vectors(500)), start=1))
    kept = unpacked([value for _, value in rows])
    built = FaissVectors(rows, tmp_path / "graphs")
    (graph,) = (tmp_path / "graphs").iterdir()
    made = graph.stat().st_mtime_ns
    again = FaissVectors(rows, tmp_path / "graphs")
    assert graph.stat().st_mtime_ns == made
    for vector in random_vectors(20):
        expected = {*(np.argsort(-(kept @ vector))[:10] + 1).tolist()}
        assert len({number for number, _ in built.nearest(vector, 10)} & expected) >= 9
        assert built.nearest(vector, 10) == again.nearest(vector, 10)


def test_half_a_graph_is_built_again(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="the extra faiss is not installed")
    from appliance.knowledge.vectors_faiss import FaissVectors

    rows = list(enumerate(packed(random_vectors(100)), start=1))
    FaissVectors(rows, tmp_path)
    (graph,) = tmp_path.iterdir()
    whole = graph.read_bytes()
    for left in (0, 10, len(whole) // 2):
        graph.write_bytes(whole[:left])
        assert FaissVectors(rows, tmp_path).nearest(random_vectors(1)[0], 3)
        assert graph.stat().st_size == len(whole)


def test_no_error_of_milvus_shows_a_password() -> None:
    pytest.importorskip("pymilvus", reason="the extra milvus is not installed")
    from appliance.knowledge.vectors_milvus import _failed

    said = str(_failed("https://me:secret@hub:19530", OSError("no way to https://me:secret@hub:19530")))
    assert "secret" not in said and "https://hub:19530" in said


def test_milvus_agrees_with_comparing_all(tmp_path: Path) -> None:
    pytest.importorskip("pymilvus", reason="the extra milvus is not installed")
    from appliance.knowledge.vectors_milvus import MilvusVectors

    rows = list(enumerate(packed(random_vectors(200)), start=1))
    kept = unpacked([value for _, value in rows])
    store = MilvusVectors(rows, str(tmp_path / "milvus.db"), "field-guides")
    for vector in random_vectors(5):
        expected = {*(np.argsort(-(kept @ vector))[:10] + 1).tolist()}
        assert len({number for number, _ in store.nearest(vector, 10)} & expected) >= 9
    store.close()


def test_too_many_vectors_stay_in_memory_only_where_nothing_else_can_be_had() -> None:
    db = sqlite3.connect(":memory:")
    store = stored_vectors(db, passages=1, dimension=4, in_memory=0)
    assert isinstance(store, ExactVectors) != hasattr(db, "enable_load_extension")
    db.close()


def test_an_index_knows_its_model_by_the_digest_that_a_release_has(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF")
    with open_embedder(model) as building, open_embedder(model, digest=digest_of_file(model)[0]) as answering:
        assert building is not None
        assert answering is not None
        assert building.digest == answering.digest
