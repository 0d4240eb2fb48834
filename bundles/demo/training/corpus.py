"""Makes the model's training rows: passages, several questions about them, and the answers.

One row is one context with many questions: `train` hides the questions from each other, so that the passages are read
once for all of them. The wording of the prompt is the pipeline's contract and must not drift from it.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

from . import words
from .guides import Question, Section, load_extras, load_questions, load_sections
from .templates import ALONE, FILLERS, OFF_TOPIC, OPENINGS, PATTERNS

SYSTEM = (
    "Answer only from the passages. After each statement give its passage number in square brackets. "
    "If the passages do not answer the question, say: These documents don't tell."
)
ABSTAIN = "These documents don't tell."
GREETING = "I answer questions about your documents."

_STOP_WORDS = (
    "the a an of to in on at for with and or is are be if it its do not no more than least by your you them from "
    "each every into over under before after until when while about as that this what is left"
)
_STOP = frozenset(_STOP_WORDS.split())


@dataclass(slots=True)
class Passage:
    """A passage as the model sees it."""

    title: str
    heading: str
    sentences: list[str]


@dataclass(slots=True)
class Row:
    """One context and the questions asked about it. An answer is (sentence, passage number from 1) or None."""

    passages: list[Passage]
    asked: list[tuple[str, tuple[str, int] | None]]
    newline: bool = False
    following: dict[str, str] = field(default_factory=dict)

    def pieces(self) -> list[str]:
        """The chat text up to the question: what comes before the passages, then each passage."""
        joint = "\n" if self.newline else " "
        return [f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"] + [
            f"[{i}] {p.title} > {p.heading}\n{joint.join(p.sentences)}\n\n" for i, p in enumerate(self.passages, 1)
        ]

    def prefix(self) -> str:
        """The pieces joined: shared by every question of the row."""
        return "".join(self.pieces())

    def branches(self) -> list[tuple[str, str]]:
        """(the rest of the prompt, the answer) for each question."""
        return [(question_text(q), answer_text(a)) for q, a in self.asked]


def question_text(question: str) -> str:
    """The prompt from the question on, with the assistant's turn opened."""
    return f"Question: {question}<|im_end|>\n<|im_start|>assistant\n"


def answer_text(answer: tuple[str, int] | None) -> str:
    """What the model is to say, without the end token."""
    return ABSTAIN if answer is None else f"{answer[0]} [{answer[1]}]"


