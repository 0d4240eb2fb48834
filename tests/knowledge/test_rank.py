"""How well a passage fits: each part of the score, and that scores can be compared."""

from appliance.knowledge.rank import Asked, Candidate, Corpus, score

CORPUS = Corpus(passages=100, mean_terms=6)
FREQUENCY = {"boil": 10, "water": 60, "zinc": 2, "child": 30, "dose": 12}


def passage(text: str, title: str = "", heading: str = "") -> Candidate:
    return Candidate(
        terms=[*title.split(), *heading.split(), *text.split()], title=title.split(), heading=heading.split()
    )


def fit(question: str, candidate: Candidate) -> float:
    return score(Asked(question.split(), CORPUS, FREQUENCY), candidate)


def test_a_rare_word_tells_more_than_a_common_one() -> None:
    assert fit("zinc water", passage("zinc is here")) > fit("zinc water", passage("water is here"))


def test_words_that_stand_together_fit_better() -> None:
    apart = "zinc " + "x " * 40 + "dose"
    assert fit("zinc dose", passage("zinc dose " + "x " * 40)) > fit("zinc dose", passage(apart))
    assert fit("zinc dose", passage("the zinc dose for")) > fit("zinc dose", passage("dose for the zinc"))


def test_the_passage_that_is_called_so_fits_best() -> None:
    text = "x y z zinc dose a b"
    named = fit("zinc dose", passage(text, heading="zinc dose"))
    assert named > fit("zinc dose", passage(text, heading="zinc dose child water boil"))
    assert fit("zinc dose", passage(text, title="zinc dose")) > fit("zinc dose", passage(f"zinc dose {text}"))


def test_a_word_with_another_ending_is_met_by_its_pieces() -> None:
    assert fit("maji", passage("majini salama")) > fit("maji", passage("chakula salama")) == 0


def test_nothing_shared_or_asked_is_nothing() -> None:
    assert fit("dose", passage("qqq rrr")) == 0
    assert fit("", passage("zinc")) == 0


def test_scores_lie_between_nothing_and_one_whatever_the_question() -> None:
    for question in ("zinc", "zinc dose child", "water water water", "boil unknown"):
        assert 0 < fit(question, passage(question, title=question, heading=question)) <= 1
