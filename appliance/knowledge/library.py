"""Documents that were added on this box, beside those of the installed release: kept, read and indexed.

HOME/data/documents/
  files/SHA-NAME    the file itself, as it was added; SHA are the first 16 digits of its SHA-256
  texts/NAME.json   what was read out of it; a document is this edition of it from the moment this is here
  index.sqlite      the search index of all texts, always whole
  indexed.json      which texts that index holds, so that a pulled plug is noticed and made good

The docpack is called ``uploads``. Files are read through ``ingest``; a running box sees a new index
by itself (``retrieve``).
"""

import fcntl
import hashlib
import json
import os
import shutil
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance.errors import EngineError, KnowledgeError
from appliance.files import write_private
from appliance.knowledge.chunk import passages
from appliance.knowledge.document import Document, Heading
from appliance.knowledge.duplicates import find_same, in_words
from appliance.knowledge.index import write_index
from appliance.knowledge.ingest import Reader, Told
from appliance.knowledge.opened import LANGUAGE
from appliance.knowledge.vectors import Embedder
from bundles.format.index_file import FORMAT

DOCPACK = "uploads"
_FORMAT = 1
_LONGEST_NAME = 200
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """One document of the library."""

    name: str
    title: str
    lang: str
    pages: int
    """0 for a kind of document without pages."""
    characters: int
    bytes: int
    """Of the file itself."""
    notes: tuple[str, ...]