class Corpus:
    """An endless, seeded source of rows."""

    def __init__(self, seed: int, *, sections: list[Section] | None = None, questions: list[Question] | None = None):
        self.rng = random.Random(seed)
        self.sections = load_sections() if sections is None else sections
        self.extras = load_extras()
        # How often a question is worded more loosely than it was written.
        self.loose = 0.0
        self.questions: dict[tuple[str, str], list[str]] = {}
        for question in load_questions() if questions is None else questions:
            self.questions.setdefault((question.document, question.answer), []).append(question.text)

    # -- made-up text

    def thing(self, *, new: float = 0.4) -> str:
        return words.invented(self.rng) if self.rng.random() < new else self.rng.choice(words.NOUNS)

    def filling(self) -> dict[str, str]:
        """One value for every slot of the patterns."""
        rng = self.rng
        verb = rng.choice(words.VERBS) if rng.random() < 0.8 else words.invented(rng)
        plural = rng.choice(words.PLURALS) if rng.random() < 0.7 else words.invented(rng) + "s"
        return {
            "n": str(words.number(rng)), "m": str(words.number(rng)), "x": self.thing(), "y": self.thing(),
            "xs": plural, "a": rng.choice(words.ADJECTIVES), "v": verb, "V": verb.capitalize(),
            "u": rng.choice(words.UNITS), "t": rng.choice(words.TIMES), "p": rng.choice(words.PLACES),
            "w": words.invented(rng).capitalize(), "f": rng.choice(words.VERBS), "drug": rng.choice(words.DRUGS),
            "who": rng.choice(words.PEOPLE),
        }  # fmt: skip

    def made_up(self, passages: int, most: int) -> Row:
        """Passages of pattern sentences. Some share things or patterns, so that one word alone does not decide."""
        rng, built, known = self.rng, [], []
        shared = self.filling()
        for number in range(1, passages + 1):
            sentences: list[str] = []
            for _ in range(rng.randint(1, most)):
                pattern, asks = rng.choice(PATTERNS)
                filling = self.filling()
                for slot in ("x", "y", "v", "a", "w"):
                    if rng.random() < 0.2:
                        filling[slot] = shared[slot]
                filling["V"] = filling["v"].capitalize()
                if known and rng.random() < 0.3:
                    pattern, asks = rng.choice(known)[2:4]
                sentence = pattern.format(**filling)
                sentences.append(sentence)
                known.append((sentence, number, pattern, asks, [ask.format(**filling) for ask in asks], filling))
            title = " ".join(self.thing() for _ in range(rng.randint(1, 3))).capitalize()
            built.append(Passage(title, rng.choice(words.TOPICS), sentences))
        row = Row(built, [])
        counts: dict[str, int] = {}
        for _, _, _, _, asks, _ in known:
            for ask in asks:
                counts[ask] = counts.get(ask, 0) + 1
        for sentence, number, _, _, asks, _ in known:
            single = [ask for ask in asks if counts[ask] == 1]
            if single:
                row.asked.append((self.noisy(rng.choice(single)), (sentence, number)))
            if rng.random() < 0.35:
                row.asked.append((self.keywords(sentence), (sentence, number)))
        for _ in range(max(1, len(known) // 3)):
            # The hardest questions without an answer differ from an answered one by a single thing.
            _, _, _, asks, _, filling = rng.choice(known)
            fresh = self.filling()
            if rng.random() < 0.5:
                asks, filling = rng.choice(PATTERNS)[1], fresh
            ask = rng.choice(asks).format(**(filling | {"x": fresh["x"], "y": fresh["y"], "w": fresh["w"]}))
            if ask not in counts:
                row.asked.append((ask, None))
        return row

    def keywords(self, sentence: str) -> str:
        """A question made of a sentence's own words, some left out."""
        rng = self.rng
        content = [w for w in re.findall(r"[A-Za-z]+", sentence) if w.lower() not in _STOP]
        keep = [w for w in content if rng.random() < 0.75] or content
        keep = keep[: rng.randint(2, 5)]
        opening = rng.choice(("What about", "How", "When", "Tell me about", "Where", "Which", "How much", "How many"))
        return f"{opening} {' '.join(w.lower() if w in content[:1] else w for w in keep)}?"

    def noisy(self, question: str) -> str:
        """Now and then a question as people put it: other small words, no capital, no question mark, a polite start."""
        if self.loose and self.rng.random() < self.loose:
            question = self.loosened(question)
        if self.rng.random() < 0.3:
            small = self.rng.choice((" do I ", " should I ", " must I ", " can I ", " do you "))
            question = re.sub(r" (do|should|must) I ", small, question, count=1)
            if self.rng.random() < 0.4:
                question = re.sub(r"^How long ", "For how long ", question)
        pick = self.rng.random()
        if pick < 0.04:
            return question[0].lower() + question[1:]
        if pick < 0.08:
            return question.rstrip("?")
        if pick < 0.12:
            return f"Please tell me: {question[0].lower()}{question[1:]}"
        return question

    def scrambled(self, passages: int, most: int) -> Row:
        """Sentences of unrelated words, asked for by a few of them: nothing helps here but finding and copying."""
        rng, built, asked = self.rng, [], []
        used: set[str] = set()
        for number in range(1, passages + 1):
            sentences = []
            for _ in range(rng.randint(1, most)):
                count = rng.randint(3, 8)
                line = [str(words.number(rng)) if rng.random() < 0.12 else self.thing(new=0.5) for _ in range(count)]
                sentence = " ".join(line).capitalize() + "."
                own = [w for w in line if w not in used and not w.isdigit()]
                used.update(line)
                sentences.append(sentence)
                if own:
                    keep = [w for w in own if rng.random() < 0.5][:4] or [rng.choice(own)]
                    opening = rng.choice(
                        ("What about", "How", "When", "Where", "Which", "How much", "How many", "May I")
                    )
                    asked.append((f"{opening} {' '.join(keep)}?", (sentence, number)))
            built.append(
                Passage(" ".join(self.thing() for _ in range(2)).capitalize(), rng.choice(words.TOPICS), sentences)
            )
        if rng.random() < 0.6:
            absent = [w for w in (self.thing(new=0.5) for _ in range(rng.randint(1, 3))) if w not in used]
            asked += [(f"What about {' '.join(absent)}?", None)] if absent else []
        return Row(built, asked)

    def loosened(self, question: str) -> str:
        """Other openings, a word more, a word less: people do not ask in the words of a list."""
        rng = self.rng
        for pattern, others in OPENINGS:
            if re.match(pattern, question) and rng.random() < 0.6:
                question = re.sub(pattern, rng.choice(others), question, count=1)
                break
        line = question.rstrip("?").split(" ")
        if len(line) > 5 and rng.random() < 0.35:
            del line[rng.randrange(2, len(line))]
        if rng.random() < 0.35:
            line.insert(rng.randrange(2, len(line) + 1), rng.choice(FILLERS))
        return " ".join(line) + "?"

    # -- the guides' own text

    def guides(self, passages: int) -> Row:
        """Sections of the guides, numbers changed and words swapped for others, so that nothing is learnt by heart."""
        rng = self.rng
        chosen = self._related(passages)
        asked: list[tuple[str, tuple[str, int] | None]] = []
        built = []
        for number, section in enumerate(chosen, 1):
            sentences = list(section.sentences)
            if section in self.extras:
                built.append(Passage(section.title, section.heading, sentences))
                continue
            if len(sentences) > 1 and rng.random() < 0.25:
                gone = sentences.pop(rng.randrange(len(sentences)))
                asked += [(rng.choice(asks), None) for asks in self._asks(section, gone)]
            if rng.random() < 0.15:
                rng.shuffle(sentences)
            for sentence in sentences:
                for asks in self._asks(section, sentence):
                    count = 2 if rng.random() < 0.4 else 1
                    asked += [(self.noisy(q), (sentence, number)) for q in rng.sample(asks, min(count, len(asks)))]
                if rng.random() < 0.25:
                    asked.append((self.keywords(sentence), (sentence, number)))
            built.append(Passage(section.title, section.heading, sentences))
        for _ in range(max(1, len(asked) // 8)):
            asked.append((self._foreign(chosen), None))
        if rng.random() < 0.6:
            asked.append((rng.choice(OFF_TOPIC).format(**self.filling()), None))
        return self._changed(Row(built, asked, newline=rng.random() < 0.3))

    def _related(self, passages: int) -> list[Section]:
        """Sections to show together: often of one guide, as a search would find them."""
        rng = self.rng
        first = rng.choice(self.sections)
        others = [s for s in self.sections if s is not first]
        near = [s for s in others if s.document == first.document]
        chosen = [first]
        while len(chosen) < passages:
            pool = [s for s in (near if rng.random() < 0.5 else others) if s not in chosen]
            if rng.random() < 0.12:
                pool = [s for s in self.extras if s.document == first.document or rng.random() < 0.3]
            chosen.append(rng.choice(pool or others))
        rng.shuffle(chosen)
        return chosen

    def _asks(self, section: Section, sentence: str) -> list[list[str]]:
        asks = self.questions.get((section.document, sentence))
        return [asks] if asks else []

    def _foreign(self, chosen: list[Section]) -> str:
        """A question that another section answers and none of those shown."""
        here = {(s.document, t) for s in chosen for t in s.sentences}
        while True:
            key = self.rng.choice(list(self.questions))
            if key not in here:
                return self.rng.choice(self.questions[key])

    def _changed(self, row: Row) -> Row:
        """Numbers and words changed alike in passages, questions and answers."""
        rng = self.rng
        text = "\n".join(s for p in row.passages for s in p.sentences)
        swaps: dict[str, str] = {}
        if rng.random() < 0.7:
            for digits in sorted(set(re.findall(r"\d+", text))):
                if rng.random() < 0.7:
                    swaps[digits] = str(words.number(rng))
        if rng.random() < 0.35:
            content = sorted({w for w in re.findall(r"\b[a-z]{3,}\b", text) if w not in _STOP})
            for word in rng.sample(content, min(len(content), rng.randint(1, 6))):
                swaps[word] = self.thing(new=0.6)
        if not swaps:
            return row
        pattern = re.compile(r"\b(" + "|".join(re.escape(k) for k in sorted(swaps, key=len, reverse=True)) + r")\b")

        def swap(value: str) -> str:
            return pattern.sub(lambda m: swaps[m.group(1)], value)

        for passage in row.passages:
            passage.sentences = [swap(s) for s in passage.sentences]
            passage.heading = swap(passage.heading)
        row.asked = [(swap(q), (swap(a[0]), a[1]) if a else None) for q, a in row.asked]
        return row

    # -- the mixture

    def row(self, *, guides: float, scrambled: float, passages: int, most: int, fewest: int = 1) -> Row:
        """One row with `fewest` to `passages` passages, from the guides, of unrelated words, or else of patterns."""
        rng = self.rng
        count, pick = rng.randint(fewest, passages), rng.random()
        if passages > 2 and rng.random() < 0.08:
            count += 2
        if pick < guides:
            row = self.guides(count)
        elif pick < guides + scrambled:
            row = self.scrambled(count, most)
        else:
            row = self.made_up(count, most)
        for passage in row.passages:
            row.following.update(zip(passage.sentences, passage.sentences[1:], strict=False))
        rng.shuffle(row.asked)
        return row


def alone(rng: random.Random, corpus: Corpus) -> tuple[str, str]:
    """(a prompt without passages, what to say to it)."""
    off_topic = rng.choice(OFF_TOPIC).format(**corpus.filling())
    if rng.random() < 0.3:
        return f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{question_text(off_topic)}", ABSTAIN
    message = rng.choice(ALONE) if rng.random() < 0.6 else off_topic
    return f"<|im_start|>user\n{message}<|im_end|>\n<|im_start|>assistant\n", GREETING
