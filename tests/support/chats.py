"""Chat records as large and as hard to compress as real ones: words that follow each other as in the demo's guides.

They mean nothing. The same seed gives the same records.
"""

import random
import re
from collections.abc import Iterator
from itertools import pairwise

from tests.support.site import ROOT

_SOURCES = ("bundles/demo/**/*.md", "*/README.md")


def chats(count: int, seed: int = 1) -> Iterator[dict[str, object]]:
    """Bodies in the form of ``appliance.record``, about a kilobyte of text each."""
    rng = random.Random(seed)
    following = _following()
    for _ in range(count):
        question, answer = _words(rng, following, 14), _words(rng, following, 65)
        lang = rng.choice(["en", "sw", "fr"])
        yield {
            "v": 1, "id": f"{rng.getrandbits(64):016x}", "lang": lang, "working_lang": "en",
            "question": question, "question_working": question if lang == "en" else _words(rng, following, 14),
            "answer": answer, "answer_working": answer if lang == "en" else _words(rng, following, 65),
            "passages": [f"guides/{rng.randrange(9)}#{rng.randrange(90)}" for _ in range(3)], "cited": [1],
            "abstained": False, "model": "qwen2.5-0.5b-instruct-q4_k_m", "adapter": None,
            "usage": {"prompt_tokens": rng.randrange(300, 900), "generated_tokens": rng.randrange(20, 200),
                      "total_ms": rng.randrange(2000, 30000), "finish": "stop"},
            "flags": [], "policy": "2", "found": {},
        }  # fmt: skip


def _following() -> dict[str, list[str]]:
    """Each word of our own texts with the words that came after it."""
    following: dict[str, list[str]] = {}
    for pattern in _SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            for word, after in pairwise(re.findall(r"[\w'-]+[.,;:]?", path.read_text())):
                following.setdefault(word, []).append(after)
    return following


def _words(rng: random.Random, following: dict[str, list[str]], most: int) -> str:
    starts = list(following)
    word = rng.choice(starts)
    words = [word]
    while len(words) < most:
        word = rng.choice(following.get(word, starts))
        words.append(word)
    return " ".join(words)
