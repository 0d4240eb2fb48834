"""What the demo bundle's own parts can do, asked through the box's real workers on the files that are committed.

The model's questions are made of content words that its recipe never shows (`bundles/demo/training/cases.py`). The
control asks them over other passages, where the only right answer is to abstain. An answer's sentence is right when
every character is; its passage is right when it cites that one and no other.
"""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import psutil

from appliance.box import Box, open_box
from appliance.config import Home
from appliance.engine.client import WorkerEngine
from appliance.engine.protocol import GenerationRequest
from appliance.evals.chrf import chrf
from appliance.exchange import Passage, Question, Usage
from appliance.language.numbers import FLAG, numbers
from appliance.pipeline import Finished
from appliance.prompt import build, citations, is_abstention, take_apart
from bundles.demo.training import phrases
from bundles.demo.training.cases import Case, foreign, guides, shuffled_away, unseen
from bundles.demo.training.guides import load_evaluation
from tests.benchmarks.frame import Row
from tests.support.site import installed_demo

STEPS = "steps"
# Words that deny, by language.
NEGATED = {
    "en": re.compile(r"\b(not|never|no)\b", re.I),
    "sw": re.compile(r"\b([umaiw]*si\w*|kamwe|si|wala|hakuna|haku\w+)\b", re.I),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model said to a case."""

    case: Case
    text: str
    usage: Usage

    @property
    def sentence(self) -> bool:
        """The right sentence, whatever its mark."""
        return bool(self.case.sentence) and take_apart(self.text).text == self.case.sentence

    @property
    def passage(self) -> bool:
        return citations(self.text, len(self.case.passages)) == (self.case.number,)

    @property
    def abstained(self) -> bool:
        return is_abstention(self.text)

    @property
    def steps(self) -> list[str]:
        """The texts of the numbered steps, or none if the form is another."""
        lines = self.text.split("\n")
        if not all(re.fullmatch(rf"{n}\. \S.* \[\d\]", line) for n, line in enumerate(lines, 1)):
            return []
        return [take_apart(line).text for line in lines]


def measure(quick: bool) -> list[Row]:
    """Shares in percent; speed and memory of the real worker. ``quick`` asks a tenth of the questions."""
    part = 10 if quick else 1
    with tempfile.TemporaryDirectory() as folder, open_box(Home(root=installed_demo(Path(folder)).home)) as box:
        rows = _model(box, part) + _whole_way(box, part)
        for source, target in (("en", "sw"), ("sw", "en")):
            rows += _translation(box, source, target, part)
    return rows


def _model(box: Box, part: int) -> list[Row]:
    engine = box.pipeline.engine
    assert isinstance(engine, WorkerEngine)
    cases = unseen(400 // part)
    _ask(engine, cases[:3])  # loads the model's pages
    asked = _ask(engine, cases)
    answerable = [a for a in asked if a.case.sentence]
    away = _ask(engine, shuffled_away(cases))
    known = [a.case.sentence for a in answerable]
    about, absent = _ask(engine, guides()[::part]), _ask(engine, foreign()[::part])
    stepped = _ask(engine, [a.case for a in answerable], STEPS)
    right, first = _share([a.sentence for a in answerable]), _share([a.case.sentence in a.steps[:1] for a in stepped])
    rates = [
        a.usage.generated_tokens / (a.usage.total_s - a.usage.first_token_s)
        for a in asked
        if a.usage.generated_tokens > 8
    ]
    memory = psutil.Process(engine.pid).memory_info().rss / (1 << 20)
    refused = [a.abstained for a in asked if not a.case.sentence]
    return [
        _row("unseen words: right sentence", right, 90),
        _row("unseen words: right passage", _share([a.passage for a in answerable]), 95),
        _row("unseen words: abstains when nothing answers", _share(refused), 80),
        _row("control, passages shuffled away: abstains", _share([a.abstained for a in away])),
        _row(
            "control, passages shuffled away: right sentence",
            _share([s in a.text for a, s in zip(away, known, strict=True)]),
        ),
        _row("guides: right sentence", _share([a.sentence for a in about])),
        _row("guides: right passage", _share([a.passage for a in about])),
        _row("guides, passages of others: abstains", _share([a.abstained for a in absent])),
        _row("adapter: numbered steps", _share([bool(a.steps) for a in stepped if not a.abstained]), 95),
        _row("adapter: right first step", first),
        Row(metric="adapter: rightness lost", value=right - first, unit="points", target=3, lower=True),
        Row(metric="streamed after the first token", value=median(rates), unit="tokens/s", target=100),
        Row(metric="memory of the worker", value=memory, unit="MiB", target=150, lower=True),
    ]


def _row(metric: str, value: float, target: float | None = None) -> Row:
    return Row(metric=metric, value=value, unit="%", target=target)


def _share(hits: Sequence[bool]) -> float:
    return 100 * fmean(hits) if hits else 0.0


def _ask(engine: WorkerEngine, cases: Sequence[Case], adapter: str | None = None) -> list[Answer]:
    answers = []
    for case in cases:
        messages = build(case.question, [_passage(place, text) for place, text in case.passages])
        pieces = list(engine.generate(GenerationRequest(messages=messages, adapter=adapter, max_tokens=160)))
        usage = pieces.pop()
        assert isinstance(usage, Usage)
        answers.append(Answer(case=case, text="".join(map(str, pieces)).strip(), usage=usage))
    return answers


def _passage(place: str, text: str) -> Passage:
    return Passage(
        id="", docpack="", document="", title=place, heading="", lang="en", text=text, start=0, end=len(text)
    )


def _whole_way(box: Box, part: int) -> list[Row]:
    """The evaluation set, found by the box's own search and translated by its own packs."""
    rows = []
    for lang in ("en", "sw"):
        hits: dict[bool, list[bool]] = {True: [], False: []}
        for row in [r for r in load_evaluation() if r["lang"] == lang][::part]:
            *_, last = box.pipeline.ask(Question(text=str(row["question"]), lang=lang))
            assert isinstance(last, Finished)
            said = last.exchange.answer_working
            if row["answer"]:
                hits[True].append(take_apart(said).text == row["answer"])
            else:
                hits[False].append(is_abstention(said))
        rows.append(_row(f"evaluation set, whole way, {lang}: right sentence", _share(hits[True])))
        rows.append(_row(f"evaluation set, whole way, {lang}: abstains", _share(hits[False])))
    return rows


def _translation(box: Box, source: str, target: str, part: int) -> list[Row]:
    """Sentences that the packs' training was not shown: other numbers, other combinations of words."""
    pairs = (phrases.heldout_numbers() + phrases.heldout())[::part]
    english = [en for en, _ in pairs]
    if source != "en":
        pairs = [(sw, en) for en, sw in pairs]
    made = [box.pipeline.translator.translate(text, source, target) for text, _ in pairs]
    texts = [m.text for m in made]
    kept = [sorted(numbers(got)) == sorted(numbers(text)) for got, (text, _) in zip(texts, pairs, strict=True)]
    told = [good or FLAG in m.flags for good, m in zip(kept, made, strict=True)]
    denied = [
        bool(NEGATED[target].search(got)) for got, en in zip(texts, english, strict=True) if NEGATED["en"].search(en)
    ]
    way = f"{source} to {target}"
    return [
        _row(f"{way}: exact match", _share([got == wanted for got, (_, wanted) in zip(texts, pairs, strict=True)])),
        Row(
            metric=f"{way}: chrF",
            value=100 * fmean(chrf(got, wanted) for got, (_, wanted) in zip(texts, pairs, strict=True)),
            unit="of 100",
        ),
        _row(f"{way}: numbers kept", _share(kept)),
        _row(f"{way}: numbers kept or flagged", _share(told), 100),
        _row(f"{way}: negations kept", _share(denied), 100),
    ]
