"""What a small pack does to TICO-19's sentences: whether its term lists, numbers and units survive or are flagged.

The sentences and terms are of a subject that the demo's pack never saw, so that nearly every term must be forced. What
survives is judged by the glossary's own search, and once more by looking for the term as it stands in the list.
"""

import csv
import random
import re
import tempfile
import time
import zipfile
from pathlib import Path
from statistics import median
from xml.etree import ElementTree

from appliance.language import units
from appliance.language.glossary import Glossary, find, holds
from appliance.language.numbers import numbers
from appliance.language.protect import NUMBERS_DIFFER, UNITS_DIFFER, UNITS_UNCHECKED
from appliance.language.translate import Translator
from tests.benchmarks.frame import Row
from tests.support.site import ROOT

TICO = ROOT.parent / "shared" / "data" / "mt" / "tico19" / "data"
LANGPACK = ROOT / "bundles" / "demo" / "langpack"


def measure(quick: bool) -> list[Row]:
    """English to Swahili, over sentences with a term or a number in them."""
    sentences = tico_sentences(60 if quick else 600)
    glossary = tico_glossary()
    with tempfile.TemporaryDirectory() as folder, Translator(demo_packs(Path(folder)), glossary=glossary) as translator:
        found = through(translator, glossary, sentences)
    return [
        Row(metric="sentences", value=len(sentences), unit=""),
        Row(metric="terms of the glossary in them", value=len(found["terms"]), unit=""),
        Row(metric="terms that survive, perhaps inflected", value=share(found["terms"]), unit="share", target=1),
        Row(metric="terms that survive letter by letter", value=share(found["exact"]), unit="share"),
        Row(metric="numbers and units kept or flagged", value=share(found["told"]), unit="share", target=1),
        Row(metric="numbers and units kept", value=share(found["kept"]), unit="share"),
        Row(metric="sentences translated in pieces", value=share(found["pieced"]), unit="share"),
        Row(metric="a sentence, median", value=1000 * median(found["seconds"]), unit="ms"),
    ]


def through(translator: Translator, glossary: Glossary, sentences: list[str]) -> dict[str, list]:
    """Each case of each figure, as the translations of these sentences show it."""
    cases: dict[str, list] = {name: [] for name in ("terms", "exact", "told", "kept", "pieced", "seconds")}
    for sentence in sentences:
        began = time.perf_counter()
        said = translator.translate(sentence, "en", "sw")
        cases["seconds"].append(time.perf_counter() - began)
        for one in find(sentence, glossary.terms("en", "sw"), "en"):
            cases["terms"].append(holds(said.text, one.term.target, "sw"))
            cases["exact"].append(any(form.casefold() in said.text.casefold() for form in one.term.target))
        cases["pieced"].append("pieced" in said.flags)
        if any(c.isdigit() for c in sentence):
            kept = numbers(sentence) == numbers(said.text) and units.survives(sentence, "en", said.text, "sw") is True
            cases["kept"].append(kept)
            cases["told"].append(kept or bool({NUMBERS_DIFFER, UNITS_DIFFER, UNITS_UNCHECKED} & set(said.flags)))
    return cases


def tico_glossary() -> Glossary:
    """TICO-19's English and Swahili terms."""
    lines = (TICO / "terminologies" / "f_en-sw_KE.csv").read_text(encoding="utf-8").splitlines()[1:]
    return Glossary(("en", row[3], "sw", row[4]) for row in csv.reader(lines) if len(row) >= 5)


def tico_sentences(most: int) -> list[str]:
    """English sentences of the test set, of 20 to 200 characters, half of them with a number, always the same."""
    with zipfile.ZipFile(TICO / "TM" / "all.en-sw.tmx.zip") as archive:
        root = ElementTree.fromstring(archive.read("all.en-sw.tmx"))
    texts = [re.sub(r"\s+", " ", (tu.find("tuv/seg").text or "")).strip() for tu in root.iter("tu")]
    texts = sorted({text for text in texts if 20 <= len(text) <= 200})
    numbered = [text for text in texts if re.search(r"\d", text)]
    plain = [text for text in texts if not re.search(r"\d", text)]
    chosen = random.Random(19)
    return chosen.sample(numbered, min(most // 2, len(numbered))) + chosen.sample(plain, most // 2)


def demo_packs(folder: Path) -> dict[tuple[str, str], Path]:
    """The demo's packages, unpacked."""
    packs = {}
    for archive in LANGPACK.glob("*.argosmodel"):
        source, target = archive.name.split("-")[1].split("_")
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder / f"{source}_{target}")
        packs[source, target] = next((folder / f"{source}_{target}").glob("*/metadata.json")).parent
    return packs


def share(cases: list[bool]) -> float:
    return sum(cases) / len(cases) if cases else 1.0
