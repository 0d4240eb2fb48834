"""An answer as it grows: each finished sentence gets its source, its place in the documents and its translation, once.

Asking the model is left to the pipeline; what supports a sentence is judged by ``claims``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance import prompt
from appliance.claims import Support, support
from appliance.exchange import Claim, Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The answer so far: in the asker's language, and as the model wrote it."""

    answer: str
    answer_working: str


class Draft:
    """One answer, from its first piece to its last."""

    def __init__(
        self, passages: tuple[Passage, ...], give_back: Callable[[str], str], *, lang: str, translated: bool
    ) -> None:
        """Begin.

        Args:
            give_back: a sentence with its marks into the asker's language.
            lang: the documents' language, in which the pieces are.
            translated: whether that is another than the asker's.
        """
        self._passages = passages
        self._give_back = give_back
        self._lang = lang
        self._translated = translated
        self._raw = self._written = self._answer = ""
        self._taken = 0
        self._claims: list[Claim] = []

    def add(self, piece: str) -> Said:
        """Take a piece of the model's text."""
        self._raw += piece
        sentences = prompt.sentences(self._raw)
        self._take(sentences[:-1])
        growing = prompt.without_last_mark("".join(sentences[-1:]))
        # Half a sentence cannot be translated; in the documents' own language it can be read as it grows.
        return Said(answer=self._answer + ("" if self._translated else growing), answer_working=self._written + growing)

    def end(self) -> tuple[str, str, tuple[Claim, ...]]:
        """The whole answer in the asker's language and as the model wrote it, and its sentences."""
        self._take(prompt.sentences(self._raw))
        return self._answer, self._written, tuple(self._claims)

    def _take(self, sentences: Sequence[str]) -> None:
        for sentence in sentences[self._taken :]:
            sourced, place = self._sourced(sentence)
            text = self._give_back(sourced)
            self._written += sourced
            self._answer += text
            if self._passages:
                self._claims.append(_claim(text, sourced, place))
        self._taken = max(self._taken, len(sentences))

    def _sourced(self, sentence: str) -> tuple[str, Support | None]:
        """The sentence with the mark of the passage that says it, and the place there."""
        sentence = prompt.sourced(sentence, self._passages)
        part = prompt.take_apart(sentence)
        cited = prompt.citations(part.after, len(self._passages))
        place = support(part.text, self._passages, self._lang, cited)
        if place is not None and not place.enough and cited:
            place = max(place, support(part.text, self._passages, self._lang) or place, key=lambda one: one.share)
        if place is not None and place.enough and place.number not in cited and not prompt.is_abstention(sentence):
            sentence = prompt.cite(sentence, place.number)
        return sentence, place


def _claim(text: str, sentence: str, place: Support | None) -> Claim:
    if place is None or prompt.is_abstention(sentence):  # nothing is claimed
        return Claim(text=text, text_working=sentence, supported=True)
    return Claim(
        text=text,
        text_working=sentence,
        supported=place.enough,
        passage=place.number,
        start=place.start,
        end=place.end,
    )
