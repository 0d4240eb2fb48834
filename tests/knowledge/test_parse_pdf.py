"""PDF: pages, paragraphs put together again, headings by outline or print, and what is refused with a reason."""

import pytest

from appliance.errors import KnowledgeError
from tests.knowledge.reading import Read, marks
from tests.support.pdf import Line, pdf

SENTENCE = "Give the child oral rehydration salts after each loose stool and keep on breastfeeding"
WORDS = SENTENCE.split()


def prose(lines: int, *, size: int = 11) -> list[Line]:
    """A paragraph of full lines; the last one is short."""
    full = [Line(text=" ".join([*WORDS[n % 5 :], *WORDS[: n % 5]]), size=size) for n in range(lines - 1)]
    return [*full, Line(text="until it is well.", size=size)]


def test_pages_begin_where_their_text_does(read: Read) -> None:
    found = read("g.pdf", pdf([[Line(text="First page.")], [Line(text="Second page.")], [Line(text="Third.")]]))
    assert found.text == "First page.\n\nSecond page.\n\nThird."
    assert [found.page(found.text.index(words)) for words in ("First", "Second", "Third")] == [1, 2, 3]


def test_printed_lines_become_paragraphs_and_items_stay_apart(read: Read) -> None:
    lines = [*prose(3), Line(text="1. Wash your hands.", down=1.0), Line(text="2. Boil the water."), *prose(2)[:1]]
    text = read("g.pdf", pdf([lines])).text
    first, *items = text.split("\n")
    assert first.endswith("until it is well.") and first.count("breastfeeding") == 2
    assert items[:2] == ["1. Wash your hands.", "2. Boil the water."]


def test_a_wide_step_ends_a_paragraph(read: Read) -> None:
    full = prose(3)[:2]
    text = read("g.pdf", pdf([[*full, Line(text=full[0].text, down=3)]])).text
    assert text.count("\n\n") == 1


def test_page_numbers_go_and_running_heads_stay_once(read: Read) -> None:
    pages = []
    for number in range(1, 6):
        end = Line(text=f"and so it goes on {'abcdef'[:number]} until the day is over and the night has come too")
        foot = Line(text=f"{number + 6}", down=3)
        pages.append([Line(text="Ministry of Health", size=9), *prose(3)[:2], end, Line(text="Dose: 10 ml"), foot])
    document = read("g.pdf", pdf(pages))
    assert document.text.count("Ministry") == 1  # words are never lost, only numbers that count the pages
    assert [number for number in range(7, 12) if f"{number}" in document.text.replace("10 ml", "")] == []
    assert document.text.count("Dose: 10 ml") == 5


def test_a_sentence_goes_on_over_the_page(read: Read) -> None:
    full = prose(3)[:2]
    document = read("g.pdf", pdf([full, [Line(text="until it is well.")]]))
    assert document.text.endswith(" until it is well.")
    assert "\n" not in document.text
    assert document.page(document.text.index("until it is well")) == 2


def test_headings_by_print(read: Read) -> None:
    page = [
        Line(text="Treating diarrhoea", size=22),
        Line(text="at home", size=22),
        *prose(3),
        Line(text="Zinc", size=15, down=1.5),
        *prose(3),
        Line(text="For how long", bold=True, down=1.5),
        *prose(3),
    ]
    found = read("guide.pdf", pdf([page]))
    assert marks(found) == [(1, "Treating diarrhoea at home"), (2, "Zinc"), (3, "For how long")]
    assert found.title == "Treating diarrhoea at home"


def test_the_outline_goes_before_print(read: Read) -> None:
    page = [Line(text="LARGE ADVERTISEMENT", size=30), Line(text="1.2 Zinc"), *prose(3)]
    found = read("g.pdf", pdf([page, prose(2)], outline=[("Zinc", 0)]))
    assert marks(found) == [(1, "1.2 Zinc")]


def test_a_declared_title_counts_only_if_it_is_printed(read: Read) -> None:
    page = [Line(text="Safe water", size=12), *prose(2)]
    assert read("a.pdf", pdf([page], title="Safe water")).title == "Safe water"
    assert read("safe-water.pdf", pdf([page], title="Microsoft Word - draft7.doc")).title == "safe water"


def test_a_scanned_file_is_refused_and_scanned_pages_are_reported(read: Read) -> None:
    with pytest.raises(KnowledgeError, match=r"scan\.pdf is scanned: 2 pages"):
        read("scan.pdf", pdf([None, None]))
    assert read("half.pdf", pdf([prose(2), None])).notes == ("Pages without text, perhaps scanned: 2.",)


@pytest.mark.parametrize("data", [b"%PDF-1.7\n", b"%PDF-1.4\n1 0 obj\n<<", pdf([[Line(text="x")]])[:200]])
def test_a_damaged_file_is_refused(read: Read, data: bytes) -> None:
    with pytest.raises(KnowledgeError, match=r"x\.pdf is no PDF that can be opened"):
        read("x.pdf", data)


def test_an_empty_page_is_no_text(read: Read) -> None:
    with pytest.raises(KnowledgeError, match=r"x\.pdf holds no text"):
        read("x.pdf", pdf([[]]))
