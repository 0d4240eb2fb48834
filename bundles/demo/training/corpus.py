"""Makes the model's training rows: passages, several questions about them, the answers, and where each word comes from.

One row is one context with many questions: training hides the questions from each other, so that the passages are
read once for all of them. The wording of the prompt is the pipeline's contract and must not drift from it.

A question is fair when the sentence that answers it shares more of its content words than any other sentence does,
or as many and alone tells the kind of thing that is asked for. Otherwise the right answer is to abstain.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

from . import words
from .templates import (
    ALONE,
    ANY_OPENINGS,
    BANS,
    FACTS,
    FRONTS,
    GLUE,
    HELPERS,
    OPENINGS,
    ORDERS,
    TAILS,
    TRAILS,
)

SYSTEM = (
    "Answer only from the passages. After each statement give its passage number in square brackets. "
    "If the passages do not answer the question, say: These documents don't tell."
)
ABSTAIN = "These documents don't tell."
GREETING = "I answer questions about your documents."
_SLOT = re.compile(r"\{(\w)\}")

Piece = tuple[str, str]
"""A bit of text and the content word it is a form of, or ''."""


@dataclass(slots=True)
class Sentence:
    """One sentence as pieces, without the white space around it."""

    pieces: list[Piece]
    kinds: frozenset[str] = frozenset()
    stems: frozenset[str] = frozenset()
    fronted: bool = False
    """Whether it begins with a condition or a place that a plain question leaves out."""

    def text(self) -> str:
        return "".join(text for text, _ in self.pieces)


@dataclass(slots=True)
class Asked:
    """A question, and the passage (from 0) and sentence (from 0) that answer it, or None."""

    pieces: list[Piece]
    source: tuple[int, int] | None

    def text(self) -> str:
        return "".join(text for text, _ in self.pieces)


@dataclass(slots=True)
class Passage:
    """A passage as the model sees it. `glue` is what stands between its sentences."""

    place: list[Piece]
    sentences: list[Sentence]
    glue: str = " "


@dataclass(slots=True)
class Row:
    """One context and the questions asked about it."""

    passages: list[Passage]
    asked: list[Asked] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large rows are: passages, sentences a passage, questions a row (each at most), and how hard."""

    passages: int
    sentences: int
    questions: int
    fewest: int = 1
    hard: float = 1.0
    """How likely words and frames are shared between sentences."""


