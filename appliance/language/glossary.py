"""A langpack's glossary: terms that must be translated one way, written by the people of the place. Reads CSV.

en,sw,note
oral rehydration solution,maji ya chumvi na sukari,as on the ministry's posters
"""

import csv
import io
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import LanguageError

NOTE = "note"
_LANGUAGE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One row: what a thing is called in each language."""

    words: Mapping[str, str]
    """Language to term; a language whose cell is empty is missing."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glossary:
    """The terms of one langpack."""

    languages: tuple[str, ...]
    terms: tuple[Term, ...]

    def pairs(self, source: str, target: str) -> dict[str, str]:
        """Term to term, for the rows that have both."""
        return {t.words[source]: t.words[target] for t in self.terms if source in t.words and target in t.words}


def load(path: Path) -> Glossary:
    """Read and check a glossary.

    Raises:
        LanguageError: it is no CSV in UTF-8, its header names no two languages, or a row is not whole. The line is
            in the words.
    """
    try:
        text = unicodedata.normalize("NFC", path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise LanguageError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise LanguageError(f"{path} is not text in UTF-8.", todo="Save it as CSV in UTF-8.") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        languages = _languages(path, header)
        terms: list[Term] = []
        first_seen: dict[tuple[str, str], int] = {}
        for row in reader:
            if any(cell.strip() for cell in row):
                terms.append(_term(f"{path} line {reader.line_num}", header, row))
                first = (languages[0], terms[-1].words.get(languages[0], "").casefold())
                if first[1] and first in first_seen:
                    raise LanguageError(
                        f"{path} line {reader.line_num} repeats {first[1]!r} of line {first_seen[first]}.",
                        todo="Remove one of them.",
                    )
                first_seen[first] = reader.line_num
    except csv.Error as error:
        raise LanguageError(f"{path} line {reader.line_num} is not CSV: {error}.") from error
    return Glossary(languages=languages, terms=tuple(terms))


def _languages(path: Path, header: list[str]) -> tuple[str, ...]:
    languages = tuple(cell for cell in header if cell != NOTE)
    if len(languages) < 2 or len(set(header)) != len(header) or not all(map(_LANGUAGE.fullmatch, languages)):
        raise LanguageError(
            f"{path} begins with {','.join(header)!r}.",
            needed="A first line of two or more language codes is needed, and perhaps note: en,sw,note",
        )
    return languages


def _term(where: str, header: list[str], row: list[str]) -> Term:
    if len(row) != len(header):
        raise LanguageError(f"{where} has {len(row)} cells.", needed=f"{len(header)} are needed.")
    cells = {name: " ".join(cell.split()) for name, cell in zip(header, row, strict=True)}
    words = {name: cell for name, cell in cells.items() if name != NOTE and cell}
    if len(words) < 2:
        raise LanguageError(f"{where} names its term in fewer than two languages.", todo="Fill it in or remove it.")
    return Term(words=words, note=cells.get(NOTE, ""))
