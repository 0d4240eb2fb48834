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
            raise _unusable(self._folder, error) from error


def _unusable(folder: Path, error: Exception) -> LanguageError:
    return LanguageError(
        f"The language package {folder.name} cannot be used: {str(error)[:200]}.",
        needed="A whole, unpacked Argos package is needed.",
        todo="Install the stick again.",
    )