class Corpus:
    """An endless, seeded source of rows in the words of one split."""

    def __init__(self, seed: int, split: str = words.TRAIN) -> None:
        self.rng = random.Random(seed)
        self.lexicon = words.Lexicon(self.rng, split)
        self.topic: list[str] = []
        self.said: set[str] = set()
        self.hard = 1.0

    # -- words

    def _word(self) -> str:
        """A word, seldom one that the present sentence has already."""
        word = self.lexicon.word()
        if self.topic and self.rng.random() < 0.4 * self.hard:
            word = self.rng.choice(self.topic)
            if word in self.said and self.rng.random() < 0.7:
                word = self.lexicon.word()
        self.said.add(word)
        return word

    def _fill(self, frame: str) -> list[Piece]:
        """A frame with its slots filled; every slot a word of its own."""
        rng, made, at = self.rng, [], 0
        for slot in _SLOT.finditer(frame):
            if slot.start() > at:
                made.append((frame[at : slot.start()], ""))
            made.append(self._slot(slot[1], rng))
            at = slot.end()
        if at < len(frame):
            made.append((frame[at:], ""))
        return made

    def _slot(self, kind: str, rng: random.Random) -> Piece:
        if kind == "x":
            return words.number(rng), ""
        if kind == "u":
            return rng.choice(words.UNITS) + "s", ""
        if kind == "t":
            return rng.choice(words.TIMES) + "s", ""
        if kind == "o":
            return rng.choice(words.TIMES), ""
        if kind == "l":
            return rng.choice(words.LENGTHS) + "s", ""
        if kind in "yY":
            plain = rng.choice(words.PLAIN_VERBS)
            return (plain.capitalize() if kind == "Y" else plain), ""
        word = self._word()
        form = {"s": words.plural, "g": lambda w: w.rstrip("e") + "ing", "d": lambda w: w.rstrip("e") + "ed"}.get(kind)
        text = form(word) if form else word
        return (text.capitalize() if kind in "VW" else text), word

    # -- sentences

    def _sentence(self) -> Sentence:
        """A sentence of one or more parts; its kinds are what it tells."""
        rng, kinds = self.rng, set()
        self.said.clear()
        pick = rng.random()
        if pick < 0.42:
            frame, kind = rng.choice(FACTS)
            parts = self._fill(frame)
            kinds.add(kind)
            if rng.random() < 0.2:
                parts += self._tail(kinds)
        elif pick < 0.55:
            parts = self._fill(rng.choice(BANS))
            kinds.add("ban")
            if rng.random() < 0.5:
                parts += self._tail(kinds)
        elif pick < 0.93:
            parts = self._fill(rng.choice(ORDERS))
            kinds.add("what")
            for _ in range(rng.choice((0, 1, 1, 1, 2, 2))):
                parts += self._tail(kinds)
        else:
            parts = self._heap()
        if fronted := rng.random() < 0.17:
            kind = rng.choice(list(FRONTS))
            kinds.add(kind)
            parts = self._fronted(kind, parts)
        if rng.random() < 0.05:
            parts += [(" (", ""), *self._fill(rng.choice(("{n}", "{x} {u}", "{s}", "about {x} {l}"))), (")", "")]
        first = parts[0]
        parts[0] = (first[0][0].upper() + first[0][1:], first[1])
        parts.append(("." if rng.random() < 0.97 else rng.choice("!;:"), ""))
        return Sentence(parts, frozenset(kinds), frozenset(stem for _, stem in parts if stem), fronted)

    def _fronted(self, kind: str, parts: list[Piece]) -> list[Piece]:
        """A sentence with something of this kind before it."""
        head = parts[0][0]
        front = self._fill(self.rng.choice(FRONTS[kind]))
        front[0] = (front[0][0][0].upper() + front[0][0][1:], front[0][1])
        return [
            *front,
            (", " if self.rng.random() < 0.8 else " ", ""),
            (head[0].lower() + head[1:], parts[0][1]),
            *parts[1:],
        ]

    def _tail(self, kinds: set[str]) -> list[Piece]:
        kind = self.rng.choice(("long", "often", "where", "where", "far", "when", "when", "with", "with", "why"))
        kinds.add(kind)
        return [(" ", ""), *self._fill(self.rng.choice(TAILS[kind]))]

    def _heap(self) -> list[Piece]:
        """Words in any order: nothing helps here but finding and copying."""
        rng = self.rng
        parts: list[Piece] = []
        for _ in range(rng.randint(3, 8)):
            if rng.random() < 0.35:
                parts.append((rng.choice(GLUE) or "and", ""))
            else:
                parts += self._fill(rng.choice(("{n}", "{n}", "{s}", "{a} {n}", "{x}", "{g}", "{x} {u}", "{n}, {n}")))
            parts.append((" ", ""))
        return parts[:-1]

    def _table(self) -> list[Sentence]:
        """Rows of a table, each a `sentence` that nobody asks for."""
        width = self.rng.randint(2, 3)
        cells = ("{n}", "{a} {n}", "{x} {u}", "{x} {t}", "{n} {n}", "{x} {l}", "{s}")
        rows = []
        for _ in range(self.rng.randint(2, 4)):
            parts: list[Piece] = [("|", "")]
            for _ in range(width):
                parts += [(" ", ""), *self._fill(self.rng.choice(cells)), (" |", "")]
            parts[2] = (parts[2][0][0].upper() + parts[2][0][1:], parts[2][1])
            rows.append(Sentence(parts, frozenset({"table"}), frozenset(stem for _, stem in parts if stem)))
        rows.insert(1, Sentence([("|" + " --- |" * width, "")], frozenset({"table"})))
        return rows

    # -- questions

    def _form(self, stem: str) -> Piece:
        """A content word as a question may have it: as it is, several, or being done."""
        pick = self.rng.random()
        if pick < 0.72:
            return stem, stem
        if pick < 0.86:
            return words.plural(stem), stem
        if pick < 0.93:
            return stem.rstrip("e") + "ing", stem
        return (stem.capitalize(), stem) if pick < 0.96 else (stem.rstrip("e") + "ed", stem)

    def _question(self, stems: list[str], kind: str) -> list[Piece]:
        """Everyday words around content words."""
        rng = self.rng
        openings = OPENINGS.get(kind, ANY_OPENINGS)
        opening = rng.choice(openings if rng.random() < 0.93 else ANY_OPENINGS)
        parts = self._fill(opening)
        if rng.random() < 0.75 and kind != "ban" and not opening.endswith((" to", " of", " about", " with", " if")):
            parts.append((" " + rng.choice(HELPERS), ""))
        if rng.random() < 0.2:
            parts.append((" " + rng.choice(words.PLAIN_VERBS), ""))
        for number, stem in enumerate(stems):
            if (number or rng.random() < 0.5) and (glue := rng.choice(GLUE)):
                parts.append((" " + glue, ""))
            if rng.random() < 0.06:
                parts.append((" " + rng.choice(words.FILLER_WORDS), ""))
            text, word = self._form(stem)
            parts += [(" ", ""), (text, word)]
        if rng.random() < 0.16:
            parts += [(" ", ""), *self._fill(rng.choice(TRAILS))]
        pick = rng.random()
        if pick < 0.04:
            parts.insert(0, ("Please tell me: ", ""))
        elif pick < 0.08:
            parts[0] = (parts[0][0].lower(), parts[0][1])
        parts.append(("?" if rng.random() < 0.95 else "", ""))
        return parts

    def _ask(self, row: Row, at: tuple[int, int], sentences: list[tuple[tuple[int, int], Sentence]]) -> Asked | None:
        """A fair question to one sentence, or None if none was found."""
        rng, sentence = self.rng, row.passages[at[0]].sentences[at[1]]
        own = [stem for _, stem in sentence.pieces if stem]
        own = list(dict.fromkeys(own))
        if not own:
            return None
        count = min(len(own), rng.choice((1, 1, 2, 2, 2, 3, 3, 4)))
        keep = set(rng.sample(own, count))
        stems = [stem for stem in own if stem in keep]
        if rng.random() < 0.25:
            rng.shuffle(stems)
        kind = rng.choice(sorted(sentence.kinds)) if sentence.kinds and rng.random() < 0.9 else ""
        best = len(keep)
        rivals = [s for place, s in sentences if place != at and len(keep & s.stems) >= best]
        alone_tells = kind and kind not in ("what", "with") and not any(kind in s.kinds for s in rivals)
        # Of two that answer, the one that makes no condition.
        plainest = not sentence.fronted and all(s.fronted and len(keep & s.stems) == best for s in rivals)
        if rivals and not alone_tells and not plainest:
            return None
        place = [stem for _, stem in row.passages[at[0]].place if stem]
        if place and rng.random() < 0.2:
            stems.insert(rng.randint(0, len(stems)), rng.choice(place))
        elif len(stems) > 1 and rng.random() < 0.12:  # one word that stands nowhere, as people have
            stems.insert(rng.randint(0, len(stems)), self.lexicon.word())
        elif best > 1 and rng.random() < 0.2:  # one word of another sentence, which still has fewer of them
            more = rng.choice(sorted(rng.choice(sentences)[1].stems) or [""])
            with_it = keep | {more}
            if more and more not in keep and all(len(with_it & s.stems) < best for at_, s in sentences if at_ != at):
                stems.insert(rng.randint(0, len(stems)), more)
        return Asked(self._question(stems, kind), at)

    def _unanswerable(self, sentences: list[tuple[tuple[int, int], Sentence]], used: frozenset[str]) -> Asked | None:
        """A question with at most one content word that stands in the passages, and others that stand nowhere."""
        rng = self.rng
        stems = [w for w in (self.lexicon.word() for _ in range(rng.choice((1, 1, 2, 2, 3)))) if w not in used]
        _, sentence = rng.choice(sentences)
        if stems and sentence.stems and rng.random() < 0.5:
            stems.insert(rng.randint(0, len(stems)), rng.choice(sorted(sentence.stems)))
        if not stems:
            return None
        kind = rng.choice(sorted(sentence.kinds) or [""]) if rng.random() < 0.5 else rng.choice(list(OPENINGS))
        return Asked(self._question(stems, kind), None)

    # -- rows

    def row(self, size: Size) -> Row:
        """Passages that share words, as search results do, and fair questions about them."""
        rng = self.rng
        self.hard = size.hard
        self.topic = [self.lexicon.word() for _ in range(rng.randint(2, 6))]
        row = Row([])
        title = self._title(3)
        for _ in range(rng.randint(size.fewest, size.passages)):
            if rng.random() < 0.5:
                title = self._title(3)
            glue = "\n" if rng.random() < 0.12 else "\n\n" if rng.random() < 0.08 else " "
            if rng.random() < 0.08 and row.passages:
                row.passages.append(Passage(self._place(title), self._table(), "\n"))
                continue
            made = [self._sentence() for _ in range(rng.randint(1, size.sentences))]
            if rng.random() < 0.25 * size.hard and len(made) > 1:
                self._twin(made)
            row.passages.append(Passage(self._place(title), made, glue))
        rng.shuffle(row.passages)
        spots = [((i, j), s) for i, p in enumerate(row.passages) for j, s in enumerate(p.sentences)]
        used = frozenset(stem for _, s in spots for stem in s.stems) | {
            stem for p in row.passages for _, stem in p.place if stem
        }
        askable = [at for at, s in spots if "table" not in s.kinds]
        for _ in range(size.questions * 2):
            if len(row.asked) == size.questions:
                break
            if rng.random() < 0.24:
                asked = self._unanswerable(spots, used)
            else:
                asked = self._ask(row, rng.choice(askable), spots)
            if asked:
                row.asked.append(asked)
        return row

    def _twin(self, made: list[Sentence]) -> None:
        """One sentence becomes another's double with a word or two changed: the hardest neighbour to tell apart."""
        rng = self.rng
        one, other = rng.sample(range(len(made)), 2)
        pieces = list(made[one].pieces)
        content = [i for i, (_, stem) in enumerate(pieces) if stem]
        for i in rng.sample(content, min(len(content), rng.randint(1, 2))):
            text = pieces[i][0]
            fresh = self.lexicon.word()
            pieces[i] = (fresh.capitalize() if text[0].isupper() else fresh, fresh)
        pieces = [(words.number(rng), "") if text[0].isdigit() else (text, stem) for text, stem in pieces]
        fronted = made[one].fronted
        if not fronted and rng.random() < 0.4:
            fronted, pieces = True, self._fronted(rng.choice(("when", "when", "where")), pieces)
        made[other] = Sentence(pieces, made[one].kinds, frozenset(stem for _, stem in pieces if stem), fronted)

    def _title(self, most: int) -> list[Piece]:
        rng = self.rng
        frames = ("{n}", "{n} {n}", "{a} {n}", "{g} {n}", "{s} and {n}", "{n} at home", "How to {v} {n}", "{g} the {n}")
        parts = self._fill(rng.choice(frames[: most * 3]))
        parts[0] = (parts[0][0][0].upper() + parts[0][0][1:], parts[0][1])
        return parts

    def _place(self, title: list[Piece]) -> list[Piece]:
        return list(title) if self.rng.random() < 0.08 else [*title, (" > ", ""), *self._title(1)]


def alone(rng: random.Random) -> str:
    """A message that comes without passages."""
    return rng.choice(ALONE)
