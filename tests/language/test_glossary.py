"""appliance.language.glossary: what people of the place wrote, or the line that is wrong."""

from pathlib import Path

import pytest

from appliance.errors import LanguageError
from appliance.language.glossary import load

DEMO = Path(__file__).resolve().parents[2] / "bundles" / "demo" / "langpack" / "glossary.csv"


def write(tmp_path: Path, data: str | bytes) -> Path:
    path = tmp_path / "glossary.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_terms_notes_and_pairs(tmp_path: Path) -> None:
    text = '\ufeffen,sw,ar,note\nwater,maji,ماء,\n\n"net, treated",chandarua,,as on  the poster\n'
    glossary = load(write(tmp_path, text))
    assert glossary.languages == ("en", "sw", "ar")
    assert glossary.pairs("en", "sw") == {"water": "maji", "net, treated": "chandarua"}
    assert glossary.pairs("en", "ar") == {"water": "ماء"}
    assert glossary.terms[1].note == "as on the poster"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "begins with"),
        ("en,note\na,b\n", "begins with"),
        ("en,en\na,b\n", "begins with"),
        ("english,sw\na,b\n", "begins with"),
        ("en,sw\na\n", "line 2 has 1 cells"),
        ("en,sw\na,b,c\n", "line 2 has 3 cells"),
        ("en,sw,note\nwater,,x\n", "line 2 names its term"),
        ("en,sw\nwater,maji\nWater,maji safi\n", "line 3 repeats 'water' of line 2"),
        ('en,sw\n"water,maji\n', "is not CSV"),
        (b"en,sw\ncaf\xe9,x\n", "UTF-8"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, data: str | bytes, words: str) -> None:
    with pytest.raises(LanguageError, match=words):
        load(write(tmp_path, data))


def test_a_missing_glossary_is_said(tmp_path: Path) -> None:
    with pytest.raises(LanguageError, match="cannot be read"):
        load(tmp_path / "none.csv")


@pytest.mark.skipif(not DEMO.is_file(), reason="the demo's glossary is not there")
def test_the_demo_glossary_is_read() -> None:
    assert load(DEMO).pairs("en", "sw")
