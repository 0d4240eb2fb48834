"""From a model's bytes to text for people: whole characters only, nothing from a stop text on, thinking apart. Pure."""

import codecs
from collections.abc import Sequence

from appliance.engine.protocol import Thinking

OPEN, CLOSE = "<think>", "</think>"
"""How reasoning models (DeepSeek-R1, Qwen3) mark what they write for themselves."""


class Pieces:
    """Turns token bytes into text pieces. A token may hold half a character; a stop text may span several tokens."""

    def __init__(self, stop: Sequence[str] = (), *, thinks: bool = False, thinking: bool = False) -> None:
        """Begin.

        Args:
            stop: texts that end the answer; what the model thinks does not count.
            thinks: whether the model is one that may think before it answers.
            thinking: whether it thinks already, because its prompt ends in the opening mark.
        """
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self._undecided = thinks and not thinking
        self._trim = False
        self.thinking = thinking
        """Whether what comes now is thought."""
        self.stopped = False
        """Whether a stop text has come; what follows it is dropped."""

    def push(self, data: bytes) -> list[str | Thinking]:
        """The text that is certain after these bytes; none is empty."""
        return self._release(self._decode(data), final=False)

    def finish(self) -> list[str | Thinking]:
        """The rest: held-back text, and U+FFFD for a character that never became whole."""
        return self._release(self._decode(b"", final=True), final=True)

    def _release(self, text: str, *, final: bool) -> list[str | Thinking]:
        if self.stopped:
            return []
        self._held += text
        pieces: list[str | Thinking] = []
        if self._undecided:
            self._decide(final=final)
        if self.thinking:
            thought = self._thought(final=final)
            pieces += [Thinking(text=thought)] if thought else []
        if not self.thinking and not self._undecided:
            answer = self._answer(final=final)
            pieces += [answer] if answer else []
        return pieces

    def _decide(self, *, final: bool) -> None:
        begun = self._held.lstrip()
        if begun.startswith(OPEN):
            self._held = begun[len(OPEN) :]
            self.thinking = True
        self._undecided = not self.thinking and not final and OPEN.startswith(begun)

    def _thought(self, *, final: bool) -> str:
        thought, mark, rest = self._held.partition(CLOSE)
        if mark:
            self._held = rest
            self.thinking = False
            self._trim = True
            return thought
        keep = 0 if final else _begun(thought, CLOSE)
        self._held = thought[len(thought) - keep :]
        return thought[: len(thought) - keep]

    def _answer(self, *, final: bool) -> str:
        if self._trim:  # the empty line between thought and answer
            self._held = self._held.lstrip()
            self._trim = not self._held
        found = min((at for stop in self._stop if (at := self._held.find(stop)) >= 0), default=-1)
        if found >= 0:
            self.stopped = True
            ready, self._held = self._held[:found], ""
            return ready
        keep = 0 if final else max((_begun(self._held, stop) for stop in self._stop), default=0)
        ready, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return ready


def _begun(text: str, mark: str) -> int:
    """Length of the longest end of ``text`` that begins ``mark``."""
    return next((n for n in range(min(len(mark) - 1, len(text)), 0, -1) if mark.startswith(text[-n:])), 0)
