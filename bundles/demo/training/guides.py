"""Reads the demo's own texts: the guides, questions about them and the parallel sentences.

The model is only measured on them (`cases`); the language pack is trained on the parallel sentences (`phrases`).
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent
TRAINING = DEMO / "training"
# Sections that hold no prose to answer from.
NO_PROSE = ("At a glance", "Sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One heading of a guide and the sentences under it, in order."""

    document: str
    title: str
    heading: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question in English and the one sentence that answers it."""

    document: str
    text: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One sentence in English and in Swahili. `kind` says where it stands: title, heading, sentence, question..."""

    kind: str
    document: str
    en: str
    sw: str


def split_sentences(prose: str) -> tuple[str, ...]:
    """Sentences of one paragraph; the guides use no abbreviations, so a stop and a space end a sentence."""
    marked = prose.replace("? ", "?\n").replace(". ", ".\n")
    return tuple(line.strip() for line in marked.splitlines() if line.strip())


def read_sections(path: Path) -> list[Section]:
    """The prose sections of one Markdown guide."""
    title, sections = "", []
    for block in path.read_text(encoding="utf-8").split("\n## "):
        heading, _, body = block.partition("\n")
        if heading.startswith("# "):
            title = heading.removeprefix("# ").strip()
        elif heading.strip() not in NO_PROSE:
            sentences = split_sentences(" ".join(body.split()))
            sections.append(Section(document=path.name, title=title, heading=heading.strip(), sentences=sentences))
    return sections


def load_sections(folder: Path = DEMO / "docs") -> list[Section]:
    """Every prose section of every guide, by file name."""
    return [section for path in sorted(folder.glob("*.md")) for section in read_sections(path)]


def load_questions(path: Path = TRAINING / "questions.tsv") -> list[Question]:
    """Questions about some of the guides, beside the evaluation set. No model is trained on them."""
    return [Question(document=r["document"], text=r["question"], answer=r["answer"]) for r in _rows(path)]


def load_pairs(path: Path = TRAINING / "parallel.tsv") -> list[Pair]:
    """The parallel sentences, English and Swahili."""
    return [Pair(kind=r["kind"], document=r["document"], en=r["en"], sw=r["sw"]) for r in _rows(path)]


def load_evaluation(path: Path = DEMO / "evalset" / "questions.jsonl") -> list[dict[str, object]]:
    """The evaluation questions as they are shipped."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
