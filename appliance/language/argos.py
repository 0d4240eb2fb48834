"""The only door to argostranslate: one unpacked package, and a sentence through it. Imported by the worker alone.

argostranslate 1.11.0 imports stanza (and with it torch) and minisbd (AGPL-3.0, and it downloads a model at the first
translation) only to find sentence borders, which we find ourselves. So both are replaced by stubs here, and no
package is ever installed, looked up or updated: the release's own folder is opened as it is.
"""

import sys
import types
from pathlib import Path
from typing import Any, NoReturn

from appliance.errors import LanguageError

_MOST_CUTS = 40
_AT_ONCE = 16
"""Hypotheses decoded together: more would only take more memory."""
_SPARE = 20
"""Tokens that a translation may be longer with a term in it."""


def _absent(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("left out on purpose: sentences are split in appliance.language.sentences")


def _stub() -> None:
    stanza: Any = types.ModuleType("stanza")
    stanza.Pipeline = _absent
    models: Any = types.ModuleType("minisbd.models")
    models.list_models = list  # none is known, so none is looked for
    minisbd: Any = types.ModuleType("minisbd")
    minisbd.SBDetect = _absent
    minisbd.models = models
    sys.modules.update({"stanza": stanza, "minisbd": minisbd, "minisbd.models": models})


_stub()

from argostranslate.package import Package  # noqa: E402  (after its stubs)
from argostranslate.translate import Language, PackageTranslation  # noqa: E402


class _Whole:
    """In place of a sentence splitter: what comes in is one sentence already."""

    def split_sentences(self, text: str) -> list[str]:
        return [text]


class Pair:
    """One direction between two languages, from an unpacked Argos package."""

    def __init__(self, folder: Path, source: str, target: str) -> None:
        """Open it; the model itself is read at the first sentence.

        Raises:
            LanguageError: the folder is no package, or one for other languages.
        """
        try:
            package: Any = Package(folder)
        except (OSError, ValueError, AttributeError) as error:
            raise _unusable(folder, error) from error
        if (package.from_code, package.to_code) != (source, target):
            raise LanguageError(
                f"{folder.name} translates {package.from_code} to {package.to_code}.",
                needed=f"{source} to {target} is needed.",
                todo="Correct the langpack's pairs in the recipe.",
            )
        if not hasattr(package, "tokenizer") or not (folder / "model" / "model.bin").is_file():
            raise _unusable(folder, FileNotFoundError("its tokenizer or model is missing"))
        self._folder = folder
        self._package = package
        self._translation: Any = PackageTranslation(
            Language(source, package.from_name), Language(target, package.to_name), package
        )
        self._translation.sentencizer = _Whole()

    def sentence(self, text: str) -> str:
        """The translation of one sentence, without white space around it.

        Raises:
            LanguageError: the model cannot be read or run.
        """
        try:
            return str(self._translation.translate(text)).strip()
        except (RuntimeError, ValueError, OSError) as error:
            if self._translation.translator is None:
                raise _unusable(self._folder, error) from error
            return self._shorter(text, error)

    def _shorter(self, text: str, error: Exception) -> str:
        """A sentence on which the model ran beyond the positions it knows: with a bound on its length, or in halves."""
        source = self._package.tokenizer.encode(text)
        lead = [self._package.target_prefix] if self._package.target_prefix else []
        try:
            (result,) = self._translation.translator.translate_batch(
                [source], target_prefix=[lead] if lead else None, max_decoding_length=2 * len(source) + _SPARE
            )
            return str(self._package.tokenizer.decode(result.hypotheses[0][len(lead) :])).strip()
        except (RuntimeError, ValueError) as again:
            words = text.split()
            if len(words) < 2:
                raise _unusable(self._folder, again) from error
            half = len(words) // 2
            return f"{self.sentence(' '.join(words[:half]))} {self.sentence(' '.join(words[half:]))}"

    def forced(self, text: str, term: str, draft: str) -> list[str]:
        """Translations of the sentence that hold the term, the likeliest first, at most eight.

        At each of the draft's word borders the decoder is made to write the term there and goes on by itself; the
        model's own probability of the whole says which place suits (after Hokamp and Liu, "Lexically constrained
        decoding", 2017, with the places tried one by one in place of a grid).

        Args:
            draft: the package's own translation of the sentence.

        Raises:
            LanguageError: the model cannot be read or run.
        """
        try:
            if self._translation.translator is None:
                self.sentence(text)
            encode, decode = self._package.tokenizer.encode, self._package.tokenizer.decode
            lead = [self._package.target_prefix] if self._package.target_prefix else []
            source, said, wanted = encode(text), encode(draft), encode(term)
            begins = [lead + said[:cut] + wanted for cut in _cuts(said)]
            sources = [source] * len(begins)
            model = self._translation.translator
            longest = len(lead) + len(said) + len(wanted) + _SPARE
            done = model.translate_batch(
                sources, target_prefix=begins, beam_size=2, max_decoding_length=longest, max_batch_size=_AT_ONCE
            )
            found = [result.hypotheses[0] for result in done]
            chances = model.score_batch(sources, found, max_batch_size=_AT_ONCE)
            ranked = sorted(
                zip((_mean(chance.log_probs) for chance in chances), found, strict=True), key=lambda one: -one[0]
            )
            texts = [str(decode(tokens[len(lead) :])).strip() for _, tokens in ranked]
        except (RuntimeError, ValueError):  # it ran beyond the positions it knows; ``sentence`` tells what is broken
            return []
        return list(dict.fromkeys(texts))[:8]


def _cuts(tokens: list[str]) -> list[int]:
    """Where words begin, and the end; at most ``_MOST_CUTS``. SentencePiece marks a word's first token, BPE all but its
    last."""
    pieces = any(token.startswith("\u2581") for token in tokens)
    cuts = [
        n for n, token in enumerate(tokens)
        if (token.startswith("\u2581") if pieces else n == 0 or not tokens[n - 1].endswith("@@"))
    ]  # fmt: skip
    cuts = [*cuts, len(tokens)]
    step = -(-len(cuts) // _MOST_CUTS)
    return cuts[::step]


def _mean(log_probs: list[float]) -> float:
    return sum(log_probs) / max(1, len(log_probs))


def _unusable(folder: Path, error: Exception) -> LanguageError:
    return LanguageError(
        f"The language package {folder.name} cannot be used: {str(error)[:200]}.",
        needed="A whole, unpacked Argos package is needed.",
        todo="Install the stick again.",
    )
