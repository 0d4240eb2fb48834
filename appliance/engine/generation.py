"""One generation's state: what to decode next, and what came of it. Decides without decoding anything.

The batcher holds several of these and fills one decode batch from all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.engine.pieces import Pieces
from appliance.engine.protocol import Chance, Logprobs, Thinking
from appliance.engine.sampling import Sampler, log_chances, top
from appliance.errors import PromptTooLong


class Constrains(Protocol):
    """What an answer must look like; see ``appliance.engine.grammar``."""

    def allows(self, token: int) -> bool: ...

    def masked(self, scores: NDArray[np.float32]) -> NDArray[np.float32]: ...

    def accept(self, token: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What a generation needs to know of the model's tokens."""

    is_end: Callable[[int], bool]
    """Whether a token ends a generation."""
    piece: Callable[[int], bytes]
    """A token's bytes."""
    end_of_thinking: Sequence[int] = ()
    """The tokens that close a thought, put in when it has taken long enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What is asked for besides plain text."""

    logprobs: int | None = None
    thinking_tokens: int | None = None
    grammar: Constrains | None = None


class Generation:
    """From prompt tokens to text, one decode at a time: ``due`` -> decode -> ``decoded`` -> (``take``) -> ..."""

    def __init__(
        self,
        prompt: Sequence[int],
        *,
        context: int,
        max_tokens: int,
        sampler: Sampler,
        pieces: Pieces,
        vocabulary: Vocabulary,
        extras: Extras = Extras(),
        boundaries: Sequence[int] = (),
    ) -> None:
        """Begin.

        Args:
            prompt: tokens of the prompt.
            context: tokens that prompt and answer may use together.
            boundaries: positions in the prompt at which decoding pauses, so that the state there can be saved.

        Raises:
            PromptTooLong: the prompt is empty, or leaves no room for one token.
        """
        if not 0 < len(prompt) < context:
            raise PromptTooLong(
                f"The prompt has {len(prompt)} tokens.",
                needed=f"At least 1 and at most {context - 1} are needed: the model's context is {context}.",
                todo="Ask in fewer words, or give fewer passages.",
            )
        self.prompt_tokens = len(prompt)
        self.cached_tokens = 0
        self.generated_tokens = 0
        self.thinking_tokens = 0
        self.finish: str | None = None
        """None while it goes on, then ``stop`` or ``length``."""
        self.tokens = list(prompt)
        """Of prompt and answer, in order; those from ``position`` on are not decoded yet."""
        self.position = 0
        self.boundaries = tuple(sorted({b for b in boundaries if 0 < b < len(prompt)}))
        self.room = min(max_tokens, context - len(prompt))
        """Tokens that it may generate."""
        self._sampler = sampler
        self._pieces = pieces
        self._vocabulary = vocabulary
        self._extras = extras

    @property
    def writing(self) -> bool:
        """Whether the prompt is read."""
        return self.position >= self.prompt_tokens

    @property
    def due(self) -> int:
        """Number of tokens to decode next: up to the next boundary, or to the end."""
        end = next((b for b in self.boundaries if b > self.position), len(self.tokens))
        return end - self.position

    def restored(self, count: int) -> None:
        """Note that the state after the first ``count`` tokens is there already."""
        self.position = self.cached_tokens = count

    def decoded(self, count: int) -> bool:
        """Note that the next ``count`` tokens were decoded. True when the last one's scores can be taken."""
        self.position += count
        return self.position == len(self.tokens)

    def take(self, scores: NDArray[np.float32]) -> list[str | Thinking | Logprobs]:
        """Choose the next token by its scores, shape (vocabulary,). Returns what became certain."""
        token = self._choose(scores)
        if token is None:
            self.finish = "stop"
            return list(self._pieces.finish())
        pieces: list[str | Thinking | Logprobs] = []
        if self._extras.logprobs is not None:
            pieces.append(self._chances(scores, token, self._extras.logprobs))
        if self._vocabulary.is_end(token):
            self.finish = "stop"
            return pieces + self._pieces.finish()
        self._sampler.accept(token)
        self._append(token, pieces)
        if self._pieces.thinking and self.finish is None and self._has_thought_enough():
            for forced in self._vocabulary.end_of_thinking:
                self._append(forced, pieces)
        return pieces

    def end(self, reason: str) -> list[str | Thinking]:
        """Finish now, for a reason of others. Returns the text that was held back."""
        self.finish = reason
        return self._pieces.finish()

    def _append(self, token: int, pieces: list[str | Thinking | Logprobs]) -> None:
        if self.finish is not None:
            return
        self.generated_tokens += 1
        self.thinking_tokens += self._pieces.thinking
        self.tokens.append(token)
        pieces += self._pieces.push(self._vocabulary.piece(token))
        if self._pieces.stopped:
            self.finish = "stop"
        elif self.generated_tokens >= self.room:
            self.finish = "length"
            pieces += self._pieces.finish()

    def _choose(self, scores: NDArray[np.float32]) -> int | None:
        """The next token; None when the grammar allows none at all."""
        grammar = None if self._pieces.thinking else self._extras.grammar
        token = self._sampler.choose(scores)
        if grammar is not None:
            # Asking about one token takes microseconds, about all of them 130 ms: so only when this one is refused.
            if not grammar.allows(token):
                token = self._sampler.choose(grammar.masked(scores))
                if not grammar.allows(token):
                    return None
            grammar.accept(token)
        return token

    def _has_thought_enough(self) -> bool:
        limit = self._extras.thinking_tokens
        return limit is not None and self.thinking_tokens >= limit

    def _chances(self, scores: NDArray[np.float32], token: int, count: int) -> Logprobs:
        likely = top(scores, count) if count else np.empty(0, np.intp)
        values = log_chances(scores, [token, *likely.tolist()])
        order = np.argsort(-values[1:], kind="stable")
        piece = self._vocabulary.piece
        return Logprobs(
            chosen=Chance(data=piece(token), logprob=float(values[0])),
            top=tuple(Chance(data=piece(int(likely[i])), logprob=float(values[1 + i])) for i in order),
        )
