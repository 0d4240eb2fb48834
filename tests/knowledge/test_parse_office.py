"""Word, OpenDocument, EPUB, workbooks and CSV: structure is kept, numbers stay exact."""

import io
import zipfile

import pytest

from appliance.errors import KnowledgeError
from tests.knowledge.reading import Read, marks
from tests.support.office import docx, epub, odt, paragraph, word_table, xlsx

BREAK = "<w:r><w:lastRenderedPageBreak/></w:r>"


def test_word_headings_by_style_its_name_or_what_it_inherits(read: Read) -> None:
    body = (
        paragraph("Water", "Kichwa1") + paragraph("Boil it.") + paragraph("Why", "Own") + paragraph("Germs.", "Normal")
    )
    found = read("a.docx", docx(body, title="Water guide"))
    assert marks(found) == [(1, "Water"), (2, "Why")]
    assert found.title == "Water guide"
    assert found.text == "Water\n\nBoil it.\n\nWhy\n\nGerms."


def test_word_tables_lists_pages_and_notes(read: Read) -> None:
    item = "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>Wash</w:t></w:r></w:p>"
    call = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    body = (
        paragraph("Doses") + word_table([["Age", "Dose"], ["2–5", "10 ml"]]) + item * 2
        + paragraph("10", more='<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:t>3</w:t></w:r>' + call)
        + f"<w:p>{BREAK}<w:r><w:t>Next page</w:t></w:r></w:p>"
    )  # fmt: skip
    notes = (
        f'<w:footnote w:id="-1">{paragraph("-")}</w:footnote><w:footnote w:id="2">{paragraph("Of May.")}</w:footnote>'
    )
    found = read("a.docx", docx(body, notes=notes))
    assert found.text == "Doses\n\nAge: 2–5; Dose: 10 ml\n\n- Wash\n- Wash\n\n10³²\n\nNext page\n\n-\n\n² Of May."
    assert found.page(found.text.index("Next page")) == 2


def test_word_leaves_out_what_was_deleted_and_reads_text_boxes_once(read: Read) -> None:
    box = "<w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>"
    choice = f"<x:Choice>{box}</x:Choice><x:Fallback>{box}</x:Fallback>"
    alternate = f"<w:r><x:AlternateContent xmlns:x='x'>{choice}</x:AlternateContent></w:r>"
    body = paragraph(
        "Give ", more="<w:del><w:r><w:delText>5</w:delText></w:r></w:del><w:ins><w:r><w:t>10 ml</w:t></w:r></w:ins>"
    )
    found = read("a.docx", docx(body + paragraph("See", more=alternate)))
    assert found.text == "Give 10 ml\n\nSee boxed"
    assert found.pages == ()


def test_opendocument(read: Read) -> None:
    body = (
        '<text:tracked-changes><text:p>gone</text:p></text:tracked-changes><text:h text:outline-level="2">Zinc</text:h>'
        "<text:p>Ten<text:s/>days<text:note><text:note-citation>1</text:note-citation><text:note-body>"
        "<text:p>at least</text:p></text:note-body></text:note>.</text:p>"
        "<text:list><text:list-item><text:p>a</text:p></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>Age</text:p></table:table-cell>"
        "<table:table-cell><text:p>Dose</text:p></table:table-cell></table:table-row><table:table-row>"
        "<table:table-cell><text:p>1</text:p></table:table-cell><table:table-cell><text:p>5</text:p></table:table-cell>"
        "</table:table-row></table:table>"
    )
    found = read("a.odt", odt(body))
    assert found.text == "Zinc\n\nTen days (at least) .\n\n- a\n\nAge: 1; Dose: 5"
    assert marks(found) == [(2, "Zinc")]


def test_a_book_is_read_in_its_order(read: Read) -> None:
    chapters = [("b.xhtml", "<h1>One</h1><p>Mwanzo."), ("a.xhtml", "<html lang='en'><h1>Two</h1><p>Mwisho.")]
    found = read("a.epub", epub(chapters, title="Kitabu"))
    assert (found.title, found.lang) == ("Kitabu", "sw")
    assert found.text == "One\n\nMwanzo.\n\nTwo\n\nMwisho."


def test_a_locked_book_is_refused(read: Read) -> None:
    data = io.BytesIO(epub([("a.xhtml", "<p>x")]))
    with zipfile.ZipFile(data, "a") as book:
        book.writestr("META-INF/encryption.xml", '<e><EncryptionMethod Algorithm="http://w3.org/aes128"/></e>')
    with pytest.raises(KnowledgeError, match="locked for one reader"):
        read("a.epub", data.getvalue())


def test_sheets_keep_numbers_dates_and_columns(read: Read) -> None:
    rows = [["Stock of June", "", ""], ["Item", "Count", "Until"], ["ORS", 40, "=date45000"], ["Zinc", 0.5, ""]]
    found = read("a.xlsx", xlsx({"Store": rows, "Empty": [], "Other": [["a", "b"], [1, 2]]}))
    assert marks(found) == [(2, "Store"), (2, "Other")]
    assert found.text == (
        "Store\n\nStock of June\n\nItem: ORS; Count: 40; Until: 2023-03-15\nItem: Zinc; Count: 0.5\n\n"
        "Other\n\na: 1; b: 2"
    )


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_csv_in_any_of_its_dialects(read: Read, sign: str) -> None:
    lines = [sign.join(cells) for cells in (["Age", "Dose"], ["2-5", '"10 ml, twice"'], ["6", "1.5 ml"])]
    found = read("a.csv", "\r\n".join(lines).encode("utf-8-sig"))
    assert found.text == "Age: 2-5; Dose: 10 ml, twice\nAge: 6; Dose: 1.5 ml"
