"""Translation as the box sees it: a text in, a text out, and flags for what is doubtful.

The translator runs in a worker process, started with the first text and again when it died. Sentences are split, looked
up and checked here; which text is translated, and when, is the pipeline's; what the process does is in ``worker``.
"""

import tempfile
import threading
from collections import OrderedDict, deque
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.child import Child, WireError, error_from_message
from appliance.errors import LanguageError
from appliance.exchange import Translation
from appliance.language.glossary import Glossary
from appliance.language.protect import HARM, Sentence, harm, translated
from appliance.language.sentences import split

WEAK = "translation-weak"
PIVOTED = "translation-pivoted"
LONGEST = 300
"""Characters of a sentence that is translated at once. CTranslate2 drops what is beyond 1,024 tokens without a word,
and small models lose the thread long before."""
MOST_KEPT = 1_000_000
"""Characters of sentences and translations that are remembered."""

MAX_TEXT = 20_000
"""Characters of one text: more would keep everybody else waiting."""
TIMEOUT_S = 60.0
"""For one sentence, the start of the process included (0.5 s) and the reading of a 100 MB model (1-3 s)."""
MEMORY = 4 << 30
"""Bytes of address space the process may use."""
_MODULE = "appliance.language.worker"
_TRIES = 2


class Translator:
    """Translates between the languages of the installed langpacks. Any thread may ask; one sentence at a time."""

    def __init__(
        self,
        packs: Mapping[tuple[str, str], Path],
        *,
        glossary: Glossary | None = None,
        weak: Collection[tuple[str, str]] = (),
        threads: int = 0,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Describe it; nothing is started yet.

        Args:
            packs: (source, target) to the folder of an unpacked Argos package.
            glossary: terms that must come through.
            weak: pairs that were measured and found poor: what they translate is flagged.
            threads: processor cores to use; 0 leaves it to CTranslate2.
            timeout_s: seconds one sentence may take.
        """
        self._packs = {pair: folder.resolve() for pair, folder in packs.items()}
        self._glossary = glossary or Glossary()
        self._weak = frozenset(weak)
        self._threads = threads
        self._timeout_s = timeout_s
        self._seen = _Seen()
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
        """Whether there is a way from one language to the other, perhaps through others."""
        return source == target or self.route(source, target) is not None

    def route(self, source: str, target: str) -> list[tuple[str, str]] | None:
        """The packs to go through, as few as possible; None without a way."""
        ways = deque([[source]])
        reached = {source}
        while ways:
            way = ways.popleft()
            for start, end in sorted(self._packs):
                if start == way[-1] and end not in reached:
                    if end == target:
                        return list(pairwise([*way, end]))
                    reached.add(end)
                    ways.append([*way, end])
        return None

    def translate(self, text: str, source: str, target: str) -> Translation:
        """Translate a text. Line ends and the white space between sentences stay as they are.

        Raises:
            LanguageError: there is no way between the languages, the text is too long, or the translator failed.
        """
        if source == target or not text.strip():
            return Translation(text=text, source=source, target=target)
        route = self.route(source, target)
        if route is None:
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
        whole = self._glossary.whole(text, source, target)
        if whole is not None:
            return Translation(text=_in_place(text, whole), source=source, target=target)
        parts = [self._piece(piece, route) for piece in split(text, limit=LONGEST)]
        flags = [flag for part in parts for flag in part.flags]
        flags += [WEAK for pair in route if pair in self._weak]
        flags += [PIVOTED] if len(route) > 1 else []
        translated = "".join(part.text for part in parts)
        return Translation(text=translated, source=source, target=target, flags=tuple(dict.fromkeys(flags)))

    def _piece(self, piece: str, route: Sequence[tuple[str, str]]) -> Sentence:
        """One sentence with the white space around it, through all packs of the way."""
        source, target = route[0][0], route[-1][1]
        body = piece.strip()
        if not any(c.isalpha() for c in body):  # numbers and signs mean the same everywhere
            return Sentence(text=piece)
        said = Sentence(text=body)
        flags: set[str] = set()
        for start, end in route:
            said = self._sentence(said.text, start, end)
            flags.update(said.flags)
        if len(route) > 1:  # what one pack lost another may have put back, and the other way round
            flags = flags - set(HARM) | set(harm(body, source, said.text, target))
        return Sentence(text=_in_place(piece, said.text), flags=tuple(sorted(flags)))

    def _sentence(self, text: str, source: str, target: str) -> Sentence:
        whole = self._glossary.whole(text, source, target)
        if whole is not None:
            return Sentence(text=whole)
        known = self._seen.get((source, target, text))
        if known is None:
            terms = self._glossary.terms(source, target)
            known = translated(text, source, target, terms, _Worker(self, source, target))
            self._seen.put((source, target, text), known)
        return known

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Send one order to the process and return its answer; for ``_Worker``.

        Raises:
            LanguageError: the translator failed.
        """
        with self._lock:
            return self._ask(order)

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        ending = ""
        for _ in range(_TRIES):
            if self._closed:
                raise LanguageError("The translator is closed.", todo="Start fieldpost again.")
            self._key += 1
            try:
                wire = (self._child or self._start()).wire
                wire.send({**order, "key": self._key})
                answer = wire.receive(self._timeout_s)
                if answer is not None:
                    return _checked(answer, self._key)
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


class _Worker:
    """One pack, in the translator's process."""

    def __init__(self, translator: Translator, source: str, target: str) -> None:
        self._ask = translator.ask
        self._pair = {"source": source, "target": target}

    def sentence(self, text: str) -> str:
        return str(self._ask({"do": "translate", "text": text, **self._pair}).get("text", ""))

    def forced(self, text: str, term: str, draft: str) -> list[str]:
        texts = self._ask({"do": "force", "text": text, "term": term, "draft": draft, **self._pair}).get("texts")
        return [str(one) for one in texts] if isinstance(texts, list) else []


class _Seen:
    """Sentences that were translated lately, the oldest forgotten first. In memory only: they may name people.

    A translator lives as long as its release, so the packs behind a pair never change under it.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, str], Sentence] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str, str]) -> Sentence | None:
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def put(self, key: tuple[str, str, str], sentence: Sentence) -> None:
        with self._lock:
            if key not in self._known:
                self._known[key] = sentence
                self._size += len(key[2]) + len(sentence.text)
            while self._size > MOST_KEPT:
                (_, _, text), old = self._known.popitem(last=False)
                self._size -= len(text) + len(old.text)


def _in_place(piece: str, translation: str) -> str:
    """The translation with the white space that stood around the piece."""
    body = piece.strip()
    at = piece.index(body)
    return piece[:at] + translation + piece[at + len(body) :]


def _checked(answer: dict[str, Any], key: int) -> dict[str, Any]:
    if answer.get("key") != key:
        raise WireError("answered another question")
    if answer.get("say") == "error":
        raise error_from_message(answer.get("error"), LanguageError)
    return answer
