"""An evaluation set through the real pipeline of an open box, question by question; and the report it makes.

The box is asked as people ask it, so what is measured is what they get. Nothing is recorded: open the box unrecorded.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from appliance import prompt
from appliance.box import Box, glossaries
from appliance.errors import EvalError, FieldpostError, KnowledgeError
from appliance.evals import scores
from appliance.evals.chrf import chrf
from appliance.evals.intervals import Figure, mean, share
from appliance.exchange import Exchange, Passage, Question, Translation
from appliance.language.glossary import Glossary, find, holds
from appliance.language.numbers import FLAG as NUMBERS_DIFFER
from appliance.metrics import peak_memory
from appliance.pipeline import Finished, Translates
from appliance.questions import Expected, read

DEPTHS = (1, 3, 5, 10)
"""Ranks at which recall is told."""
_SHARES = (*(f"recall@{k}" for k in DEPTHS), "right", "exact_match", "abstention_precision", "abstention_recall",
           "numbers_kept", "glossary_hits", "supported")  # fmt: skip
_MEANS = ("mrr", "citation_precision", "answer_f1", "chrf_question", "chrf_answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One question, and what the box made of it."""

    expected: Expected
    exchange: Exchange | None
    """None where the box could not answer; ``error`` says why."""
    error: str
    rank: int | None
    """Where the first passage that answers was found, from 1; None if it was not among the first ten."""
    right_passages: frozenset[str]
    """Ids of the passages found that answer."""
    kept: tuple[bool, ...]
    """For each text that was translated, whether its numbers came through."""
    hits: tuple[bool, ...]
    """For each term of the glossary in a text that was translated, whether its translation has it."""


class _Watched:
    """A translator that notes whether numbers and the glossary's terms came through."""

    def __init__(self, translator: Translates, glossary: Glossary) -> None:
        self._translator = translator
        self._glossary = glossary
        self.kept: list[bool] = []
        self.hits: list[bool] = []

    def can(self, source: str, target: str) -> bool:
        return self._translator.can(source, target)

    def translate(self, text: str, source: str, target: str) -> Translation:
        translation = self._translator.translate(text, source, target)
        self.kept.append(NUMBERS_DIFFER not in translation.flags)
        terms = find(text, self._glossary.terms(source, target), source)
        self.hits.extend(holds(translation.text, one.term.target, target) for one in terms)
        return translation


def installed(box: Box, wanted: str | None) -> list[str]:
    """Names of the evaluation sets to run: the one that is wanted, else all that the release has.

    Raises:
        EvalError: the release has none, or not this one.
    """
    names = [component.name for component in box.release.of("evalset")]
    if not names or (wanted is not None and wanted not in names):
        raise EvalError(
            f"The installed bundle has no evaluation set{'' if wanted is None else ' ' + repr(wanted)}.",
            needed=f"It has: {', '.join(names) or 'none'}.",
            todo="Choose one of these." if names else "Build the bundle with an [[evalset]] in its recipe.",
        )
    return names if wanted is None else [wanted]


def questions_of(box: Box, set_name: str) -> tuple[Expected, ...]:
    """The questions of an installed set.

    Raises:
        EvalError: the set cannot be read.
    """
    (component,) = [c for c in box.release.of("evalset") if c.name == set_name]
    files = [component.folder / name for name in component.files if name.endswith(".jsonl")]
    if len(files) != 1:
        raise EvalError(f"The evaluation set {set_name} has {len(files)} files ending in .jsonl.", needed="One.")
    return read(files[0])


