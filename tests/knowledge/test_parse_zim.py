"""Kiwix files: every article a document; redirects, pictures and empty pages are none. The file is made by libzim."""

from pathlib import Path

import pytest

from appliance.errors import KnowledgeError
from appliance.knowledge.index import build_index
from appliance.knowledge.ingest import Reader
from appliance.knowledge.retrieve import Retriever
from tests.knowledge.reading import put

libzim = pytest.importorskip("libzim.writer", reason="needs the extra zim, which is GPL")


class Page(libzim.Item):
    def __init__(self, path: str, title: str, content: bytes, kind: str = "text/html") -> None:
        super().__init__()
        self._facts = path, title, content, kind

    def get_path(self) -> str:
        return self._facts[0]

    def get_title(self) -> str:
        return self._facts[1]

    def get_mimetype(self) -> str:
        return self._facts[3]

    def get_contentprovider(self) -> object:
        return libzim.StringProvider(self._facts[2])

    def get_hints(self) -> dict[object, int]:
        return {libzim.Hint.FRONT_ARTICLE: True}


@pytest.fixture(scope="module")
def wiki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zim") / "wiki.zim"
    with libzim.Creator(path).config_indexing(False, "fra") as creator:
        creator.add_item(Page("A/Eau", "Eau", b"<h1>Eau</h1><p>Faire bouillir.<h2>Pourquoi</h2><p>Les germes."))
        creator.add_item(Page("A/Zinc", "Zinc", b"<html lang=en><p>Ten days.</p>"))
        creator.add_item(Page("A/Empty", "Empty", b"<script>1</script>"))
        creator.add_item(Page("I/p.png", "p", b"\x89PNG", "image/png"))
        creator.add_redirection("A/Water", "Water", "A/Eau", {})
        creator.add_metadata("Language", "fra")
    return path


def test_every_article_is_a_document(reader: Reader, wiki: Path) -> None:
    found = {document.path: document for document in reader.read_all(wiki, name="wiki.zim", lang="en")}
    assert sorted(found) == ["wiki.zim/A/Eau", "wiki.zim/A/Zinc"]
    water = found["wiki.zim/A/Eau"]
    assert (water.title, water.lang, [h.text for h in water.headings]) == ("Eau", "fr", ["Eau", "Pourquoi"])
    assert (found["wiki.zim/A/Zinc"].title, found["wiki.zim/A/Zinc"].lang) == ("Zinc", "fr")


def test_its_passages_are_found(wiki: Path, tmp_path: Path) -> None:
    build_index([wiki], docpack="wiki", language="fr", out=tmp_path / "i.sqlite")
    with Retriever([tmp_path / "i.sqlite"]) as opened:
        (passage,) = opened.search("germes", 1)
        assert (passage.id, passage.heading) == ("wiki/wiki.zim/A/Eau#2", "Pourquoi")
        assert opened.document("wiki", "wiki.zim/A/Eau")[0] == "Eau"


def test_a_damaged_one_is_refused(reader: Reader, wiki: Path, tmp_path: Path) -> None:
    whole = wiki.read_bytes()
    for number, data in enumerate((whole[:100], whole[: len(whole) // 2], b"ZIM\x04" + bytes(500))):
        with pytest.raises(KnowledgeError, match=r"x\.zim") as refused:
            list(reader.read_all(put(tmp_path, "x.zim", data), name="x.zim", lang="en"))
        assert "is no Kiwix file" in str(refused.value), number


def test_it_is_no_single_document(reader: Reader, wiki: Path) -> None:
    with pytest.raises(KnowledgeError, match="holds 2 documents"):
        reader.read(wiki, name="wiki.zim", lang="en")
