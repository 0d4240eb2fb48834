"""A reader for the tests of parsers: the real process, started once for each file of tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.knowledge.document import Document
from appliance.knowledge.ingest import Reader
from tests.knowledge.reading import Read, put


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    # Not idle: on a busy machine the tests would wait for their turn.
    with Reader(idle=False) as opened:
        yield opened


@pytest.fixture
def read(reader: Reader, tmp_path: Path) -> Read:
    def read(name: str, data: bytes, lang: str = "en") -> Document:
        return reader.read(put(tmp_path, name, data), name=name, lang=lang)

    return read