def evaluate(
    box: Box,
    set_name: str,
    questions: Sequence[Expected],
    *,
    adapter: str | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> dict[str, Any]:
    """Ask these questions of a set and report, as ``fieldpost eval --json`` prints it.

    Args:
        progress: called with 1 after each question.

    Raises:
        AdapterError: the release has no such adapter.
        LanguageError: a question is in a language that the site does not have.
    """
    for lang in sorted({question.lang for question in questions}):
        box.check(lang=lang, adapter=adapter)
    glossary = Glossary.read(glossaries(box.release))
    asked = []
    for question in questions:
        asked.append(_ask(box, question, adapter, glossary))
        progress(1)
    by_lang: dict[str, list[_Asked]] = defaultdict(list)
    for one in asked:
        by_lang[one.expected.lang].append(one)
    return {
        "set": set_name,
        "release": {"name": box.release.bundle, "version": box.release.version},
        "model": box.pipeline.engine.model,
        "adapter": adapter,
        "languages": {lang: _figures(those, box.pipeline.working_lang) for lang, those in sorted(by_lang.items())},
        "overall": _figures(asked, box.pipeline.working_lang),
        "questions": [_told(one, box.pipeline.working_lang) for one in asked],
        "speed": _speed([one.exchange for one in asked if one.exchange]),
    }


def _ask(box: Box, expected: Expected, adapter: str | None, glossary: Glossary) -> _Asked:
    watched = _Watched(box.pipeline.translator, glossary)
    pipeline = replace(box.pipeline, translator=watched)
    exchange, error = None, ""
    found: list[Passage] = []
    try:
        for event in pipeline.ask(Question(text=expected.question, lang=expected.lang, adapter=adapter)):
            if isinstance(event, Finished):
                exchange = event.exchange
        if exchange is not None:
            spoken = exchange.looks_like or exchange.lang
            found = pipeline.finder.search(
                "" if "not-translated" in exchange.flags else exchange.question_working,
                max(DEPTHS),
                spoken=expected.question if spoken != pipeline.working_lang else "",
            )
    except FieldpostError as failure:
        error = str(failure)
    answering = [_answers(box, passage, expected, pipeline.working_lang) for passage in found]
    return _Asked(
        expected=expected,
        exchange=exchange,
        error=error,
        rank=answering.index(True) + 1 if any(answering) else None,
        right_passages=frozenset(p.id for p, answers in zip(found, answering, strict=True) if answers),
        kept=tuple(watched.kept),
        hits=tuple(watched.hits),
    )


def _answers(box: Box, passage: Passage, expected: Expected, working: str) -> bool:
    """Whether the passage holds an expected answer; where its document holds none word for word, any passage of it."""
    if not expected.document or passage.document != expected.document:
        return False
    if any(scores.holds(passage.text, answer, working) for answer in expected.answers):
        return True
    try:
        _, text, *_ = box.retriever.document(passage.docpack, passage.document)
    except KnowledgeError:
        return True
    return not any(scores.holds(text, answer, working) for answer in expected.answers)


def _figures(asked: Sequence[_Asked], working: str) -> dict[str, dict[str, float]]:
    """Every figure that these questions can give; a metric without a case is left out."""
    cases: dict[str, list[Any]] = defaultdict(list)
    for one in asked:
        cases["right"].append(_is_right(one, working))
        cases["numbers_kept"].extend(one.kept)
        cases["glossary_hits"].extend(one.hits)
        if one.exchange and not one.exchange.abstained:
            cases["supported"].extend(claim.supported for claim in one.exchange.claims)
        exchange, expected = one.exchange, one.expected
        abstained = exchange is not None and exchange.abstained
        if abstained:
            cases["abstention_precision"].append(not expected.answerable)
        if expected.translation and expected.lang != working:
            cases["chrf_question"].append(chrf(exchange.question_working, expected.translation) if exchange else 0.0)
        if not expected.answerable:
            cases["abstention_recall"].append(abstained)
            continue
        said = _bare(exchange)
        for depth in DEPTHS:
            cases[f"recall@{depth}"].append(one.rank is not None and one.rank <= depth)
        cases["mrr"].append(1 / one.rank if one.rank else 0.0)
        cases["answer_f1"].append(max(scores.f1(said, answer, working) for answer in expected.answers))
        cases["exact_match"].append(any(scores.exact(said, answer, working) for answer in expected.answers))
        if exchange and exchange.cited:
            cited = [exchange.passages[number - 1].id in one.right_passages for number in exchange.cited]
            cases["citation_precision"].append(sum(cited) / len(cited))
        if expected.answer_translation and exchange and not abstained and expected.lang != working:
            cases["chrf_answer"].append(chrf(_without_marks(exchange.answer), expected.answer_translation))
    figures = {name: share(cases[name]) for name in _SHARES} | {name: mean(cases[name]) for name in _MEANS}
    return {name: _rounded(figure) for name, figure in figures.items() if figure is not None}


def _is_right(one: _Asked, working: str) -> bool:
    if one.exchange is None:
        return False
    if not one.expected.answerable or one.exchange.abstained:
        return one.exchange.abstained and not one.expected.answerable
    return scores.right(_bare(one.exchange), one.expected.answers, working)


def _bare(exchange: Exchange | None) -> str:
    """The answer as the model wrote it, without marks and list numbers; nothing where it abstained."""
    return _without_marks(exchange.answer_working) if exchange and not exchange.abstained else ""


def _without_marks(answer: str) -> str:
    return " ".join(prompt.take_apart(sentence).text for sentence in prompt.sentences(answer))


def _told(one: _Asked, working: str) -> dict[str, Any]:
    exchange, expected = one.exchange, one.expected
    return {
        "id": expected.id,
        "lang": expected.lang,
        "question": expected.question,
        "question_working": exchange.question_working if exchange else "",
        "answer": exchange.answer if exchange else "",
        "answer_working": exchange.answer_working if exchange else "",
        "expected": list(expected.answers),
        "answerable": expected.answerable,
        "abstained": bool(exchange and exchange.abstained),
        "right": _is_right(one, working),
        "rank": one.rank,
        "cited": [exchange.passages[number - 1].id for number in exchange.cited] if exchange else [],
        "flags": list(exchange.flags) if exchange else [],
        "error": one.error,
    }


def _speed(exchanges: Sequence[Exchange]) -> dict[str, float | None]:
    """Speed of the model over all questions it was asked, and the most memory the box's processes held together."""
    usages = [exchange.usage for exchange in exchanges if exchange.usage.generated_tokens]
    seconds = sum(usage.total_s - usage.first_token_s for usage in usages)
    tokens = sum(usage.generated_tokens for usage in usages)
    return {
        "tokens_per_s": round(tokens / seconds, 1) if seconds > 0 else None,
        "first_token_s_p50": round(median(u.first_token_s for u in usages), 4) if usages else None,
        "peak_rss_mb": round(peak_memory() / 1e6, 1),
    }


def _rounded(figure: Figure) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(figure).items()}
