"""XML as office files hold it, read in one pass. Expat, with every door shut that leads out or grows by itself."""

from typing import Protocol
from xml.parsers import expat

from appliance.knowledge.draft import Unreadable

_DEEP = 1_000
_SAVE = "Open it with the program that made it and save it again."


class Reads(Protocol):
    """Told of elements and text, in order. Names are local, without their namespace."""

    def start(self, name: str, attributes: dict[str, str]) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, data: str) -> None: ...


def read_xml(data: bytes, reader: Reads, part: str) -> None:
    """Read one part of an archive.

    Raises:
        Unreadable: it is not well formed, or has a DOCTYPE, which office files do not and bombs of entities do.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEP:
            raise Unreadable(f"is nested deeper than an honest document ({part})", _SAVE)
        reader.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        reader.end(_local(name))

    def doctype(*_: object) -> None:
        raise Unreadable(f"declares a DOCTYPE in {part}, as only attacks do", "Do not use it; ask where it is from.")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise Unreadable(f"is damaged: {part} is not well formed ({error})", _SAVE) from error


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
