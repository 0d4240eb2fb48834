"""appliance.language.numbers: a changed dose is flagged, a changed script is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.language.numbers import FLAG, flags, numbers


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("Boil for 1 minute.", "Chemsha kwa dakika 1."),
        ("Give 20 mg for 10 to 14 days.", "Mpe mg 20 kwa siku 10 hadi 14."),
        ("1,000 ml", "ml 1.000"),
        ("1,234,567", "1234567"),
        ("0.5 litres", "lita 0,5"),
        ("2-8 degrees", "nyuzi 2 hadi 8"),
        ("at 12:30", "saa 12:30"),
        ("25 people", "٢٥ شخصا"),
        ("25.5 kg", "٢٥٫٥ كغ"),
        ("2024", "२०२४"),
        ("25", "፳፭"),
        ("1999", "፲፱፻፺፱"),
        ("05 drops", "matone 5"),
        ("none", "hakuna"),
    ],
)
def test_the_same_numbers_are_no_doubt(text: str, translation: str) -> None:
    assert flags(text, translation) == flags(translation, text) == ()


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("Give 20 mg.", "Mpe mg 200."),
        ("Give 1.5 ml.", "Mpe ml 15."),
        ("2 drops, then 2 more", "matone 2"),
        ("Boil for 1 minute.", "Chemsha kwa dakika."),
        ("two drops", "matone 2"),
        ("2 and 8", "2 na 9"),
        ("1,000", "1"),
    ],
)
def test_a_number_that_changed_came_or_went_is_flagged(text: str, translation: str) -> None:
    assert flags(text, translation) == flags(translation, text) == (FLAG,)


@given(st.text())
def test_any_text_agrees_with_itself(text: str) -> None:
    assert flags(text, text) == ()


@given(st.integers(1, 10**9))
def test_any_script_and_grouping_is_the_same_number(number: int) -> None:
    plain = str(number)
    arabic = "".join(chr(0x660 + int(d)) for d in plain)
    assert numbers(plain) == numbers(f"{number:,}") == numbers(arabic) == {plain: 1}


@given(st.integers(1, 9999))
def test_ethiopic_numerals_have_their_value(number: int) -> None:
    def below_100(n: int) -> str:
        tens = chr(0x1371 + n // 10) if n >= 10 else ""
        return tens + (chr(0x1368 + n % 10) if n % 10 else "")

    hundreds, rest = divmod(number, 100)
    written = (("" if hundreds == 1 else below_100(hundreds)) + "\u137b" if hundreds else "") + below_100(rest)
    assert numbers(written) == {str(number): 1}
