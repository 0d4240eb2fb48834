"""Answers that must fit a JSON schema: llama.cpp's own grammars, asked as little as possible. A door to llama.cpp."""

import ctypes
import json
from collections.abc import Mapping
from typing import Any

import llama_cpp as c
import numpy as np
from llama_cpp.llama_grammar import json_schema_to_gbnf
from numpy.typing import NDArray

from appliance.engine.llama import Model, complaints
from appliance.engine.sampling import top
from appliance.errors import RequestRefused

MOST_SCHEMA = 100_000
"""Characters of a schema, and of the grammar made from it."""
_HEAD = 256


class Grammar:
    """What may come next, after what was accepted."""

    def __init__(self, model: Model, schema: Mapping[str, Any]) -> None:
        """Compile a schema.

        Raises:
            RequestRefused: it is no schema that llama.cpp can follow.
        """
        text = json.dumps(schema)
        try:
            # An empty schema allows any JSON; the converter wants to be told so.
            rules = json_schema_to_gbnf(text if schema else '{"type": "object"}') if len(text) <= MOST_SCHEMA else ""
        except Exception as error:  # a converter of a foreign text: KeyError, RecursionError, its own
            raise _unusable(str(error) or type(error).__name__) from error
        if not 0 < len(rules) <= MOST_SCHEMA:
            raise _unusable(f"it is longer than {MOST_SCHEMA} characters")
        self._sampler = c.llama_sampler_init_grammar(model.vocabulary, rules.encode(), b"root")
        if not self._sampler:
            raise _unusable(complaints.taken())

    def __del__(self) -> None:
        if getattr(self, "_sampler", None):
            c.llama_sampler_free(self._sampler)

    def allows(self, token: int) -> bool:
        """Whether this token may come next."""
        return bool(self._allowed(np.array([token]))[0])

    def masked(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of the tokens that may come next, -inf for all others. Looks at the likeliest first."""
        for count in (_HEAD, scores.size):
            tokens = top(scores, count)
            allowed = tokens[self._allowed(tokens)]
            if allowed.size and np.isfinite(scores[allowed]).any():
                break
        masked = np.full_like(scores, -np.inf)
        masked[allowed] = scores[allowed]
        return masked

    def accept(self, token: int) -> None:
        """Go on after this token, which was allowed."""
        c.llama_sampler_accept(self._sampler, token)

    def _allowed(self, tokens: NDArray[np.intp]) -> NDArray[np.bool_]:
        entries = (c.llama_token_data * tokens.size)()
        view = np.ctypeslib.as_array(entries)
        view["id"], view["logit"], view["p"] = tokens, 1.0, 0.0
        several = c.llama_token_data_array(data=entries, size=tokens.size, selected=-1, sorted=False)
        c.llama_sampler_apply(self._sampler, ctypes.byref(several))
        return np.asarray(np.isfinite(view["logit"]))


def _unusable(reason: str) -> RequestRefused:
    return RequestRefused(
        f"The answer's schema cannot be used: {reason[:300]}.",
        needed="A JSON schema is needed, without references to other files.",
        todo="Make it simpler.",
    )
