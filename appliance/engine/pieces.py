"""From a model's bytes to text for people: whole characters only, and nothing from a stop text on. Pure."""

import codecs
from collections.abc import Sequence


class Pieces:
    """Turns token bytes into text pieces. A token may hold half a character; a stop text may span several tokens."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped = False
        """Whether a stop text has come; what follows it is dropped."""

    def push(self, data: bytes) -> str:
        """The text that is certain after these bytes; may be empty."""
        return self._release(self._decode(data), final=False)

    def finish(self) -> str:
        """The rest: held-back text, and U+FFFD for a character that never became whole."""
        return self._release(self._decode(b"", final=True), final=True)

    def _release(self, text: str, *, final: bool) -> str:
        if self.stopped:
            return ""
        self._held += text
        found = min((at for stop in self._stop if (at := self._held.find(stop)) >= 0), default=-1)
        if found >= 0:
            self.stopped = True
            ready, self._held = self._held[:found], ""
            return ready
        keep = 0 if final else max((_begun(self._held, stop) for stop in self._stop), default=0)
        ready, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return ready


def _begun(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if stop.startswith(text[-n:])), 0)