class Library:
    """The folder of added documents. Several processes may use it; one at a time changes it."""

    def __init__(self, folder: Path, *, lang: str, embedder: Embedder | None = None) -> None:
        """Nothing is read or made yet.

        Args:
            lang: the language that questions are asked in, and of documents that tell none.
            embedder: makes the index's vectors; where it fails there are none, and the next ``refresh`` tries again.
        """
        self._folder = folder
        self._files, self._texts = folder / "files", folder / "texts"
        self._lang = lang
        self._embedder = embedder

    @property
    def index(self) -> Path:
        return self._folder / "index.sqlite"

    def documents(self) -> list[Added]:
        """The documents, by name."""
        return [
            Added(
                name=document.path,
                title=document.title,
                lang=document.lang,
                pages=len(document.pages),
                characters=len(document.text),
                bytes=self._file(document.path, sha256).stat().st_size,
                notes=document.notes,
            )
            for document, sha256 in self._known()
        ]

    def add(self, file: Path, reader: Reader, *, lang: str | None = None, told: Told | None = None) -> list[str]:
        """Add one file, or put a new edition of it in the old one's place; whole or not at all.

        Returns:
            What is worth knowing about it, in sentences.

        Raises:
            KnowledgeError: it cannot be read, is here already, its language is none, or the disk is full.
        """
        name = _safe_name(file.name)
        if lang is not None and not LANGUAGE.fullmatch(lang):
            raise KnowledgeError(
                f"{lang!r} is no language's tag.",
                needed="One such as sw is needed.",
                todo="Leave it out to have it found.",
            )
        document = reader.read(file, name=name, lang=lang or self._lang, told=told)
        if not passages(document, docpack=DOCPACK):
            raise KnowledgeError(f"{file} holds no sentence to answer from.", todo="Look at it in a reader.")
        sha256 = _sha256(file)
        with self._alone():
            others = [known for known, _ in self._known() if known.path != name]
            notes = list(document.notes)
            for same in find_same([*others, document]):
                if name not in (same.first, same.second):
                    continue
                if same.copy:
                    raise KnowledgeError(
                        f"{file} says the same as {same.first}, which is here already.",
                        todo=f"Keep one; to exchange it: fieldpost documents remove {same.first}",
                    )
                notes.append(in_words(same))
            text = self._text(name)
            before = text.with_suffix(".before")
            try:
                _copy(file, self._file(name, sha256))
                _sync(self._files)
                if text.exists():
                    before.unlink(missing_ok=True)
                    before.hardlink_to(text)
                write_private(text, _to_json(document, sha256))
                self._index()
            except (OSError, KnowledgeError) as error:
                self._undo(text, before)
                if isinstance(error, KnowledgeError):
                    raise
                raise _disk(f"{file} could not be added", error) from error
            finally:
                self._sweep()
        return notes

    def remove(self, name: str) -> None:
        """Take a document out.

        Raises:
            KnowledgeError: there is none of this name, or the index cannot be written anew.
        """
        with self._alone():
            if not self._text(name).is_file():
                known = ", ".join(document.path for document, _ in self._known())
                raise KnowledgeError(f"There is no document {name}.", needed=f"Here are: {known or 'none'}.")
            self._text(name).unlink()
            _sync(self._texts)
            self._sweep()
            try:
                self._index()
            except OSError as error:
                raise _disk(f"{name} is removed, but its words can still be found", error) from error

    def refresh(self) -> None:
        """Index anew if the index is not of these texts, as after a pulled plug or an update of Fieldpost.

        Raises:
            KnowledgeError: it cannot be written.
        """
        if not self._folder.is_dir() or (self._indexed() == self._state() and not self._left_over()):
            return
        with self._alone():
            self._sweep()
            if self._indexed() == self._state():
                return
            try:
                self._index()
            except OSError as error:
                raise _disk("The added documents could not be indexed anew", error) from error

    def reindex(self) -> None:
        """Index all texts anew, whether that seems needed or not.

        Raises:
            KnowledgeError: it cannot be written.
        """
        with self._alone():
            try:
                self._index()
            except OSError as error:
                raise _disk("The added documents could not be indexed anew", error) from error

    def _index(self) -> None:
        documents = [document for document, _ in self._known()]
        state = self._state()
        if not documents:
            self.index.unlink(missing_ok=True)
        else:
            try:
                self._write(documents, self._embedder)
            except EngineError:
                self._write(documents, None)
                state = {**state, "embedder": ""}
        _sync(self._folder)
        write_private(self._folder / "indexed.json", json.dumps({**state, "there": self.index.exists()}).encode())

    def _write(self, documents: Sequence[Document], embedder: Embedder | None) -> None:
        write_index(documents, docpack=DOCPACK, language=self._lang, out=self.index, embedder=embedder)

    def _state(self) -> Mapping[str, Any]:
        texts = {document.path: sha256 for document, sha256 in self._known()}
        embedder = self._embedder.digest if self._embedder else ""
        there = self.index.exists()
        return {"index": FORMAT, "language": self._lang, "embedder": embedder, "texts": texts, "there": there}

    def _indexed(self) -> object:
        with suppress(OSError, ValueError):
            return json.loads((self._folder / "indexed.json").read_bytes())
        return None

    def _undo(self, text: Path, before: Path) -> None:
        """Put the old text back, which takes no room; then the index, if there is room for one."""
        with suppress(OSError, KnowledgeError):
            if before.exists():
                before.replace(text)
            else:
                text.unlink(missing_ok=True)
            if self._indexed() != self._state():
                self._index()

    def _left_over(self) -> list[Path]:
        """What no document needs: files of older editions, and what a pulled plug left behind."""
        needed = {self._file(document.path, sha256) for document, sha256 in self._known()}
        files = self._files.iterdir() if self._files.is_dir() else ()
        return [path for path in files if path not in needed] + [
            path for ending in ("before", "tmp") for path in self._texts.glob(f"*.{ending}")
        ]

    def _sweep(self) -> None:
        for path in self._left_over():
            path.unlink(missing_ok=True)

    def _known(self) -> Iterator[tuple[Document, str]]:
        if not self._texts.is_dir():
            return
        for path in sorted(self._texts.glob("*.json")):
            try:
                yield _from_json(json.loads(path.read_bytes()))
            except (OSError, ValueError, KeyError, TypeError) as error:
                name = path.name.removesuffix(".json")
                raise KnowledgeError(
                    f"{path} cannot be read: {error!r:.100}.", todo=f"Remove it, and add {name} again."
                ) from error

    def _text(self, name: str) -> Path:
        return self._texts / f"{name}.json"

    def _file(self, name: str, sha256: str) -> Path:
        return self._files / f"{sha256[:16]}-{name}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        for folder in (self._folder, self._files, self._texts):
            folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _safe_name(name: str) -> str:
    """The file's name as it is kept: one line, no path, short enough for any disk.

    Raises:
        KnowledgeError: nothing is left of it.
    """
    name = unicodedata.normalize("NFC", name)
    name = "".join(sign for sign in name if unicodedata.category(sign)[0] != "C" and sign not in '/\\:*?"<>|').strip()
    stem, dot, suffix = name.rpartition(".")
    while len(f"{stem}.{suffix}".encode()) > _LONGEST_NAME:
        stem = stem[:-1]
    if not dot or not stem.strip(" ."):
        raise KnowledgeError(f"{name or 'The file'} has no usable name.", todo="Give it a name such as guide.pdf.")
    return f"{stem.lstrip('.')}.{suffix}"


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _copy(file: Path, draft: Path) -> None:
    with file.open("rb") as source, draft.open("wb") as target:
        draft.chmod(0o600)
        shutil.copyfileobj(source, target, _PIECE)
        target.flush()
        os.fsync(target.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk(found: str, error: OSError) -> KnowledgeError:
    return KnowledgeError(f"{found}: {error.strerror or error}.", todo="Check the disk, and who owns the folder.")


def _to_json(document: Document, sha256: str) -> bytes:
    return json.dumps({"format": _FORMAT, "sha256": sha256, **asdict(document)}, ensure_ascii=False).encode()


def _from_json(raw: Mapping[str, Any]) -> tuple[Document, str]:
    if raw["format"] != _FORMAT:
        raise ValueError(f"format {raw['format']}")
    return (
        Document(
            path=raw["path"],
            title=raw["title"],
            lang=raw["lang"],
            text=raw["text"],
            headings=tuple(Heading(**mark) for mark in raw["headings"]),
            pages=tuple(raw["pages"]),
            notes=tuple(raw["notes"]),
        ),
        raw["sha256"],
    )
