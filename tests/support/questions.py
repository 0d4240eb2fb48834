"""Public question sets as passages and questions: XQuAD, AfriQA and Amharic QA, read in place where they lie."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FRENCH_PIVOT = frozenset({"fon", "wol"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question and the passage that answers it."""

    id: str
    text: str
    native: str
    """As the asker said it; the same as ``text`` where that is the documents' language."""
    passage: int

    @property
    def tuned_on(self) -> bool:
        """Whether weights were chosen on it: the last bit of its id's SHA-256 is 0. The others are reported."""
        return not hashlib.sha256(self.id.encode()).digest()[-1] & 1


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """Passages (title, text) in one language, and questions about them."""

    name: str
    lang: str
    passages: tuple[tuple[str, str], ...]
    asks: tuple[Ask, ...]


def question_sets(folder: Path) -> Iterator[QuestionSet]:
    """Every set there is below ``folder``, laid out as its publishers do."""
    for file in sorted(folder.glob("xquad/xquad.*.json")):
        yield _squad(f"XQuAD {file.suffixes[-2][1:]}", file.suffixes[-2][1:], [file])
    if found := sorted(folder.glob("amharic_qa/*_data.json")):
        yield _squad("Amharic QA", "am", found)
    for place in sorted(folder.glob("afriqa/data/gold_passages/*/")):
        yield _afriqa(place)


def _squad(name: str, lang: str, files: list[Path]) -> QuestionSet:
    numbers: dict[str, int] = {}
    asks = []
    for file in files:
        for article in json.loads(file.read_text())["data"]:
            for paragraph in article["paragraphs"]:
                number = numbers.setdefault(paragraph["context"], len(numbers))
                asks += [
                    Ask(id=str(q["id"]), text=q["question"], native=q["question"], passage=number)
                    for q in paragraph["qas"]
                ]
    return QuestionSet(name=name, lang=lang, passages=tuple(("", text) for text in numbers), asks=tuple(asks))


def _afriqa(place: Path) -> QuestionSet:
    numbers: dict[str, int] = {}
    titles: list[str] = []
    asks = []
    for file in sorted(place.glob("*.json")):
        split = file.name.split(".")[-2]
        for line in file.read_text().splitlines():
            row: dict[str, Any] = json.loads(line)
            if not isinstance(row["context"], str) or not isinstance(row["question_translated"], str):
                continue  # a few rows lack one
            number = numbers.setdefault(row["context"], len(numbers))
            if number == len(titles):
                titles.append(row["title"] if isinstance(row["title"], str) else "")
            native = row["question_lang"] if isinstance(row["question_lang"], str) else ""
            asks.append(
                Ask(
                    id=f"{place.name}-{split}-{row['id']}",
                    text=row["question_translated"],
                    native=native,
                    passage=number,
                )
            )
    lang = "fr" if place.name in FRENCH_PIVOT else "en"
    return QuestionSet(
        name=f"AfriQA {place.name}", lang=lang, passages=tuple(zip(titles, numbers, strict=True)), asks=tuple(asks)
    )
