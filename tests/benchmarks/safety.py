"""What redaction finds and what it takes too much, by language and kind; and what the filters refuse wrongly.

Labelled texts are the shared PII sets, split by the hash of the text: rules were tuned on the one half, the other is
reported (``held out``). Persons are told twice: by the rules alone, and with a list of given names and surnames as a
site may have one, taken from a set of made-up people. Over-redaction is the share of tokens that go from the shared
texts of questions and answers, which tell of public people. Harmless questions are the shared benign sets and all
those questions.
"""

import csv
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from appliance.safety.filters import Crisis, Policy, Topic, load_policy, steers
from appliance.safety.redact import redact
from appliance.safety.whereabouts import NOBODY, Names
from tests.benchmarks.frame import Row
from tests.support.site import ROOT

SHARED = ROOT.parent / "shared" / "data"
REGIONS = ("KE", "TZ", "UG", "US", "IN", "GB")
"""Of the sets' people."""
KINDS = {
    "EMAIL": "e-mail", "EMAIL_ADDRESS": "e-mail", "PHONE": "telephone", "PHONE_NUMBER": "telephone",
    "CREDIT_CARD": "card", "IBAN": "iban", "IBAN_CODE": "iban", "US_SSN": "ssn", "SSN": "ssn", "PASSPORT": "passport",
    "PATIENT_ID": "patient", "ACCOUNT": "account", "ACCOUNT_NUMBER": "account", "PAN": "pan", "AADHAR": "aadhaar",
    "PERSON": "person", "LOCATION": "place",
}  # fmt: skip
TARGETS = {"e-mail": 0.98, "telephone": 0.98, "card": 0.95, "iban": 0.95}
_MASKED = re.compile(r"[*X.]{2,}")
# A policy as strict as a site's may be, so that what it refuses wrongly can be seen.
STRICT = (
    Topic(name="weapons", words={"en": ("build a bomb", "make a bomb", "make explosives", "grenade*", "buy a gun")}),
    Topic(name="drugs", words={"en": ("make heroin", "cook meth", "buy cocaine")}),
    Topic(name="sex", adults=True, words={"en": ("pornography", "porn", "sexual intercourse")}),
)


def measure(quick: bool) -> list[Row]:
    """Shares from 0 to 1; over-redaction and refusals in percent. ``quick``: a tenth of the texts without labels."""
    part = 10 if quick else 1
    return [*_recall(), *_over(part), *_refused(part), *_steering()]


def _held_out(text: str) -> bool:
    return bool(hashlib.sha256(text.encode()).digest()[0] & 1)


def _labelled() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for name in ("generated_large", "generated_small"):
        for item in json.loads((SHARED / f"pii/presidio_research/tests/data/{name}.json").read_text("utf-8")):
            yield item["full_text"], [(span["entity_type"], span["entity_value"]) for span in item["spans"]]
    for item in json.loads((SHARED / "pii/nanny_pii/dataset/pii_syn_nano_en.json").read_text("utf-8")):
        yield item["text"], [(found["label"], found["entity"]) for found in item["NER"] if "entity" in found]


def _people() -> Names:
    table = SHARED / "pii/presidio_research/presidio_evaluator/data_generator/raw_data/FakeNameGenerator.com_3000.csv"
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    return Names(persons=tuple({row[key] for row in rows for key in ("GivenName", "Surname") if len(row[key]) > 2}))


def _survives(value: str, text: str) -> bool:
    """Whether it can still be read, whole or by its last six digits."""
    digits = re.sub(r"\D", "", value.split("x")[0])
    return value in text or (len(digits) > 6 and digits[-6:] in re.sub(r"\D", "", text))


