"""Archives that attack: bombs, ways out, links, entities. Each is refused, and says why."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import KnowledgeError
from appliance.knowledge.archive import MAX_MEMBERS
from tests.knowledge.reading import Read
from tests.support.office import docx, paragraph, zipped

BODY = paragraph("Boil it.")


def changed(data: bytes, act: Callable[[zipfile.ZipFile], object]) -> bytes:
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        act(archive)
    return out.getvalue()


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/passwd", "a/../../b", "..\\evil", "C:\\x", "word/../../x"])
def test_a_name_that_leads_out_is_refused(read: Read, name: str) -> None:
    with pytest.raises(KnowledgeError, match="leads out of it"):
        read("a.docx", changed(docx(BODY), lambda archive: archive.writestr(name, "x")))


def test_macros_are_refused(read: Read) -> None:
    with pytest.raises(KnowledgeError, match="holds macros"):
        read("a.docx", docx(BODY, more={"word/vbaProject.bin": "x"}))


def test_a_link_is_refused(read: Read) -> None:
    link = zipfile.ZipInfo("word/media")
    link.external_attr = 0o120777 << 16
    with pytest.raises(KnowledgeError, match="holds a link"):
        read("a.docx", changed(docx(BODY), lambda archive: archive.writestr(link, "/etc/passwd")))


def test_a_bomb_that_says_so_is_refused_unread(read: Read) -> None:
    with pytest.raises(KnowledgeError, match="is a bomb"):
        read("a.docx", docx(BODY, more={"word/media/big": bytes(64 << 20)}))


def test_a_bomb_that_lies_about_its_size_is_stopped(read: Read) -> None:
    honest = zipped({"word/document.xml": b"<w>" + b" " * (80 << 20) + b"</w>"})
    directory = honest.index(b"PK\x01\x02")
    lying = bytearray(honest)
    for at in (directory + 24, 22):  # the unpacked size in the directory and before the data
        struct.pack_into("<I", lying, at, 1000)
    with pytest.raises(KnowledgeError, match=r"damaged|honest"):
        read("a.docx", bytes(lying))


def test_too_many_parts_are_refused(read: Read) -> None:
    with pytest.raises(KnowledgeError, match="parts; at most"):
        read("a.epub", zipped({f"{n}": "" for n in range(MAX_MEMBERS + 1)}))


def test_two_parts_of_one_name_are_refused(read: Read) -> None:
    def twice(archive: zipfile.ZipFile) -> None:
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("word/document.xml", "<other/>")

    with pytest.raises(KnowledgeError, match="twice"):
        read("a.docx", changed(docx(BODY), twice))


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "' + "&a;" * 10 + '">]><x>&b;</x>'
READS_FILES = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'


@pytest.mark.parametrize("xml", [LAUGHS, READS_FILES])
def test_entities_are_refused(read: Read, xml: str) -> None:
    with pytest.raises(KnowledgeError, match="DOCTYPE"):
        read("a.docx", docx(BODY, more={"word/document.xml": xml}))
    with pytest.raises(KnowledgeError, match="DOCTYPE"):
        read("a.epub", zipped({"META-INF/container.xml": xml}))


def test_xml_that_is_too_deep_or_broken_is_refused(read: Read) -> None:
    with pytest.raises(KnowledgeError, match="nested deeper"):
        read("a.docx", docx(BODY, more={"word/document.xml": "<a>" * 5000}))
    with pytest.raises(KnowledgeError, match="not well formed"):
        read("a.docx", docx(BODY, more={"word/document.xml": "<a>"}))


def test_a_locked_or_cut_archive_is_refused(read: Read) -> None:
    whole = docx(BODY)
    locked = bytearray(whole)
    locked[whole.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(KnowledgeError, match="password"):
        read("a.docx", bytes(locked))
    for cut in (10, len(whole) // 2, len(whole) - 5):
        with pytest.raises(KnowledgeError, match="damaged"):
            read("a.docx", whole[:cut])


def test_a_zip_that_is_no_document_is_refused(read: Read) -> None:
    for name in ("a.docx", "a.odt", "a.epub", "a.xlsx"):
        with pytest.raises(KnowledgeError, match=name):
            read(name, zipped({"readme": "x"}))


def test_nothing_is_unpacked_anywhere(read: Read, tmp_path: Path) -> None:
    read("a.docx", docx(BODY))
    assert [path.name for path in tmp_path.iterdir()] == ["a.docx"]
