"""HTML: headings, lists, tables and language are kept; scripts and menus are not; broken markup is read too."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import KnowledgeError
from appliance.knowledge.draft import Draft
from appliance.knowledge.parse_html import read_html
from tests.knowledge.reading import Read, marks


def text(markup: str) -> str:
    draft = Draft()
    read_html(markup, draft)
    return draft.text


def test_headings_title_and_language(read: Read) -> None:
    page = b"<html lang='sw-KE'><title>Tab</title><h1>Maji <b>salama</b></h1><p>Chemsha.</p><h2>Kwa nini</h2>Viini."
    found = read("a.html", page, lang="en")
    assert (found.title, found.lang) == ("Maji salama", "sw")
    assert marks(found) == [(1, "Maji salama"), (2, "Kwa nini")]
    assert found.text == "Maji salama\n\nChemsha.\n\nKwa nini\n\nViini."
    assert read("b.htm", b"<title>Tab</title><p>x").title == "Tab"


def test_what_is_not_the_text_is_left_out() -> None:
    page = "<nav>Home</nav><script>alert('<p>no')</script><style>p{}</style><p>Yes.</p><footer>(c)</footer>"
    assert text(page) == "Yes."
    assert text("<script>never closed <p>no") == ""


def test_lists_and_lines() -> None:
    assert text("<p>Do:</p><ul><li>Wash<li>Boil <b>it</b></ul><p>a<br>b</p>") == "Do:\n\n- Wash\n- Boil it\n\na\n\nb"
    assert text("<pre>one\n  two</pre>") == "one\n\ntwo"


def test_a_table_names_its_columns_in_every_row() -> None:
    page = "<table><tr><th>Age<th>Dose</tr><tr><td>2&ndash;5<td>10 ml</tr><tr><td>6+<td>20 ml</table>after"
    assert text(page) == "Age: 2–5; Dose: 10 ml\nAge: 6+; Dose: 20 ml\n\nafter"
    assert text("<table><tr><td>10<td>20<tr><td>30<td>40</table>") == "10 | 20\n30 | 40"
    spanned = "<table><tr><th>Age<th>Dose<th>Days<tr><td colspan=2>all<td>3</table>"
    assert text(spanned) == "Age: all; Days: 3"


def test_a_table_that_places_the_page_is_no_table() -> None:
    page = "<table><tr><td>Menu<td><h2>Zinc</h2><p>Ten days.<table><tr><th>a<th>b<tr><td>x<td>y</table></table>"
    assert text(page) == "Menu\n\nZinc\n\nTen days.\n\na: x; b: y"


def test_raised_digits_stay_raised() -> None:
    assert text("<p>10<sup>3</sup> cells, see note<sup>2</sup>, H<sub>2</sub>O") == "10³ cells, see note², H2O"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("<meta charset=windows-1252><p>caf\xe9 \x93x\x94".encode("latin-1"), "café “x”"),
        ('<?xml version="1.0"?><p>caf\xe9'.encode(), "café"),
        ("<meta http-equiv=Content-Type content='text/html; charset=gb2312'><p>开水".encode("gb2312"), "开水"),
        ("<p>شاي".encode("utf-16"), "شاي"),
    ],
)
def test_encodings(read: Read, data: bytes, shown: str) -> None:
    assert read("a.html", data).text == shown


def test_an_unknown_encoding_and_bytes_that_are_none_are_refused(read: Read) -> None:
    with pytest.raises(KnowledgeError, match="encoding that is not known, klingon"):
        read("a.html", b"<meta charset=klingon><p>x")
    with pytest.raises(KnowledgeError, match="UTF-8"):
        read("a.html", b"<p>\xff\xfe\xfd")
    with pytest.raises(KnowledgeError, match="encoding that is not known, zlib"):
        read("a.html", b"<meta charset=zlib><p>x")


TAGS = "<p> </p> <table> <tr> <td> </td> </table> <h1> </h2> <li> <ul> <sup> <nav> <pre> <br> <!-- <![CDATA[ <? &#x0;"
MARKUP = st.lists(st.one_of(st.text(max_size=8), st.sampled_from([*TAGS.split(), "\0"])), max_size=40).map("".join)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(MARKUP)
def test_no_markup_at_all_breaks_it(markup: str) -> None:
    draft = Draft()
    read_html(markup, draft)
    for heading in draft.headings:
        assert draft.text[heading.start : heading.end] == heading.text
