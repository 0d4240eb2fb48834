"""Tests of appliance.web.topics: the questions a page offers."""

from types import SimpleNamespace

import pytest

from appliance.box import open_box
from appliance.config import Home
from appliance.errors import ConfigError
from appliance.web.topics import load_topics


def test_the_evaluation_sets_questions_stand_under_their_documents_titles(demo_site):
    with open_box(Home(root=demo_site.home), recorded=False) as box:
        topics = {topic.titled("sw")[0]: topic for topic in load_topics(box)}
    assert topics["Safe water at home"].questions["en"][0] == "For how long should I boil drinking water?"
    assert all(len(asked) <= 6 for topic in topics.values() for asked in topic.questions.values())


def load(tmp_path, text):
    (tmp_path / "questions.toml").write_text(text, encoding="utf-8")
    return load_topics(SimpleNamespace(home=SimpleNamespace(root=tmp_path)))


def test_the_sites_own_come_in_their_place(tmp_path):
    (topic,) = load(tmp_path, '[[topic]]\ntitle = { sw = "Maji", en = "Water" }\nsw = ["Nichemshe maji?"]\n')
    assert topic.titled("sw") == ("Maji", "sw")
    assert topic.titled("ar") == ("Maji", "sw")
    assert topic.questions == {"sw": ("Nichemshe maji?",)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[topic]", "not readable as TOML"),
        ("[topics]\n", "Only [[topic]]"),
        ("[[topic]]\nsw = []\n", "has no title"),
        ('[[topic]]\ntitle = { en = "W" }\nen = "one"\n', "is no list"),
        ('[[topic]]\ntitle = { en = "W" }\nen = [3]\n', "at most 160 characters"),
        ('[[topic]]\ntitle = { en = "W" }\nSwahili = ["x"]\n', "the key 'Swahili'"),
    ],
)
def test_a_mistake_in_them_is_named(tmp_path, text, words):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text)
    assert words in str(refused.value)
