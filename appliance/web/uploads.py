"""Documents on their way into the library: one after another, in a thread, each watched by whoever looks.

What a file holds is read by the library's limited child only; here it is bytes.
"""

import logging
import queue
import re
import shutil
import tempfile
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from appliance.box import Box
from appliance.errors import FieldpostError, KnowledgeError
from appliance.knowledge.ingest import Reader
from appliance.knowledge.library import Library
from appliance.language.detect import detect

MOST_WAITING = 20
MOST_SHOWN = 30
_PIECE = 1 << 20
_UNSAFE = re.compile(r"[/\\\x00-\x1f]")
_REINDEX = ""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One document, or the index, being made ready."""

    name: str
    """Empty for the index of all."""
    percent: int = 0
    over: bool = False
    notes: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Work:
    at: int
    folder: Path | None
    file: Path | None
    lang: str | None = field(default=None)


class Uploads:
    """The queue. Any thread may call it; ``close`` ends it after the document in work."""

    def __init__(self, box: Box) -> None:
        self._site = box.release.languages
        self.library = Library(box.home.documents, lang=box.release.documents_lang, embedder=box.embedder)
        self._incoming = box.home.data / "incoming"
        shutil.rmtree(self._incoming, ignore_errors=True)  # of before a pulled plug
        self._lock = threading.Lock()
        self._shown: dict[int, Upload] = {}
        self._next = 0
        self._work: queue.Queue[_Work | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)
        self._thread.start()

    def add(self, name: str, source: BinaryIO, *, lang: str | None) -> None:
        """Take a file in; reading it begins when it is its turn.

        Raises:
            KnowledgeError: it has no name, too many wait, or the disk is full.
        """
        name = _UNSAFE.sub("", name).strip()[-150:]
        if name.strip(".") == "":
            raise KnowledgeError("The file has no usable name.", todo="Give it a name such as guide.pdf.")
        if self._work.qsize() >= MOST_WAITING:
            raise KnowledgeError(f"{MOST_WAITING} documents are waiting.", todo="Wait until some are done.")
        try:
            self._incoming.mkdir(mode=0o700, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=self._incoming))
            with (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target, _PIECE)
        except OSError as error:
            raise KnowledgeError(f"{name} could not be taken in: {error.strerror}.", todo="Check the disk.") from error
        self._work.put(_Work(self._show(Upload(name=name)), folder, folder / name, lang))

    def reindex(self) -> None:
        """Write the index of all documents anew, when it is its turn."""
        self._work.put(_Work(self._show(Upload(name=_REINDEX)), None, None))

    def shown(self) -> list[Upload]:
        """What waits, is in work or was done lately, newest first."""
        with self._lock:
            return [self._shown[at] for at in sorted(self._shown, reverse=True)]

    def close(self) -> None:
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                notes = self._read(work) if work.file else self._index()
                self._note(work.at, percent=100, over=True, notes=tuple(notes))
            except FieldpostError as error:
                self._note(work.at, over=True, error=str(error))
            except Exception:
                _log.exception("an upload failed")
                self._note(work.at, over=True, error="The box made a mistake. Tell your technician.")
            finally:
                if work.folder:
                    shutil.rmtree(work.folder, ignore_errors=True)

    def _read(self, work: _Work) -> list[str]:
        assert work.file is not None  # noqa: S101
        find = None if work.lang else (lambda text: detect(text, self._site))
        with Reader(detect=find) as reader:
            return self.library.add(
                work.file,
                reader,
                lang=work.lang,
                told=lambda done, of: self._note(work.at, percent=done * 95 // max(1, of)),
            )

    def _index(self) -> list[str]:
        self.library.reindex()
        return []

    def _show(self, upload: Upload) -> int:
        with self._lock:
            self._next += 1
            self._shown[self._next] = upload
            for old in sorted(at for at, one in self._shown.items() if one.over)[
                : max(0, len(self._shown) - MOST_SHOWN)
            ]:
                del self._shown[old]
            return self._next

    def _note(self, at: int, **changes: object) -> None:
        with self._lock:
            if at in self._shown:
                self._shown[at] = replace(self._shown[at], **changes)  # type: ignore[arg-type]
