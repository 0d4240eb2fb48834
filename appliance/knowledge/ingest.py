"""A file as a document, whatever kind it is. Every file is parsed in a limited child process, never in ours.

Which bytes mean what is left to the parsers (``parse_*``), what a child may do to ``confine``; cutting the text into
passages to ``chunk``.
"""

import json
import re
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.child import Child, WireError, exit_in_words
from appliance.errors import KnowledgeError
from appliance.knowledge.document import Document, Heading
from appliance.knowledge.draft import Draft, plain
from appliance.knowledge.ocr import Recogniser

KINDS: Mapping[str, str] = {
    ".csv": "csv",
    ".docx": "docx",
    ".epub": "epub",
    ".htm": "html",
    ".html": "html",
    ".markdown": "markdown",
    ".md": "markdown",
    ".ods": "sheets",
    ".odt": "odt",
    ".pdf": "pdf",
    ".tsv": "csv",
    ".txt": "text",
    ".xhtml": "html",
    ".xls": "sheets",
    ".xlsx": "sheets",
    ".zim": "zim",
}
"""Endings of the files that can be read, and the parser of each."""

MEMORY = 300 << 20
"""Bytes of address space that reading one file may take."""

_MIB = 1 << 20
MAX_BYTES: Mapping[str, int] = {
    "pdf": 512 * _MIB,
    "epub": 256 * _MIB,
    "docx": 256 * _MIB,
    "odt": 256 * _MIB,
    "zim": 4096 * _MIB,
}
MAX_OTHER = 20 * _MIB
"""Bytes that files of the other kinds may have; they are read into memory whole."""

_CPU_S = 15
_CPU_S_MIB = 1
_WALL = 40
"""Times the processor's limit: a child that runs only when nobody else does may wait long for its turn."""

Detect = Callable[[str], str | None]
"""The language of a text as a BCP 47 primary tag, or None where it is not certain."""

Told = Callable[[int, int], None]
"""Told how many pages or parts of a file are done, and of how many."""

_TAG = re.compile("[a-z]{2,3}")
# Books and Kiwix files name languages by ISO 639-3; where there are two letters, BCP 47 wants these.
_SHORT = dict(
    pair.split(":")
    for pair in """
    amh:am ara:ar ben:bn deu:de eng:en fas:fa fra:fr hau:ha hin:hi ibo:ig ita:it kin:rw lin:ln mya:my nep:ne nya:ny
    orm:om por:pt pus:ps rus:ru sna:sn som:so spa:es swa:sw tam:ta tel:te tha:th tir:ti tur:tr ukr:uk urd:ur vie:vi
    wol:wo xho:xh yor:yo zho:zh zul:zu""".split()  # noqa: SIM905  (read by people)
)
_LONG = {short: long for long, short in _SHORT.items()} | {"zh": "chi_sim"}
_PICTURE = re.compile(rb"P5\n# (\d{1,6})\n(\d{1,5}) (\d{1,5})\n255\n(.*)", re.S)
_OLD = {
    b"\xd0\xcf\x11\xe0": "an old Word, Excel or PowerPoint file",
    b"{\\rtf": "an RTF file",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}
_SAMPLE = 20_000
_ASK_AGAIN = "Try again; if it stays so, the machine may be short of memory."


