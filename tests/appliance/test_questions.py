"""Tests of appliance.questions: what a set may look like, and what is said where it does not."""

import json

import pytest

from appliance.errors import EvalError
from appliance.questions import read, some

BOIL = {"id": "boil", "lang": "en", "question": "How long?", "document": "water.md", "answer": "Boil it for 1 minute."}
NOTHING = {"id": "moon", "lang": "sw", "question": "Mwezi?", "answerable": False}


def a_set(tmp_path, *rows):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def test_a_question_has_answers_if_the_documents_have(tmp_path):
    boil, moon = read(a_set(tmp_path, {**BOIL, "accept": ["1 minute"], "level": "easy"}, NOTHING))
    assert boil.answerable and boil.answers == ("Boil it for 1 minute.", "1 minute")
    assert not moon.answerable and moon.answers == ()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "line 1 is no JSON"),
        ("[]", "line 1 is list"),
        ({**BOIL, "question": " "}, "line 1 question"),
        ({**BOIL, "id": 4}, "line 1 id"),
        ({**BOIL, "answerable": False}, "line 1 says answerable False"),
        ({**NOTHING, "answerable": True}, "line 1 says answerable True"),
        ({**BOIL, "accept": "1 minute"}, "line 1 accept"),
    ],
)
def test_what_is_no_question_is_named_by_its_line(tmp_path, row, said):
    with pytest.raises(EvalError, match=said):
        read(a_set(tmp_path, row))


def test_two_questions_of_one_name_and_an_empty_set_are_refused(tmp_path):
    with pytest.raises(EvalError, match="several questions boil"):
        read(a_set(tmp_path, BOIL, BOIL))
    with pytest.raises(EvalError, match="holds no question"):
        read(a_set(tmp_path))


def test_a_part_of_a_set_is_the_same_each_time_and_grows_by_the_limit(tmp_path):
    questions = read(a_set(tmp_path, *({**BOIL, "id": f"q{n}"} for n in range(20))))
    five, six = some(questions, 5), some(questions, 6)
    assert len(five) == 5 and set(five) < set(six)
    assert [q.id for q in five] == [q.id for q in questions if q in five]
    assert some(questions, None) == some(questions, 99) == questions
