"""What goes and stays of hard cases, and what holds for any text around a telephone number or an address."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.safety.redact import redact

REGIONS = ("KE", "TZ", "UG")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("(020) 222 2222", "[telephone]"),
        ("Piga simu ٠٧١٢٣٤٥٦٧٨ leo", "Piga simu [telephone] leo"),
        ("0712\u200b345678", "[telephone]"),
        ("Phone: 678-777-1600", "Phone: [telephone]"),
        ("call 0 7 1 2 3 4 5 6 7 8", "call [telephone]"),
        ("<o'neil+x@mail.example.co.ke>", "<[e-mail]>"),
        ("अमीना@उदाहरण.भारत", "[e-mail]"),
        ("amina [at] example [dot] com", "[e-mail]"),
    ],
)
def test_hard_ones_go(text: str, wanted: str) -> None:
    assert redact(text, REGIONS).text == wanted


@pytest.mark.parametrize(
    "text",
    [
        "Give 15 mg/kg; 1000-2000 mg; 10 000 000 IU; 1,200,000-2,400,000 units",
        "2026-11-24, 24/11/2026, 24.11.2026 14:30, 2026-11-24T10:30:45Z",
        "KES 1,500,000; 1.500.000.000; 1 000 000 000",
        "192.168.100.200 and 255.255.255.255",
        "550e8400-e29b-41d4-a716-446655440000",
        "0.123456789, 3.14159265358979, -1.283333",
    ],
)
def test_measurements_dates_prices_and_addresses_of_machines_stay(text: str) -> None:
    assert redact(text, REGIONS).text == text


NUMBERS = st.builds(
    lambda shape, n, script: shape.format(n, a=n[:2], b=n[2:5], c=n[5:]).translate(str.maketrans("0123456789", script)),
    st.sampled_from(
        ["07{}", "+2547{}", "+254 7{}", "002547{}", "07{a}-{b}-{c}", "07{a} {b} {c}", "+254 (0)7{a}.{b}.{c}"]
    ),
    st.integers(min_value=10_000_000, max_value=99_999_999).map(str),
    st.sampled_from(["0123456789", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "๐๑๒๓๔๕๖๗๘๙", "０１２３４５６７８９"]),
)
WORDS = st.text(st.characters(categories=("L", "M", "Zs", "Po")), max_size=60)
ADDRESSES = st.from_regex(
    r"[a-z0-9]([a-z0-9.+_-]{0,10}[a-z0-9])?@[a-z][a-z0-9]{1,10}\.(com|org|co\.ke)", fullmatch=True
)


@settings(max_examples=200, deadline=None)
@given(WORDS, NUMBERS, WORDS)
def test_a_telephone_number_in_any_sentence_never_survives(before: str, number: str, after: str) -> None:
    assert not any(character.isdecimal() for character in redact(f"{before} {number} {after}", REGIONS).text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), ADDRESSES, st.text(max_size=60))
def test_a_mail_address_in_any_text_never_survives(before: str, address: str, after: str) -> None:
    assert address not in redact(f"{before} {address} {after}", REGIONS).text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100) | st.text("0123456789 +-()./@ax\n", max_size=80))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text, REGIONS)
    again = redact(once.text, REGIONS)
    assert (again.text, again.found) == (once.text, {})
