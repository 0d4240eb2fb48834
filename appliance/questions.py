"""Questions of evaluation sets, one JSON object a line: measured by ``evals``, offered as examples by the page."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import EvalError


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One question of an evaluation set, and what a good box makes of it."""

    id: str
    lang: str
    question: str
    answerable: bool
    """Whether the documents hold an answer."""
    document: str
    """The document that answers it; empty if none does."""
    answers: tuple[str, ...]
    """Right answers in the documents' language, the best first; none if the documents hold none."""
    translation: str
    """The question in the documents' language, by a person; empty where the set has none."""
    answer_translation: str
    """The best answer in the asker's language, by a person; empty where the set has none."""


def read(path: Path) -> tuple[Expected, ...]:
    """The questions of a set, in its order. Fields that Fieldpost does not know are passed over.

    Raises:
        EvalError: the file cannot be read, a line is no question, or two questions have one id.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvalError(f"{path} cannot be read: {error}.", todo="Install the stick again.") from error
    questions = tuple(_question(f"{path.name} line {n}", line) for n, line in enumerate(lines, start=1) if line.strip())
    ids = [question.id for question in questions]
    twice = sorted({id_ for id_ in ids if ids.count(id_) > 1})
    if not questions or twice:
        found = f"has several questions {', '.join(twice)}" if twice else "holds no question"
        raise EvalError(f"{path.name} {found}.", needed="Questions, each with an id of its own, are needed.")
    return questions


def some(questions: Sequence[Expected], limit: int | None) -> tuple[Expected, ...]:
    """At most ``limit`` of them: the same ones each time, chosen by the hash of their ids, in the set's order."""
    if limit is None or limit >= len(questions):
        return tuple(questions)
    ranked = sorted(questions, key=lambda q: hashlib.sha256(q.id.encode()).digest())[:limit]
    return tuple(q for q in questions if q in ranked)


def _question(where: str, line: str) -> Expected:
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise EvalError(f"{where} is no JSON: {error}.", needed="One JSON object a line is needed.") from error
    if not isinstance(raw, dict):
        raise EvalError(f"{where} is {type(raw).__name__}.", needed="One JSON object a line is needed.")
    answer = _text(where, raw, "answer", "")
    others = raw.get("accept", [])
    if not isinstance(others, list) or not all(isinstance(other, str) and other for other in others):
        raise EvalError(f"{where} accept is {others!r}.", needed="A list of further right answers is needed.")
    answerable = raw.get("answerable", bool(answer))
    if not isinstance(answerable, bool) or answerable is not bool(answer):
        raise EvalError(
            f"{where} says answerable {answerable!r} and the answer {answer!r}.",
            needed="An answer if it is true and none if it is false.",
        )
    return Expected(
        id=_text(where, raw, "id"),
        lang=_text(where, raw, "lang"),
        question=_text(where, raw, "question"),
        answerable=answerable,
        document=_text(where, raw, "document", ""),
        answers=(answer, *others) if answer else (),
        translation=_text(where, raw, "translation", ""),
        answer_translation=_text(where, raw, "answer_translation", ""),
    )


def _text(where: str, raw: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = raw.get(name, default)
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise EvalError(f"{where} {name} is {value!r}.", needed="A text is needed.")
    return value
