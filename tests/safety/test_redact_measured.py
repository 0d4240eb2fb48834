"""How much is taken out of texts that others have labelled, and how much too much. Bounds are what was measured."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import phonenumbers
import pytest
from phonenumbers import SUPPORTED_REGIONS, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from appliance.safety.redact import redact

REGIONS = ("KE", "TZ", "UG")
MAIL = {"EMAIL", "EMAIL_ADDRESS"}
TELEPHONE = {"PHONE_NUMBER", "PHONE"}
PLAIN = {
    "PERSON",
    "ADDRESS",
    "LOCATION",
    "ORGANIZATION",
    "ORG",
    "DATE_TIME",
    "TITLE",
    "PREFIX",
    "SYSTEM",
    "EVENT",
    "MISC",
}
"""What must stay, as far as these rules go. The other labels are numbers of people, which may go without harm."""


def labelled(shared: Path) -> Iterator[tuple[str, list[tuple[str, str]], bool]]:
    """Text, its (label, value) pairs, and whether nothing in it was left without a label."""
    for name in ("generated_large", "generated_small"):
        for item in json.loads((shared / f"pii/presidio_research/tests/data/{name}.json").read_text("utf-8")):
            yield item["full_text"], [(span["entity_type"], span["entity_value"]) for span in item["spans"]], True
    for item in json.loads((shared / "pii/nanny_pii/dataset/pii_syn_nano_en.json").read_text("utf-8")):
        yield item["text"], [(found["label"], found["entity"]) for found in item["NER"] if "entity" in found], False


def survives(value: str, text: str) -> bool:
    """Whether the value, or its last six digits, can still be read."""
    digits = re.sub(r"[^0-9]", "", value.split("x")[0])
    return value in text or (len(digits) > 6 and digits[-6:] in re.sub(r"[^0-9]", "", text))


def measure(shared: Path) -> Counter[str]:
    count: Counter[str] = Counter()
    for text, labels, whole in labelled(shared / "data"):
        left = redact(text, REGIONS).text
        bare = text
        for label, value in labels:
            if label in MAIL:
                count["mail"] += 1
                count["mail kept"] += value in left
            elif label in TELEPHONE:
                size = "long" if sum(map(str.isdigit, value.split("x")[0])) >= 9 else "short"
                count[size] += 1
                count[f"{size} kept"] += survives(value, left)
            if label not in PLAIN:
                bare = bare.replace(value, "…")
        if whole:
            count["texts"] += 1
            count["words"] += len(bare.split())
            found = redact(bare, REGIONS).found
            count["false"] += sum(number for kind, number in found.items() if kind != "person")
    return count


@pytest.mark.needs_shared
def test_recall_and_false_alarms_on_labelled_texts(shared: Path) -> None:
    count = measure(shared)
    print(dict(count))
    assert count["mail"] == 103
    assert count["mail kept"] <= 1  # a payment handle without a top-level domain, labelled as an address
    assert count["long"] == 116
    assert count["long kept"] == 0
    # Shorter ones are of countries that are not REGIONS: they look like doses and file numbers, and stay.
    assert count["short"] == 39
    assert count["false"] <= 0.002 * count["texts"]


def _examples(*kinds: int) -> list[tuple[str, PhoneNumber]]:
    """phonenumbers' own example of each region and kind that has one."""
    found = [(r, phonenumbers.example_number_for_type(r, k)) for r in sorted(SUPPORTED_REGIONS) for k in kinds]
    return [(region, number) for region, number in found if number is not None]


def test_every_countrys_mobile_numbers_go_in_international_form() -> None:
    examples = _examples(PhoneNumberType.MOBILE)
    assert len(examples) > 200
    for _, number in examples:
        for form in (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL):
            written = phonenumbers.format_number(number, form)
            assert redact(f"Call {written}, please", REGIONS).text == "Call [telephone], please", written


def test_every_countrys_national_numbers_of_nine_digits_go_where_it_is_a_region() -> None:
    examples = [
        (region, phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL))
        for region, number in _examples(PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
    ]
    long = [(region, written) for region, written in examples if sum(map(str.isdigit, written)) >= 9]
    assert len(long) > 250
    for region, written in long:
        assert redact(f"Call {written}, please", (region,)).text == "Call [telephone], please", (region, written)
