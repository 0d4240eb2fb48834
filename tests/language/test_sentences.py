"""appliance.language.sentences: lossless whatever comes, and the borders people would draw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.language.sentences import split

PIECES = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from(
            [". ", ".", "? ", "!\n", "।", "۔ ", "。", "Dr. ", "3.5", "[1]", '." ', "\n\n", " ", "e.g. ", "J. "]
        ),
    ),
    max_size=30,
).map("".join)


@given(PIECES)
def test_joined_the_sentences_are_the_text(text: str) -> None:
    pieces = split(text)
    assert "".join(pieces) == text
    assert all(pieces)


@given(PIECES, st.integers(1, 40))
def test_with_a_limit_too_and_none_is_longer(text: str, limit: int) -> None:
    pieces = split(text, limit=limit)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= limit for piece in pieces)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Boil it. Cool it.", ["Boil it. ", "Cool it."]),
        ("Is it safe? No! Boil it.", ["Is it safe? ", "No! ", "Boil it."]),
        ("Is it safe? No. Boil it.", ["Is it safe? ", "No. ", "Boil it."]),
        ("Use 3.5 ml of 0.9 % salt.", ["Use 3.5 ml of 0.9 % salt."]),
        ("Dr. Otieno and J. Mwangi came.", ["Dr. Otieno and J. Mwangi came."]),
        ("See fig. 3 and no. 5. Then stop.", ["See fig. 3 and no. 5. ", "Then stop."]),
        ("Wait approx. two hours, e.g. at night.", ["Wait approx. two hours, e.g. at night."]),
        ("Wait 10. Then go.", ["Wait 10. ", "Then go."]),
        ('He said "Go." Then left.', ['He said "Go." ', "Then left."]),
        ("What?! Really... Yes.", ["What?! ", "Really... ", "Yes."]),
        ("One\nTwo\n\nThree", ["One\n", "Two\n\n", "Three"]),
        ("www.who.int is it.", ["www.who.int is it."]),
        ("Chemsha maji, k.m. kwa dakika moja. Subiri.", ["Chemsha maji, k.m. kwa dakika moja. ", "Subiri."]),
        ("Nyaraka hizi hazisemi. Dkt. Asha anajua.", ["Nyaraka hizi hazisemi. ", "Dkt. Asha anajua."]),
        ("ماء نظيف؟ نعم. اغليه", ["ماء نظيف؟ ", "نعم. ", "اغليه"]),
        ("پانی ابالیں۔ ٹھنڈا کریں۔", ["پانی ابالیں۔ ", "ٹھنڈا کریں۔"]),
        ("पानी उबालें। ठंडा करें।", ["पानी उबालें। ", "ठंडा करें।"]),
        ("ውሃ አፍላ። አቀዝቅዝ።", ["ውሃ አፍላ። ", "አቀዝቅዝ።"]),
        ("水を沸かす。冷ます!本当?", ["水を沸かす。", "冷ます!本当?"]),
        ("水を沸かす。冷ます！本当？", ["水を沸かす。", "冷ます！", "本当？"]),
        ("", []),
        (" ", [" "]),
    ],
)
def test_borders(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences


def test_an_answer_that_grows_keeps_its_finished_sentences() -> None:
    """The pipeline translates all but the last while the model still writes: they must not change afterwards."""
    answer = "Boil the water for 1.5 minutes [1]. Let it cool [2]. Dr. Asha, e.g., uses 3 pots. Done!"
    for end in range(len(answer)):
        done = split(answer[:end])[:-1]
        assert split(answer)[: len(done)] == done


def test_a_long_sentence_is_cut_after_a_comma_else_between_words() -> None:
    assert split("one two, three four five", limit=14) == ["one two, ", "three four ", "five"]
    assert split("x" * 25, limit=10) == ["x" * 10, "x" * 10, "x" * 5]
