"""What an edit of a 20 MB document pack costs to send, with its real index: three kinds of edit.

A round is one pack of ROUNDS MB of made-up guides; the edits are: a chapter rewritten in two of the guides, one
sentence in 3 % of all paragraphs, and 3 % of all paragraphs rewritten, wherever they stand.
"""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from bundles.indexer import fieldpost_index
from bundles.update import Update, compare
from tests.soak.frame import Outcome
from tests.support.bundle_factory import Keys, adapter, make_bundle, make_keys, model, part

ROUNDS = 20
"""MB of documents."""
SHARE = 0.03
_GUIDE = 500_000


class _Writer:
    """Text with the word frequencies of a language: few words often, many seldom."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        syllables = [a + b for a in "bdfgklmnpstvw" for b in "aeiou"]
        self._words = ["".join(self.rng.choices(syllables, k=self.rng.randint(1, 4))) for _ in range(20_000)]
        self._weights = [1 / (rank + 3) for rank in range(len(self._words))]

    def sentence(self) -> str:
        return " ".join(self.rng.choices(self._words, self._weights, k=self.rng.randint(8, 20))).capitalize() + "."

    def paragraph(self) -> str:
        return " ".join(self.sentence() for _ in range(self.rng.randint(2, 6)))

    def guide(self) -> list[str]:
        texts, size = [f"# {self.sentence()}"], 0
        while size < _GUIDE:
            texts.append(f"## {self.sentence()}" if self.rng.random() < 0.05 else self.paragraph())
            size += len(texts[-1])
        return texts


Guides = list[list[str]]


def _chapters(guides: Guides, writer: _Writer) -> Guides:
    """SHARE of the text, as stretches of two guides."""
    after = [list(guide) for guide in guides]
    count = int(sum(map(len, guides)) * SHARE / 2)
    for number in (1, len(guides) // 2):
        begin = len(after[number]) // 10
        for at in range(begin, min(begin + count, len(after[number]))):
            after[number][at] = writer.paragraph()
    return after


def _sentences(guides: Guides, writer: _Writer) -> Guides:
    def change(text: str) -> str:
        sentences = text.split(". ")
        sentences[writer.rng.randrange(len(sentences))] = writer.sentence().rstrip(".")
        return ". ".join(sentences)

    return [[change(t) if t[0] != "#" and writer.rng.random() < SHARE else t for t in guide] for guide in guides]


def _paragraphs(guides: Guides, writer: _Writer) -> Guides:
    return [
        [writer.paragraph() if t[0] != "#" and writer.rng.random() < SHARE else t for t in guide] for guide in guides
    ]


_EDITS: dict[str, Callable[[Guides, _Writer], Guides]] = {
    "a chapter in two guides": _chapters,
    "a sentence in 3 % of the paragraphs": _sentences,
    "3 % of the paragraphs": _paragraphs,
}


def soak(rounds: int, seed: int) -> Outcome:
    """Rows of MB and per cent; a failure is documents with their index that cost 2 % or more of the documents' size."""
    rows, failures = [], []
    with tempfile.TemporaryDirectory(prefix="fieldpost-deltas-") as folder:
        place = Path(folder)
        keys = make_keys(place / "keys")
        writer = _Writer(seed)
        guides = [writer.guide() for _ in range(max(4, rounds * 1_000_000 // _GUIDE))]
        weights = random.Random(seed).randbytes(20_000_000)
        old = _bundle(place / "old", keys, guides, weights, "1")
        for number, (name, edit) in enumerate(_EDITS.items()):
            new = _bundle(place / f"new{number}", keys, edit(guides, _Writer(seed + 1)), weights, f"2.{number}")
            update = compare(old, new)
            documents = _sums(update, lambda path: path.endswith(".md"))
            index = _sums(update, lambda path: path == "index.sqlite")
            both = documents[1] + index[1]
            sent = (f"{documents[1] / 1e6:.3f}", f"{index[1] / 1e6:.3f}", f"{100 * both / documents[0]:.2f}")
            rows.append((name, f"{documents[0] / 1e6:.1f}", f"{index[0] / 1e6:.1f}", *sent, f"{update.sent / 1e6:.2f}"))
            if both >= 0.02 * documents[0]:
                failures.append(f"{name}: {both:,} bytes are sent for {documents[0]:,} bytes of documents.")
            if any(part.how != "there" for part in update.parts if part.component == "model/answers"):
                failures.append(f"{name}: the model was sent again.")
    heads = (
        "edit",
        "documents, MB",
        "index, MB",
        "sent of these",
        "and of those",
        "both, % of the documents",
        "whole update, MB",
    )
    return Outcome(heads=heads, rows=tuple(rows), failures=tuple(failures))


def _bundle(folder: Path, keys: Keys, guides: Guides, weights: bytes, version: str) -> Path:
    scratch = folder.with_name(folder.name + "-docs")
    scratch.mkdir()
    files = {}
    for number, guide in enumerate(guides):
        path = scratch / f"guide-{number:02}.md"
        path.write_text("\n\n".join(guide) + "\n")
        files[path.name] = path.read_bytes()
    out = scratch / "index.sqlite"
    fieldpost_index([scratch / name for name in files], docpack="guides", language="en", out=out)
    files[out.name] = out.read_bytes()
    # The adapter is another one each time: it must never make the model travel.
    lora = adapter(random.Random(version).randbytes(1_000_000), base=weights, version=version)
    docs = part("docpack", "guides", files, annotations={"org.fieldpost.language": "en"}, version=version)
    return make_bundle(folder, keys, version=version, components=[model(weights), lora, docs])


def _sums(update: Update, wanted: Callable[[str], bool]) -> tuple[int, int]:
    parts = [part for part in update.parts if part.component == "docpack/guides" and wanted(part.path)]
    return sum(part.size for part in parts), sum(part.sent for part in parts)