class Reader:
    """Reads files, one after the other. A context manager; ``close`` it otherwise. For one thread."""

    def __init__(self, *, idle: bool = True, detect: Detect | None = None, ocr: bool = False) -> None:
        """Start the process that parses.

        Args:
            idle: parse only when nobody else wants the processor, as on a box that answers questions meanwhile.
            ocr: recognise the text of scanned PDFs with tesseract, which takes seconds a page.
            detect: tells a text's language; without it, a file's own word counts, or the one given for all.

        Raises:
            KnowledgeError: no process can be started.
        """
        self._idle = idle
        self._detect = detect
        self._ocr = ocr
        self._folder = tempfile.TemporaryDirectory(prefix="fieldpost-read-")
        self._out = Path(self._folder.name) / "answer"
        self._child: Child | None = None
        self.peak = 0
        """Most bytes of memory that a file has taken so far."""
        self.cpu_s = 0.0
        """Processor seconds that all files have taken so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
        self._folder.cleanup()

    def read(self, file: Path, *, name: str, lang: str, told: Told | None = None) -> Document:
        """Read one file.

        Args:
            name: what the document is called in its docpack.
            lang: its language, where neither the text nor the file tells.
            told: hears how far it is.

        Raises:
            KnowledgeError: it cannot be read, and why.
        """
        found = list(self.read_all(file, name=name, lang=lang, told=told))
        if len(found) != 1:
            raise KnowledgeError(
                f"{file} holds {len(found)} documents.", needed="One is needed.", todo="Put it into a bundle's docpack."
            )
        return found[0]

    def read_all(self, file: Path, *, name: str, lang: str, told: Told | None = None) -> Iterator[Document]:
        """Read a file that may hold several documents, as Kiwix files do: ``NAME/path/in/it``; else as ``read``."""
        kind = _kind(file)
        several = kind == "zim"
        none = True
        for answer in self._parse(file, kind, told):
            if answer.get("scanned") and self._ocr:
                answer = self._recognise(file, lang, told)
            if "why" in answer:
                raise KnowledgeError(f"{file} {str(answer['why'])[:500]}.", todo=str(answer.get("todo", ""))[:500])
            try:
                own = f"{name}/{str(answer['path'])[:300]}" if several else name
                yield _document(answer, name=own, lang=lang, detect=self._detect)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise KnowledgeError(
                    f"{file} made its reader answer nonsense.", todo="Do not use this file."
                ) from error
            none = False
        if none:
            raise KnowledgeError(f"{file} holds no text.", todo="Look at it in a reader: it may be empty.")

    def _parse(self, file: Path, kind: str, told: Told | None) -> Iterator[dict[str, Any]]:
        why = self._run(file, kind, told)
        if why:
            yield {"why": why, "todo": "Do not use this file as it is: save it anew or get it again."}
            return
        with self._out.open("rb") as lines:
            for line in lines:
                try:
                    answer = json.loads(line)
                except (ValueError, RecursionError):
                    answer = None
                yield answer if isinstance(answer, dict) else {}

    def _recognise(self, file: Path, lang: str, told: Told | None) -> dict[str, Any]:
        """A scanned PDF's text, page by page: drawn by a limited child, read by tesseract.

        Raises:
            KnowledgeError: a page cannot be drawn or read.
        """
        recogniser = Recogniser(lang, _LONG, idle=self._idle)
        draft = Draft()
        draft.notes.append("Its text was recognised in pictures: compare numbers with the original.")
        page = count = 0
        while page == 0 or page < count:
            why = self._run(file, "picture", None, page=page)
            picture = _PICTURE.match(self._out.read_bytes()) if not why else None
            if picture is None or len(picture[4]) != int(picture[2]) * int(picture[3]):
                raise KnowledgeError(f"{file}, page {page + 1}: it cannot be drawn. {why}", todo="Scan it anew.")
            page, count = page + 1, int(picture[1])
            recogniser.read(self._out, draft)
            if told:
                told(page, count)
        return plain(draft)

    def _run(self, file: Path, kind: str, told: Told | None, *, page: int = 0) -> str:
        """Let a child write its answer to ``_out``; returns how it ended, in words, if it failed."""
        self._out.unlink(missing_ok=True)
        cpu_s = _CPU_S + _CPU_S_MIB * (file.stat().st_size // _MIB)
        request = {
            "file": str(file.absolute()),
            "out": str(self._out),
            "kind": kind,
            "page": page,
            "idle": self._idle,
            "cpu_s": cpu_s,
            "wall_s": cpu_s * _WALL,
        }
        if self._child is None:
            try:
                self._child = Child("appliance.knowledge.parse_worker", memory=MEMORY)
            except WireError as error:
                raise KnowledgeError(f"{file} cannot be read: {error}.", todo=_ASK_AGAIN) from error
        try:
            self._child.wire.send(request)
            while "status" not in (said := self._child.wire.receive(cpu_s * (_WALL + 1)) or {"gone": True}):
                if "gone" in said:
                    raise WireError("it ended")
                if told:
                    told(said["done"], said["of"])
        except (WireError, TimeoutError) as error:
            child, self._child = self._child, None
            child.kill()
            raise KnowledgeError(
                f"{file} cannot be read: the reading process {child.close()}.", todo=_ASK_AGAIN
            ) from error
        self.peak = max(self.peak, said["peak"])
        self.cpu_s += said["cpu_s"]
        return _ending(said, cpu_s) if said["status"] != 0 else ""


def _kind(file: Path) -> str:
    """Which parser reads the file, by its ending and its first bytes.

    Raises:
        KnowledgeError: none does, or it is too large.
    """
    known = ", ".join(sorted(KINDS))
    kind = KINDS.get(file.suffix.lower())
    if kind is None:
        raise KnowledgeError(f"{file} is no document of a known kind.", needed=f"Known are: {known}.")
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            head = opened.read(1024)
    except OSError as error:
        raise KnowledgeError(f"{file} cannot be read: {error.strerror}.", todo="Check its name and rights.") from error
    most = MAX_BYTES.get(kind, MAX_OTHER)
    if size > most:
        raise KnowledgeError(f"{file} is larger than {most // _MIB} MiB.", todo="Split it.")
    if not size:
        raise KnowledgeError(f"{file} is empty.", todo="Get it again from its source.")
    really = _look(head)
    if kind in ("pdf", "docx", "odt", "epub", "sheets", "zim"):
        fits = really == (kind if kind in ("pdf", "zim") else "zip") or (
            kind == "sheets" and head[:4] == b"\xd0\xcf\x11\xe0"
        )
    else:
        fits = not really
    if not fits:
        what = {"pdf": "a PDF", "zim": "a Kiwix file", "zip": "a zip archive, as Word and Excel files are"}.get(
            really, really
        )
        raise KnowledgeError(
            f"{file} is {what or 'something else'}, not what its ending {file.suffix} says.",
            todo="Give it the right ending, or save it in one of the known kinds.",
        )
    return kind


def _look(head: bytes) -> str:
    if b"%PDF-" in head:
        return "pdf"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head[:4] == b"ZIM\x04":
        return "zim"
    return next((what for magic, what in _OLD.items() if head.startswith(magic)), "")


def _ending(said: Mapping[str, Any], cpu_s: int) -> str:
    if said["late"]:
        return f"was not read within {cpu_s * _WALL} s"
    if said["status"] == -signal.SIGXCPU:
        return f"took more than {cpu_s} s of processor time to read"
    return f"made its reader fail: it {exit_in_words(int(said['status']), b'')}"


def _document(raw: Mapping[str, Any], *, name: str, lang: str, detect: Detect | None) -> Document:
    """The child's answer as a document. The child may have been taken over by its file: every number is checked."""
    text = raw["text"]
    text.encode()  # half a surrogate pair passes until somebody writes it down
    pages = tuple(raw["pages"])
    if not all(isinstance(number, int) for number in (*pages, *(n for mark in raw["headings"] for n in mark[2:]))):
        raise ValueError("a place that is no whole number")
    marks = []
    end = 0
    for level, words, start, stop in raw["headings"]:
        if not (end <= start <= stop <= len(text) and 1 <= level <= 9 and isinstance(words, str)):
            raise ValueError("a heading out of place")
        end = stop
        marks.append(Heading(level=level, text=words, start=start, end=stop))
    if list(pages) != sorted(pages) or any(not 0 <= page <= len(text) for page in pages):
        raise ValueError("a page out of place")
    if not text.strip():
        raise KnowledgeError(f"{name} holds no text.", todo="Look at it in a reader: it may be empty.")
    stem = Path(name).stem.replace("-", " ").replace("_", " ").strip()
    return Document(
        path=name,
        title=str(raw["title"])[:200] or stem or name,
        lang=(detect(text[:_SAMPLE]) if detect else None) or _primary(str(raw["lang"])) or lang,
        text=text,
        headings=tuple(marks),
        pages=pages,
        notes=tuple(str(note)[:500] for note in raw["notes"]),
    )


def _primary(declared: str) -> str:
    """A declared language as a BCP 47 primary tag, ``en`` for ``en-US`` and for ``eng``; empty if it is none."""
    tag = re.split("[-_,; ]", declared.strip(), maxsplit=1)[0].lower()
    return _SHORT.get(tag, tag) if _TAG.fullmatch(tag) else ""


def read_documents(
    files: Sequence[Path], *, lang: str, idle: bool = False, detect: Detect | None = None
) -> list[Document]:
    """Read files, each under its own name.

    Raises:
        KnowledgeError: some cannot be read; all of these are named.
    """
    documents: list[Document] = []
    refused: list[KnowledgeError] = []
    with Reader(idle=idle, detect=detect) as reader:
        for file in files:
            try:
                documents.extend(reader.read_all(file, name=file.name, lang=lang))
            except KnowledgeError as error:
                refused.append(error)
    if len(refused) > 1:
        raise KnowledgeError(
            f"{len(refused)} of {len(files)} documents cannot be read:\n" + "\n".join(map(str, refused))
        )
    if refused:
        raise refused[0]
    return documents
