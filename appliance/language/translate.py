"""Translation as the box sees it: a text in, a text out, and flags for what is doubtful.

The translator runs in a worker process, started with the first text and again when it died. Which text is translated,
and when, is the pipeline's; what the process does is in ``worker``.
"""

import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.child import Child, WireError, error_from_message
from appliance.errors import LanguageError
from appliance.exchange import Translation
from appliance.language.numbers import flags

MAX_TEXT = 20_000
"""Characters of one text: more would keep everybody else waiting."""
TIMEOUT_S = 60.0
"""For one text, the start of the process included (0.5 s) and the reading of a 100 MB model (1-3 s)."""
MEMORY = 4 << 30
"""Bytes of address space the process may use."""
_MODULE = "appliance.language.worker"
_TRIES = 2


class Translator:
    """Translates between the languages of the installed langpacks. Any thread may ask; one text at a time."""

    def __init__(
        self, packs: Mapping[tuple[str, str], Path], *, threads: int = 0, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Describe it; nothing is started yet.

        Args:
            packs: (source, target) to the folder of an unpacked Argos package.
            threads: processor cores to use; 0 leaves it to CTranslate2.
            timeout_s: seconds one text may take.
        """
        self._packs = {pair: folder.resolve() for pair, folder in packs.items()}
        self._threads = threads
        self._timeout_s = timeout_s
        # Held while a text is translated; guards all below.
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._key = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; a text in work gets a LanguageError."""
        self._closed = True
        if (child := self._child) is not None:
            child.kill()  # before the lock: whoever holds it waits for this child
        with self._lock:
            self._end()
            if self._scratch is not None:
                self._scratch.cleanup()
                self._scratch = None

    def can(self, source: str, target: str) -> bool:
        """Whether there is a way from one language to the other."""
        return source == target or (source, target) in self._packs

    def translate(self, text: str, source: str, target: str) -> Translation:
        """Translate a text. Line ends and the white space between sentences stay as they are.

        Raises:
            LanguageError: there is no way between the languages, the text is too long, or the translator failed.
        """
        if source == target or not text.strip():
            return Translation(text=text, source=source, target=target)
        if (source, target) not in self._packs:
            known = ", ".join(f"{a} to {b}" for a, b in sorted(self._packs))
            raise LanguageError(
                f"There is no translation from {source} to {target}.",
                needed=f"Known are: {known or 'none'}.",
                todo="Install a bundle with a language pack for it.",
            )
        if len(text) > MAX_TEXT:
            raise LanguageError(
                f"The text has {len(text)} characters.", needed=f"At most {MAX_TEXT}.", todo="Translate it in parts."
            )
        with self._lock:
            translated = self._ask(text, source, target)
        return Translation(text=translated, source=source, target=target, flags=flags(text, translated))

    def _ask(self, text: str, source: str, target: str) -> str:
        ending = ""
        for _ in range(_TRIES):
            if self._closed:
                raise LanguageError("The translator is closed.", todo="Start fieldpost again.")
            self._key += 1
            order = {"do": "translate", "key": self._key, "text": text, "source": source, "target": target}
            try:
                wire = (self._child or self._start()).wire
                wire.send(order)
                answer = wire.receive(self._timeout_s)
                if answer is not None:
                    return _translated(answer, self._key)
            except TimeoutError:
                assert self._child is not None  # noqa: S101  (it was asked)
                self._child.kill()
                self._end()
                raise LanguageError(
                    f"The translator took more than {self._timeout_s:.0f} seconds.", todo="Ask in shorter sentences."
                ) from None
            except WireError as error:
                ending = str(error)
            ending = self._end() or ending
        raise LanguageError(
            f"The translator's process {ending}, {_TRIES} times in a row.",
            needed="Whole language packages, and memory enough for them, are needed.",
            todo="Ask in the documents' language; install the stick again.",
        )

    def _start(self) -> Child:
        # argostranslate makes folders for itself when it is imported; they are ours, and stay empty.
        self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="fieldpost-argos-")
        environment = {
            **dict.fromkeys(("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HOME"), self._scratch.name),
            "ARGOS_PACKAGES_DIR": self._scratch.name,
            "ARGOS_PACKAGE_INDEX": "",
            "ARGOS_DEVICE_TYPE": "cpu",
            "ARGOS_INTRA_THREADS": str(self._threads),
            "OMP_WAIT_POLICY": "passive",
            "MALLOC_ARENA_MAX": "4",  # else address space grows by 64 MiB with each thread
        }
        self._child = Child(_MODULE, environment=environment, memory=MEMORY)
        packs = [{"source": a, "target": b, "folder": str(folder)} for (a, b), folder in self._packs.items()]
        self._child.wire.send({"do": "load", "packs": packs})
        return self._child

    def _end(self) -> str:
        """End the process; how it ended."""
        child, self._child = self._child, None
        return child.close() if child is not None else ""


def _translated(answer: dict[str, Any], key: int) -> str:
    if answer.get("key") != key:
        raise WireError("answered another question")
    if answer.get("say") == "error":
        raise error_from_message(answer.get("error"), LanguageError)
    return str(answer.get("text", ""))
