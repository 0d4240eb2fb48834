"""What goes and stays besides telephone numbers and addresses: numbers of documents, places on a map, listed names."""

import pytest

from appliance.safety.redact import redact
from appliance.safety.whereabouts import Names

REGIONS = ("KE", "TZ", "UG")
NAMES = Names(places=("Kibera", "كيبيرا"), groups=("Ogiek",), persons=("Amina Odhiambo", "place"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("card 4539 1488 0343 6467 12/27", "card [id] 12/27"),
        ("IBAN GB29 NWBK 6016 1331 9268 19 please", "IBAN [id] please"),
        ("بطاقتي ٤٥٣٩١٤٨٨٠٣٤٣٦٤٦٧", "بطاقتي [id]"),
        ("KRA PIN A002345678C", "KRA PIN [id]"),
        ("Passport XG9382049 was lost", "Passport [id] was lost"),
        ("patient ID AHC-0933289", "patient ID [id]"),
        ("namba ya kitambulisho: 23456789", "namba ya kitambulisho: [id]"),
        ("رقم الهوية 1023456789", "رقم الهوية [id]"),
        ("We are at -1.283333, 36.816667 now", "We are at [coordinates] now"),
        ("1.2833° S, 36.8167° E", "[coordinates]"),
        ("1°17'03\"S 36°49'00\"E", "[coordinates] [coordinates]"),
        ("meet at 6GCRPR6C+24", "meet at [coordinates]"),
        ("call me at 449 4898", "call me at [telephone]"),
        ("I live in kibera.", "I live in [place]."),
        ("أسكن في كيبيرا وكيبيرا", "أسكن في [place] [place]"),
        ("The Ogiek's land", "The [group] land"),
        ("Amina  Odhiambo has fever", "[person] has fever"),
        ("Dr. Wanjiru Kamau said so", "Dr. [person] said so"),
        ("My name is Juma and I cough", "My name is [person] and I cough"),
        ("jina langu ni Juma Otieno", "jina langu ni [person]"),
        ("मेरा नाम अमीना है", "मेरा नाम [person] है"),
    ],
)
def test_what_tells_who_somebody_is_goes(text, wanted):
    assert redact(text, REGIONS, NAMES).text == wanted


@pytest.mark.parametrize(
    "text",
    [
        "Give 4 drops, 2 ml every 4 h for 10 days",
        "ID card, passport and 3 photos are needed",
        "The passport costs 4500 shillings",
        "1/4 teaspoon, 0.125, 0.250 and 37.5 to 38.5",
        "BMI 18.5 to 24.9; pH 7.35-7.45",
        "2345+23 is a sum",
        "Heat to 100°C or 212 °F",
        "Kiberashi is another town",
        "call 10 000 people before 2026-11-24",
        "the place [place] stays",
        "In case 2024-05-01 is a holiday",
        "550e8400-e29b-41d4-a716-446655440000",
    ],
)
def test_measures_dates_and_ordinary_words_stay(text):
    names = Names(places=("Kibera",), groups=("Ogiek",), persons=("place",) if "[place]" not in text else ())
    assert redact(text, REGIONS, names).text == text


def test_a_name_that_is_a_kinds_own_word_ends_too():
    assert redact("this place", REGIONS, Names(persons=("place", "person"))).text == "this [person]"


def test_a_countrys_own_numbers_are_known_where_it_is_a_region():
    assert redact("dni 12345678Z", ("ES",)).found == {"id": 1}
    assert redact("dni 12345678A", ("ES",)).found == {}
    assert redact("dni 12345678Z", REGIONS).found == {}


def test_found_counts_by_kind():
    redacted = redact("Amina Odhiambo, 0712 345 678, 0722 345 678, a@b.co, Kibera", REGIONS, NAMES)
    assert redacted.found == {"e-mail": 1, "telephone": 2, "place": 1, "person": 1}