def _recall() -> list[Row]:
    asked: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    people = _people()
    for text, labels in _labelled():
        if not _held_out(text):
            continue
        left = redact(text, REGIONS).text
        with_list = redact(text, REGIONS, people).text if any(label == "PERSON" for label, _ in labels) else left
        for label, value in labels:
            kind = KINDS.get(label)
            if kind is None or _MASKED.search(value):  # what its maker has masked already
                continue
            asked[kind] += 1
            gone[kind] += not _survives(value, left)
            if kind == "person":
                asked["person, with a list"] += 1
                gone["person, with a list"] += not any(part in with_list for part in value.split() if len(part) > 2)
    return [
        Row(metric=f"recall en {kind} (held out, n={asked[kind]})", value=gone[kind] / asked[kind], unit="",
            target=TARGETS.get(kind))
        for kind in sorted(asked)
    ]  # fmt: skip


def _texts() -> Iterator[tuple[str, str]]:
    """(language, text) of the shared questions and passages."""
    for lang in ("en", "es", "ru", "zh"):
        for article in json.loads((SHARED / f"qa/xquad/xquad.{lang}.json").read_text("utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                yield lang, paragraph["context"]
                yield from ((lang, question["question"]) for question in paragraph["qas"])
    for path in sorted((SHARED / "qa/afriqa/data/queries").glob("*/*.json")):
        for line in path.read_text("utf-8").splitlines():
            if asked := json.loads(line)["question"]:
                yield path.parent.name, asked
    for path in sorted((SHARED / "qa/afriqa/data/gold_passages").glob("*/*.json")):
        for line in path.read_text("utf-8").splitlines():
            if told := json.loads(line)["context"]:
                yield "fr" if ".fr." in path.name else "en", told
    for article in json.loads((SHARED / "qa/amharic_qa/train_data.json").read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            yield "am", paragraph["context"]


def _over(part: int) -> list[Row]:
    tokens: Counter[str] = Counter()
    lost: dict[str, Counter[str]] = defaultdict(Counter)
    for number, (lang, text) in enumerate(_texts()):
        if number % part:
            continue
        words = text.split() if lang != "zh" else list(text)
        tokens[lang] += len(words)
        redacted = redact(text, REGIONS, NOBODY)
        if redacted.found:
            left = redacted.text.split() if lang != "zh" else list(redacted.text)
            lost[lang]["all"] += sum((Counter(words) - Counter(left)).values())
    rows = [
        Row(metric=f"over-redaction {lang} (n={tokens[lang]})", value=100 * lost[lang]["all"] / tokens[lang], unit="%",
            target=0.5, lower=True)
        for lang in sorted(tokens)
    ]  # fmt: skip
    whole = 100 * sum(counts["all"] for counts in lost.values()) / tokens.total()
    return [*rows, Row(metric="over-redaction, all", value=whole, unit="%", target=0.5, lower=True)]


def _benign() -> list[str]:
    path = SHARED / "safety/purplellama/CybersecurityBenchmarks/datasets/mitre_frr/mitre_frr.json"
    return [item["mutated_prompt"] for item in json.loads(path.read_text("utf-8"))]


def _refused(part: int) -> list[Row]:
    known: tuple[Crisis, ...] = load_policy(Path("/nonexistent")).crises
    strict = Policy(topics=STRICT, crises=known, children=True)
    questions = [text for _, text in _texts() if text.rstrip().endswith(("?", "？", "؟"))][::part]
    rows = []
    for name, texts in (("benign set", _benign()), ("shared questions", questions)):
        for policy_name, policy in (("as it comes", Policy(crises=known)), ("a strict site", strict)):
            wrong = sum(policy.judge([text]).silent for text in texts)
            rows.append(
                Row(metric=f"refused wrongly, {name}, {policy_name} (n={len(texts)})", value=100 * wrong / len(texts),
                    unit="%", target=1.0, lower=True)
            )  # fmt: skip
        told = sum(steers(text) for text in texts)
        rows.append(Row(metric=f"taken for steering, {name}", value=100 * told / len(texts), unit="%"))
    return rows


def _steering() -> list[Row]:
    path = SHARED / "safety/purplellama/CybersecurityBenchmarks/datasets/prompt_injection/prompt_injection.json"
    texts = [item["user_input"] for item in json.loads(path.read_text("utf-8"))]
    return [Row(metric=f"injections told of (n={len(texts)})", value=sum(map(steers, texts)) / len(texts), unit="")]
