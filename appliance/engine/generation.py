"""One generation's state: what to decode next, and what came of it. Decides without decoding anything.

A scheduler can hold several of these and fill one decode batch from all of them; today's worker holds one.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.engine.pieces import Pieces
from appliance.engine.sampling import Sampler
from appliance.errors import PromptTooLong


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
        is_end: Callable[[int], bool],
        piece: Callable[[int], bytes],
    ) -> None:
        """Begin.

        Args:
            prompt: tokens of the prompt.
            context: tokens that prompt and answer may use together.
            is_end: whether a token ends a generation.
            piece: a token's bytes.

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
        self.generated_tokens = 0
        self.finish: str | None = None
        """None while it goes on, then ``stop`` or ``length``."""
        self._due = list(prompt)
        self._position = 0
        self._room = min(max_tokens, context - len(prompt))
        self._sampler = sampler
        self._pieces = pieces
        self._is_end = is_end
        self._piece = piece

    def due(self, limit: int) -> tuple[list[int], int]:
        """The next tokens to decode, at most ``limit``, and the position of the first."""
        return self._due[:limit], self._position

    def decoded(self, count: int) -> bool:
        """Note that ``count`` of the due tokens were decoded. True when the last one's scores can be taken."""
        del self._due[:count]
        self._position += count
        return not self._due

    def take(self, scores: NDArray[np.float32]) -> str:
        """Choose the next token by its scores, shape (vocabulary,). Returns the text that became certain."""
        token = self._sampler.choose(scores)
        if self._is_end(token):
            self.finish = "stop"
            return self._pieces.finish()
        self._sampler.accept(token)
        self.generated_tokens += 1
        text = self._pieces.push(self._piece(token))
        if self._pieces.stopped:
            self.finish = "stop"
        elif self.generated_tokens >= self._room:
            self.finish = "length"
            text += self._pieces.finish()
        else:
            self._due = [token]
        return text
