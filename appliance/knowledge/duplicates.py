"""Documents that are in a docpack twice, or nearly: the same handbook as PDF and as Word, or in two editions. Pure."""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.borders import CLOSERS, ENDS, WIDE_ENDS
from appliance.knowledge.document import Document

NEARLY = 0.8
"""Share of the shorter document's sentences that must stand in the other."""
_SENTENCE = re.compile(rf"\n|(?<=[.…{ENDS}])[{CLOSERS}]*\s|(?<=[{WIDE_ENDS}])")
_SIGN = re.compile(r"[\W_]+")
_SHORTEST = 15
"""Letters a sentence must have to tell anything."""
_BOILERPLATE = 20
"""A sentence that stands in more documents than this tells of a publisher, not of a copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """Two documents that say the same."""

    first: str
    """Path of the one that is kept."""
    second: str
    copy: bool
    """Every letter and digit is the same."""
    share: float
    """Of the shorter one's text, as much as stands in the other."""


def find_same(documents: Sequence[Document]) -> list[Same]:
    """Pairs that are the same or nearly so, in the documents' order; a third copy is paired with the first only."""
    found: list[Same] = []
    first_with: dict[bytes, str] = {}
    sentences: dict[str, dict[bytes, int]] = {}
    for document in documents:
        whole = _digest(_bare(document.text))
        if whole in first_with:
            found.append(Same(first=first_with[whole], second=document.path, copy=True, share=1.0))
            continue
        first_with[whole] = document.path
        bare = (_bare(sentence) for sentence in _SENTENCE.split(document.text))
        sentences[document.path] = {_digest(words): len(words) for words in bare if len(words) >= _SHORTEST}
    return found + _nearly(sentences)


def _nearly(sentences: dict[str, dict[bytes, int]]) -> list[Same]:
    holders: dict[bytes, list[str]] = defaultdict(list)
    for path, own in sentences.items():
        for digest in own:
            holders[digest].append(path)
    shared: Counter[tuple[str, str]] = Counter()
    for digest, paths in holders.items():
        if 1 < len(paths) <= _BOILERPLATE:
            for at, path in enumerate(paths):
                for other in paths[at + 1 :]:
                    shared[path, other] += sentences[path][digest]
    total = {path: sum(own.values()) for path, own in sentences.items()}
    near = {pair: letters / min(total[pair[0]], total[pair[1]]) for pair, letters in shared.items()}
    order = {path: at for at, path in enumerate(sentences)}
    pairs = sorted((pair for pair, share in near.items() if share >= NEARLY), key=lambda p: (order[p[0]], order[p[1]]))
    return [Same(first=first, second=second, copy=False, share=near[first, second]) for first, second in pairs]


def in_words(same: Same) -> str:
    """One sentence for whoever adds the documents."""
    if same.copy:
        return f"{same.second} says the same as {same.first} and is left out."
    return f"{same.second} is nearly the same as {same.first}: {same.share:.0%} of the shorter one's text."


def _bare(text: str) -> str:
    return _SIGN.sub("", unicodedata.normalize("NFKC", text).casefold())


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
