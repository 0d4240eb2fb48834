"""EPUB books: their chapters in reading order, each a page of HTML in a zip archive."""

import posixpath
from typing import BinaryIO
from urllib.parse import unquote

from appliance.knowledge.archive import Archive
from appliance.knowledge.draft import Draft, Progress, Unreadable, one_line
from appliance.knowledge.parse_html import decode_html, read_html
from appliance.knowledge.parse_xml import read_xml

_CONTAINER = "META-INF/container.xml"
_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
"""Ways to scramble a book's fonts, which hide no text."""


def parse_epub(file: BinaryIO, progress: Progress) -> Draft:
    """A book.

    Raises:
        Unreadable: it is damaged, dangerous, or its text is locked.
    """
    archive = Archive(file)
    if _CONTAINER not in archive:
        raise Unreadable(f"is no EPUB book: it lacks {_CONTAINER}", "Get it again from its source.")
    if "META-INF/encryption.xml" in archive:
        locks = _Package()
        read_xml(archive.read("META-INF/encryption.xml"), locks, "META-INF/encryption.xml")
        if any(way not in _FONTS for way in locks.locks):
            raise Unreadable("is locked for one reader or shop", "Get a copy that is not.")
    container = _Package()
    read_xml(archive.read(_CONTAINER), container, _CONTAINER)
    package = _Package()
    read_xml(archive.read(container.root), package, "its list of chapters")
    draft = Draft()
    draft.title, draft.lang = one_line(package.title)[:150], package.lang.strip()
    folder = posixpath.dirname(container.root)
    names = [posixpath.normpath(posixpath.join(folder, unquote(href))) for href in package.spine()]
    for done, name in enumerate(names, start=1):
        if name in archive:
            read_html(decode_html(archive.read(name)), draft)
        progress(done, len(names))
    return draft


class _Package:
    """The list of a book's parts, and the two small files that lead to it and tell of locks."""

    def __init__(self) -> None:
        self.root = ""
        self.title = self.lang = ""
        self.locks: list[str] = []
        self._parts: dict[str, str] = {}
        self._order: list[str] = []
        self._inside = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._inside = name
        if name == "rootfile":
            self.root = self.root or attributes.get("full-path", "")
        elif name == "item" and "html" in attributes.get("media-type", ""):
            if "nav" not in attributes.get("properties", "").split():
                self._parts[attributes.get("id", "")] = attributes.get("href", "")
        elif name == "itemref":
            self._order.append(attributes.get("idref", ""))
        elif name == "EncryptionMethod":
            self.locks.append(attributes.get("Algorithm", ""))

    def end(self, _name: str) -> None:
        self._inside = ""

    def text(self, data: str) -> None:
        if self._inside == "title" and len(self.title) < 500:
            self.title += data
        elif self._inside == "language" and len(self.lang) < 50:
            self.lang += data

    def spine(self) -> list[str]:
        """The parts in reading order."""
        return [self._parts[part] for part in dict.fromkeys(self._order) if part in self._parts]
