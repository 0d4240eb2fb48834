"""What the model is measured on: prompts and the answers that count as right. Pure; `scripts/bench demo` asks them.

The made-up cases use invented words of the held-out split only, which `corpus` never shows in training. It shows no
guide and no question about one either.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from .corpus import Corpus, Size
from .guides import Section, load_evaluation, load_questions, load_sections
from .words import HELD_OUT

SEED = 424242
"""Neither the training's nor its check's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question over passages. `sentence` answers it and stands in passage `number` (from 1); '' and 0: none does."""

    passages: tuple[tuple[str, str], ...]
    """(what stands after the passage's number, its text)."""
    question: str
    sentence: str
    number: int
    following: str = ""
    """The sentence after it in its passage, if there is one."""


def unseen(count: int, seed: int = SEED) -> list[Case]:
    """Up to three passages of up to four made-up sentences, two questions each."""
    corpus, cases = Corpus(seed, HELD_OUT), []
    while len(cases) < count:
        row = corpus.row(Size(passages=3, sentences=4, questions=2))
        shown = tuple(
            ("".join(text for text, _ in p.place), p.glue.join(s.text() for s in p.sentences)) for p in row.passages
        )
        for asked in row.asked:
            sentence = following = ""
            if asked.source:
                at, nth = asked.source
                sentences = [s.text() for s in row.passages[at].sentences]
                sentence, following = sentences[nth], (sentences[nth + 1 :] or [""])[0]
            number = asked.source[0] + 1 if asked.source else 0
            cases.append(
                Case(passages=shown, question=asked.text(), sentence=sentence, number=number, following=following)
            )
    return cases[:count]


def shuffled_away(cases: list[Case]) -> list[Case]:
    """The answerable questions over another question's passages: nothing there answers them."""
    asked = [c for c in cases if c.sentence]
    turned = asked[len(asked) // 2 :] + asked[: len(asked) // 2]
    return [
        Case(passages=other.passages, question=c.question, sentence="", number=0)
        for c, other in zip(asked, turned, strict=True)
    ]


def guides(seed: int = 2, count: int = 3) -> list[Case]:
    """Every English question about the guides that we have, over its section and others in random order."""
    rng, sections = random.Random(seed), load_sections()
    asked = [(q.document, q.text, q.answer) for q in load_questions()]
    asked += [
        (str(r["document"]), str(r["question"]), str(r["answer"]))
        for r in load_evaluation()
        if r["lang"] == "en" and r["answerable"]
    ]
    cases = []
    for document, question, answer in asked:
        gold = next(s for s in sections if s.document == document and answer in s.sentences)
        shown = context(sections, rng, gold, count)
        after = gold.sentences[gold.sentences.index(answer) + 1 :]
        cases.append(
            Case(
                passages=tuple((f"{s.title} > {s.heading}", " ".join(s.sentences)) for s in shown),
                question=question,
                sentence=answer,
                number=shown.index(gold) + 1,
                following=(after or ("",))[0],
            )
        )
    return cases


def foreign(seed: int = 3, count: int = 3) -> list[Case]:
    """Questions about the guides over passages of other guides: the right answer is to abstain."""
    rng, sections = random.Random(seed), load_sections()
    cases = []
    for question in load_questions()[::2]:
        shown = rng.sample([s for s in sections if s.document != question.document], count)
        passages = tuple((f"{s.title} > {s.heading}", " ".join(s.sentences)) for s in shown)
        cases.append(Case(passages=passages, question=question.text, sentence="", number=0))
    return cases


def context(sections: list[Section], rng: random.Random, gold: Section, count: int) -> list[Section]:
    """`count` sections in random order, `gold` among them, others half from the same guide."""
    chosen = [gold]
    near = [s for s in sections if s.document == gold.document and s is not gold]
    while len(chosen) < count:
        pool = [s for s in (near if rng.random() < 0.5 else sections) if s not in chosen] or sections
        chosen.append(rng.choice(pool))
    rng.shuffle(chosen)
    return chosen
