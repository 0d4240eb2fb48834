"""What translators write: glossaries and the words of the page. Checked so that a slip is told with its line.

    glossary.csv      first line the two languages, then a term and its translation a line; a third column is a note
    strings/so.json   {"ask": "Weydii", ...}: the page's words in the language that the file is named after

Which words the page has is the box's to know; what is missing there stays English.
"""

import csv
import json
import re

from bundles.format.errors import ScanRefused
from bundles.recipe import LANGUAGE

MAX_TERM = 200
MAX_WORDS = 2_000
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MARKUP = re.compile(r"[<>&\"]")


def check_glossary(text: str, name: str) -> int:
    """Check a glossary; returns the number of its terms.

    Raises:
        ScanRefused: the line and what is wrong with it.
    """
    rows = list(csv.reader(text.removeprefix("\ufeff").splitlines()))
    languages = rows[0][:2] if rows else []
    if len(languages) != 2 or not all(LANGUAGE.fullmatch(code) for code in languages):
        separated = " It looks separated by semicolons." if rows and ";" in "".join(rows[0]) else ""
        raise ScanRefused(
            f"{name} begins with {','.join(rows[0]) if rows else 'nothing'!r}.{separated}",
            needed="The first line names two languages, such as: en,sw",
            todo="Save the table as CSV, UTF-8, separated by commas.",
        )
    seen: dict[str, int] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        where = f"Line {number} of {name}"
        if len(row) < 2 or not row[0].strip() or not row[1].strip():
            raise ScanRefused(f"{where} is {','.join(row)!r}.", needed="A term and its translation are needed.")
        if max(map(len, row)) > MAX_TERM:
            raise ScanRefused(f"{where} is longer than {MAX_TERM} characters.", todo="Keep terms, not sentences.")
        term = row[0].strip().casefold()
        if term in seen:
            raise ScanRefused(f"{where} gives {row[0]!r} again, as line {seen[term]} did.", todo="Keep one.")
        seen[term] = number
    return len(seen)


def check_strings(text: str, name: str) -> int:
    """Check the words of the page in one language; returns how many there are.

    Raises:
        ScanRefused: what is wrong, with the word's key.
    """
    stem, dot, suffix = name.rpartition(".")
    if not dot or suffix != "json" or not LANGUAGE.fullmatch(stem):
        raise ScanRefused(f"{name} is named after no language.", needed="A name such as so.json is needed.")
    try:
        words = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScanRefused(
            f"{name} is no JSON: {error}.",
            todo="Mend that line or the one before it: a comma between all lines, and none after the last.",
        ) from error
    if not isinstance(words, dict) or not words or len(words) > MAX_WORDS:
        raise ScanRefused(f"{name} holds no words.", needed='Pairs such as "ask": "Weydii" are needed.')
    for key, value in words.items():
        if not _KEY.fullmatch(key) or not isinstance(value, str) or not value.strip():
            raise ScanRefused(f"{name} has {key!r}: {value!r}.", needed="A key of the page and its words are needed.")
        if _MARKUP.search(value):
            raise ScanRefused(f'{name} {key!r} holds < > & or ".', needed="Words without markup are needed.")
    return len(words)
