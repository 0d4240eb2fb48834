"""What the support of a sentence tells apart: XQuAD's own sentences from others, changed, negated or shortened.

For each paragraph of the shared articles one of its sentences is held against it: as it is; with a quarter of its words
left out, numbers and negations kept; with one digit changed; with a "not" put in; and a sentence of another paragraph
of the same article. The threshold is right if the first two pass and the others do not.
"""

import json
import random
import re
from collections import defaultdict

from appliance.claims import ENOUGH, support
from appliance.exchange import Passage
from appliance.language.sentences import split
from tests.benchmarks.frame import Row
from tests.support.site import ROOT

XQUAD = ROOT.parent / "shared" / "data" / "qa" / "xquad"
LONG = 40
"""Characters of a sentence that says something."""
_NOT = {"en": r"\b(?:is|was|are|were)\b", "es": r"\b(?:es|era|son|fue)\b", "ru": r"\b(?:был|была|было|были)\b"}
_PUT = {"en": r"\g<0> not", "es": r"no \g<0>", "ru": r"не \g<0>"}


def measure(quick: bool) -> list[Row]:
    """Shares a language, at the threshold in use and beside it."""
    rows = []
    for lang in ("en", "es", "ru", "zh"):
        shares = cases(lang, articles=12 if quick else 48)
        for name, good in (("as it is", True), ("a quarter left out", True), ("of another paragraph", False),
                           ("a digit changed", False), ("negated", False)):  # fmt: skip
            found = shares[name]
            for bound in (0.4, ENOUGH, 0.8) if found else ():
                value = sum(share >= bound for share in found) / len(found)
                target = None if bound != ENOUGH else (0.95 if good else 0.05)
                metric = f"{lang} {name} ({len(found)}) passes at {bound}"
                rows.append(Row(metric=metric, value=value, unit="share", target=target, lower=not good))
    return rows


def cases(lang: str, articles: int) -> dict[str, list[float]]:
    """The support of each kind of sentence; the same ones each time."""
    chosen = random.Random(lang)
    found: dict[str, list[float]] = defaultdict(list)
    for article in json.loads((XQUAD / f"xquad.{lang}.json").read_text(encoding="utf-8"))["data"][:articles]:
        texts = [paragraph["context"] for paragraph in article["paragraphs"]]
        for text in texts:
            own = _long(text)
            others = [s for other in texts if other is not text for s in _long(other)]
            if not own or not others:
                continue
            sentence = chosen.choice(own)
            found["as it is"].append(_share(sentence, text, lang))
            found["a quarter left out"].append(_share(_shortened(sentence, lang, chosen), text, lang))
            found["of another paragraph"].append(_share(chosen.choice(others), text, lang))
            if re.search(r"\d", sentence):
                changed = re.sub(r"\d", lambda m: str((int(m[0]) + 1) % 10), sentence, count=1)
                found["a digit changed"].append(_share(changed, text, lang))
            if lang in _NOT and re.search(_NOT[lang], sentence):
                found["negated"].append(_share(re.sub(_NOT[lang], _PUT[lang], sentence, count=1), text, lang))
    return found


def _share(sentence: str, text: str, lang: str) -> float:
    quoted = Passage(
        id="x#1", docpack="x", document="x", title="", heading="", lang=lang, text=text, start=0, end=len(text)
    )
    place = support(sentence, [quoted], lang)
    return place.share if place else 0.0


def _long(text: str) -> list[str]:
    return [piece.strip() for piece in split(text) if len(piece.strip()) >= LONG]


def _shortened(sentence: str, lang: str, chosen: random.Random) -> str:
    # In Chinese, signs beside a digit stay with it: without the year's sign two numbers would be one.
    parts = re.findall(r"\D?\d(?:\S?\d)*\D?|\D", sentence) if lang == "zh" else sentence.split()
    keep = re.compile(r"\d|^(?:not|no|never|without|nor|sin|nunca|ni|не|нет|без|ни|[不没無无勿别未])$", re.IGNORECASE)
    kept = [part for part in parts if keep.search(part.strip(".,;:()")) or chosen.random() >= 0.25]
    return ("" if lang == "zh" else " ").join(kept)
