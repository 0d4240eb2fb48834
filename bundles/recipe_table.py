"""One TOML table of a recipe, read strictly: every error names the table, the key and what is needed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bundles.errors import RecipeError

SHA256 = re.compile(r"[0-9a-f]{64}")
REVISION = re.compile(r"[0-9a-f]{40}")
HUB_REPO = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A file, or with wildcards a set of files, relative to the recipe's folder."""

    file: str
    sha256: str | None = None

    @property
    def name(self) -> str:
        return Path(self.file).name


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A file of a Hugging Face Hub model repository."""

    repo: str
    file: str
    revision: str | None = None
    """Commit, 40 hex digits. Without it ``lock`` records today's."""
    sha256: str | None = None

    @property
    def name(self) -> str:
        return PurePosixPath(self.file).name


Source = FileSource | HubSource


class Table:
    """One TOML table and the words to name it in an error."""

    def __init__(self, raw: Any, where: str) -> None:
        if not isinstance(raw, dict):
            raise RecipeError(f"{where} is {type(raw).__name__}.", needed="A table is needed.")
        self.raw: dict[str, Any] = raw
        self.where = where

    def refuse_unknown(self, known: set[str]) -> None:
        unknown = sorted(set(self.raw) - known)
        if unknown:
            raise RecipeError(
                f"{self.where} has unknown keys: {', '.join(unknown)}.",
                needed=f"Known are: {', '.join(sorted(known))}.",
                todo="Remove or correct them.",
            )

    def text(self, key: str, form: re.Pattern[str] | None = None) -> str:
        value = self.raw.get(key)
        if value is None:
            raise RecipeError(f"{self.where} has no {key}.", todo=f'Add {key} = "...".')
        return self._string(key, value, form)

    def texts(self, key: str, form: re.Pattern[str] | None = None, *, required: bool = False) -> tuple[str, ...]:
        value = self.raw.get(key, [])
        if not isinstance(value, list):
            raise RecipeError(f"{self.where} {key} is {value!r}.", needed="A list of strings is needed.")
        if required and not value:
            raise RecipeError(f"{self.where} has no {key}.", todo=f'Add {key} = ["..."].')
        return tuple(self._string(key, item, form) for item in value)

    def whole(self, key: str) -> int:
        value = self.raw.get(key)
        if type(value) is not int or not 0 < value < 1 << 31:
            raise RecipeError(f"{self.where} {key} is {value!r}.", needed="A whole number above 0 is needed.")
        return value

    def share(self, key: str) -> float:
        value = self.raw.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise RecipeError(f"{self.where} {key} is {value!r}.", needed="A number from 0 to below 1 is needed.")
        return float(value)

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """One of some words; the first when the key is absent."""
        value = self.raw.get(key, choices[0])
        if value not in choices:
            raise RecipeError(f"{self.where} {key} is {value!r}.", needed=f"One of {', '.join(choices)} is needed.")
        return str(value)

    def tables(self, key: str) -> list[Any]:
        value = self.raw.get(key, [])
        if not isinstance(value, list):
            raise RecipeError(f"{self.where} has [{key}].", needed=f"[[{key}]] is needed, with two brackets.")
        return value

    def digest(self) -> str | None:
        return self.text("sha256", SHA256) if "sha256" in self.raw else None

    def digests(self, count: int) -> tuple[str | None, ...]:
        """The digests of a file in ``count`` pieces, or None for each."""
        if "sha256" not in self.raw:
            return (None,) * count
        digests = self.texts("sha256", SHA256)
        if len(digests) != count:
            raise RecipeError(f"{self.where} has {len(digests)} sha256.", needed=f"One for each of {count} files.")
        return digests

    def source(self) -> Source:
        """The one file that the table names."""
        return self.source_of(self.text("file"), self.digest())

    def source_of(self, file: str, sha256: str | None) -> Source:
        """A file where the table's files are: on the Hub, or beside the recipe."""
        if "hub" not in self.raw:
            if "revision" in self.raw:
                raise RecipeError(f"{self.where} has a revision but no hub.", todo='Add hub = "owner/repository".')
            return FileSource(file=file, sha256=sha256)
        return HubSource(
            repo=self.text("hub", HUB_REPO),
            file=file,
            revision=self.text("revision", REVISION) if "revision" in self.raw else None,
            sha256=sha256,
        )

    def _string(self, key: str, value: object, form: re.Pattern[str] | None) -> str:
        if not isinstance(value, str) or not value.strip() or any(ord(sign) < 32 for sign in value):
            raise RecipeError(f"{self.where} {key} is {value!r}.", needed="A line of text is needed.")
        if form is not None and not form.fullmatch(value):
            raise RecipeError(
                f"{self.where} {key} is {value!r}.", needed=f"It must match {form.pattern}.", todo="Correct it."
            )
        return value
