"""Questions that the page offers by topic: the site's own, from ``HOME/questions.toml``, else the evaluation sets'.

[[topic]]
title = { en = "Safe water", sw = "Maji salama" }
en = ["How long should I boil water?"]
sw = ["Nichemshe maji kwa muda gani?"]
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.box import Box
from appliance.errors import ConfigError, EvalError, KnowledgeError
from appliance.questions import Expected, read

MOST_TOPICS = 12
MOST_QUESTIONS = 6
"""Of one topic in one language: a page to choose from, not a list to read."""
LONGEST = 160
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Some questions about one thing."""

    title: Mapping[str, str]
    """By language; a language that is not there sees the first."""
    questions: Mapping[str, tuple[str, ...]]
    """By language."""

    def titled(self, lang: str) -> tuple[str, str]:
        """The title for a language, and the language it is in."""
        best = lang if lang in self.title else next(iter(self.title))
        return self.title[best], best


def load_topics(box: Box) -> tuple[Topic, ...]:
    """The site's topics.

    Raises:
        ConfigError: ``questions.toml`` is there and is not what it should be.
    """
    path = box.home.root / "questions.toml"
    if path.exists():
        return _of_the_site(path)
    return tuple(_of_the_sets(box))[:MOST_TOPICS]


def _of_the_sets(box: Box) -> Iterator[Topic]:
    """One topic for each document that a set asks about, in the sets' order, called by the document's title."""
    by_document: dict[str, list[Expected]] = {}
    for component in box.release.of("evalset"):
        with suppress(EvalError):  # fieldpost eval says what is wrong with a set; a page without cards is a page
            for question in read(component.only(".jsonl")):
                if question.answerable and question.document and len(question.question) <= LONGEST:
                    by_document.setdefault(question.document, []).append(question)
    for document, asked in by_document.items():
        title = _title(box, document)
        if title:
            questions: dict[str, tuple[str, ...]] = {}
            for question in asked:
                so_far = questions.get(question.lang, ())
                if len(so_far) < MOST_QUESTIONS:
                    questions[question.lang] = (*so_far, question.question)
            yield Topic(title={box.pipeline.working_lang: title}, questions=questions)


def _title(box: Box, document: str) -> str:
    for docpack in box.release.of("docpack"):
        with suppress(KnowledgeError):
            return box.retriever.document(docpack.name, document)[0]
    return ""


def _of_the_site(path: Path) -> tuple[Topic, ...]:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not readable as TOML: {error}.", todo="Mend that line.") from error
    topics = raw.get("topic", [])
    if set(raw) - {"topic"} or not isinstance(topics, list):
        raise ConfigError(f"{path} holds {', '.join(sorted(raw))}.", needed="Only [[topic]] tables are needed.")
    return tuple(_topic(f"{path} topic {number}", one) for number, one in enumerate(topics, start=1))


def _topic(where: str, raw: Any) -> Topic:
    if not isinstance(raw, dict) or not isinstance(raw.get("title"), dict) or not raw["title"]:
        raise ConfigError(f"{where} has no title.", needed='One such as title = { en = "Safe water" } is needed.')
    questions = {key: value for key, value in raw.items() if key != "title"}
    for lang, value in [*raw["title"].items(), *questions.items()]:
        if not _LANGUAGE.fullmatch(lang):
            raise ConfigError(f"{where} has the key {lang!r}.", needed="A language such as sw is needed.")
        texts = value if isinstance(value, list) and lang in questions else [value]
        if not all(isinstance(text, str) and 0 < len(text) <= LONGEST for text in texts):
            raise ConfigError(
                f"{where} {lang} is {value!r}.", needed=f"Texts of at most {LONGEST} characters are needed."
            )
    if not all(isinstance(value, list) for value in questions.values()):
        raise ConfigError(f"{where} has a question that is no list.", needed='["…", "…"] is needed.')
    return Topic(title=dict(raw["title"]), questions={lang: tuple(asked) for lang, asked in questions.items()})
