"""Tests of appliance.pipeline: the order of the steps, and what a missing part costs. Rooms are scripted doubles."""

from dataclasses import replace

import pytest

from appliance.config import AnswerConfig, Config
from appliance.engine.absent import NoModel
from appliance.errors import EngineError
from appliance.exchange import Question, Usage
from appliance.pipeline import Finished, Found, Pipeline, Said, Understood
from tests.support.scripted import ListLog, ScriptedEngine, ScriptedFinder, ScriptedTranslator, passage

BOIL = passage("Boil the water for 1 minute. Let it cool.")
KNOWN = {
    ("sw", "en", "Nichemshe maji kwa muda gani?"): "How long do I boil water?",
    ("en", "sw", "Boil the water for 1 minute."): "Chemsha maji kwa dakika 1.",
    ("en", "sw", "Let it cool."): "Yaache yapoe.",
}


def pipeline(engine, *, finder=None, log=None, known=KNOWN):
    return Pipeline(
        engine=engine,
        finder=finder or ScriptedFinder([BOIL]),
        translator=ScriptedTranslator(known),
        log=log or ListLog(),
        config=Config(),
        working_lang="en",
        documents=lambda: True,
    )


def finished(events):
    return next(e.exchange for e in events if isinstance(e, Finished))


def test_a_swahili_question_is_searched_and_asked_in_english_and_answered_in_swahili():
    engine = ScriptedEngine(["Boil the water", " for 1 minute. [1]", " Let it cool. [1]"])
    finder = ScriptedFinder([BOIL])
    question = Question(text="Nichemshe maji kwa muda gani?", lang="sw", asker="a phone")
    events = list(pipeline(engine, finder=finder).ask(question))
    assert [type(e) for e in events[:2]] == [Understood, Found]
    assert finder.asked == ["How long do I boil water?"]
    assert finder.spoken == ["Nichemshe maji kwa muda gani?"]
    assert (engine.requests[0].user, engine.requests[0].goes_on) == ("a phone", False)
    assert "Question: How long do I boil water?" in engine.requests[0].messages[1].content
    exchange = finished(events)
    assert exchange.answer == "Chemsha maji kwa dakika 1. [1] Yaache yapoe. [1]"
    assert exchange.answer_working == "Boil the water for 1 minute. [1] Let it cool. [1]"
    assert exchange.cited == (1,)
    assert exchange.flags == ()


def test_the_answer_streams_by_sentence_in_the_askers_language():
    engine = ScriptedEngine(["Boil the water for 1 minute. [1] ", "Let", " it cool. [1]"])
    said = [
        e for e in pipeline(engine).ask(Question(text="Nichemshe maji kwa muda gani?", lang="sw")) if type(e) is Said
    ]
    assert said[1].answer == "Chemsha maji kwa dakika 1. [1] "
    assert said[1].answer_working == "Boil the water for 1 minute. [1] Let"


def test_in_the_documents_language_half_a_sentence_is_shown_and_its_source_when_it_is_known():
    engine = ScriptedEngine(["Boil the", " water", " for 1 minute.", " [", "2", "]"])
    events = pipeline(engine).ask(Question(text="How long?", lang="en"))
    said = [event.answer for event in events if isinstance(event, Said)]
    assert said[:2] == ["Boil the", "Boil the water"]
    assert not any("[2]" in answer for answer in said)


def test_the_same_language_is_never_translated():
    p = pipeline(ScriptedEngine(["Boil the water for 1 minute. [1]"]))
    assert finished(p.ask(Question(text="How long?", lang="en"))).answer == "Boil the water for 1 minute. [1]"
    assert p.translator.asked == []


def test_an_abstention_is_a_fixed_sentence_in_every_language_and_needs_no_source():
    p = pipeline(ScriptedEngine(["These documents don't tell."]))
    exchange = finished(p.ask(Question(text="Nichemshe maji kwa muda gani?", lang="sw")))
    assert exchange.abstained
    assert exchange.answer == "Nyaraka hizi hazina jibu la swali hili."
    assert exchange.flags == ()


def test_a_missing_language_pack_is_flagged_and_does_not_cost_the_answer():
    p = pipeline(ScriptedEngine(["Boil the water for 1 minute. [1]"]), known={})
    exchange = finished(p.ask(Question(text="Nichemshe maji?", lang="sw")))
    assert exchange.answer == "Boil the water for 1 minute. [1]"
    assert exchange.flags == ("not-translated",)


def test_a_number_that_its_source_does_not_hold_is_flagged():
    engine = ScriptedEngine(["Boil the water for 15 minutes. [1]"])
    exchange = finished(pipeline(engine).ask(Question(text="How long?", lang="en")))
    assert exchange.flags == ("number-without-source", "unsupported")


def test_a_number_that_changes_in_translation_shows_the_original_sentence():
    class Careless(ScriptedTranslator):
        def translate(self, text, source, target):
            return replace(super().translate(text, source, target), flags=("numbers-differ",))

    p = pipeline(ScriptedEngine(["Boil the water for 1 minute. [1] ", "Let it cool. [1]"]))
    p = replace(p, translator=Careless(KNOWN))
    exchange = finished(p.ask(Question(text="Nichemshe maji kwa muda gani?", lang="sw")))
    assert exchange.answer == "Boil the water for 1 minute. [1] Let it cool. [1]"
    assert exchange.flags == ("numbers-differ",)


def test_an_answer_without_a_source_is_flagged():
    exchange = finished(pipeline(ScriptedEngine(["Use bleach."])).ask(Question(text="How long?", lang="en")))
    assert exchange.flags == ("no-source", "unsupported")


def test_a_log_that_cannot_be_written_is_flagged_and_does_not_cost_the_answer():
    p = pipeline(ScriptedEngine(["Boil it. [1]"]), log=ListLog(full=True))
    exchange = finished(p.ask(Question(text="How long?", lang="en")))
    assert exchange.answer == "Boil it. [1]"
    assert exchange.flags == ("not-recorded",)


def test_the_record_is_redacted_in_every_text():
    log = ListLog()
    said = "Call +254 712 345 678 or amina@example.org. [1]"
    list(
        pipeline(ScriptedEngine([said]), log=log).ask(Question(text="I am amina@example.org, 0712 345 678", lang="en"))
    )
    ((stream, body),) = log.records
    assert stream == "chat"
    for name in ("question", "question_working", "answer", "answer_working"):
        assert "amina@example.org" not in body[name]
        assert "345" not in body[name]
    assert body["found"] == {"e-mail": 1, "telephone": 1}


@pytest.mark.parametrize("text", ["Ninywe ml ٥٠٠?", "Ninywe ml ५००?", "Ninywe ml ፭፻?"])
def test_digits_of_any_script_are_understood(text):
    finder = ScriptedFinder([passage("Drink 500 ml.")])
    box = pipeline(ScriptedEngine(["Drink 500 ml. [1]"]), finder=finder)
    finished(box.ask(Question(text=text, lang="en")))
    assert finder.asked == ["Ninywe ml 500?"]
    assert "Ninywe ml 500?" in box.engine.requests[0].messages[-1].content


def test_a_failure_is_recorded_without_the_question():
    class Broken(ScriptedEngine):
        def generate(self, request):
            raise EngineError("The model died.")

    log = ListLog()
    p = replace(pipeline(Broken([]), log=log), config=Config(answer=AnswerConfig(mode="model")))
    with pytest.raises(EngineError):
        list(p.ask(Question(text="secret question", lang="en")))
    ((stream, body),) = log.records
    assert (stream, body["event"], body["error"]) == ("metric", "failed", "EngineError")
    assert "secret" not in str(body)


def test_closing_the_events_cancels_the_generation():
    engine = ScriptedEngine(["Boil", " it."])
    events = pipeline(engine).ask(Question(text="How long?", lang="en"))
    while not isinstance(next(events), Said):
        pass
    events.close()
    assert engine.closed.is_set()


def test_a_stopped_question_leaves_a_mark_without_its_words():
    log = ListLog()
    cancelled = Usage(prompt_tokens=0, generated_tokens=0, first_token_s=0, total_s=0, finish="cancelled")
    events = list(pipeline(ScriptedEngine(["Boil"], ending=cancelled), log=log).ask(Question(text="secret", lang="en")))
    assert not [event for event in events if isinstance(event, Finished)]
    ((stream, body),) = log.records
    assert (stream, body["event"]) == ("metric", "stopped")
    assert "secret" not in str(body)


def test_every_step_is_timed():
    exchange = finished(pipeline(ScriptedEngine(["Boil it. [1]"])).ask(Question(text="How long?", lang="en")))
    assert [step.name for step in exchange.steps] == ["understand", "find", "prompt", "answer", "record"]


def test_what_no_document_mentions_is_never_answered_from_memory():
    engine = ScriptedEngine(["From memory."])
    exchange = finished(pipeline(engine, finder=ScriptedFinder([])).ask(Question(text="Who won?", lang="en")))
    assert exchange.abstained
    assert engine.requests == []


def test_each_sentence_of_an_answer_knows_its_place_and_whether_the_documents_say_it():
    said = "Boil water for 1 minute. [1] Drink it hot. [1]"
    exchange = finished(pipeline(ScriptedEngine([said])).ask(Question(text="How long?", lang="en")))
    boil, drink = exchange.claims
    assert (boil.supported, drink.supported) == (True, False)
    text = BOIL.text
    assert text[boil.start - BOIL.start : boil.end - BOIL.start] == "Boil the water for 1 minute."
    assert "".join(claim.text for claim in exchange.claims).strip() == exchange.answer
    assert exchange.flags == ("unsupported",)


def test_a_sentence_without_a_mark_or_with_a_wrong_one_gets_the_mark_of_the_passage_that_says_it():
    finder = ScriptedFinder([passage("Wash your hands."), BOIL])
    engine = ScriptedEngine(["Boil water for 1 minute. [1] ", "Let the water cool."])
    exchange = finished(pipeline(engine, finder=finder).ask(Question(text="How long?", lang="en")))
    assert exchange.answer == "Boil water for 1 minute. [2] Let the water cool. [2]"
    assert exchange.flags == ()


def test_a_model_that_fails_leaves_the_documents_to_answer_alone():
    class Broken(ScriptedEngine):
        def generate(self, request):
            raise EngineError("The model died.")

    log = ListLog()
    question = Question(text="Nichemshe maji kwa muda gani?", lang="sw")
    exchange = finished(pipeline(Broken([]), log=log).ask(question))
    assert exchange.answer == "Chemsha maji kwa dakika 1. [1]"
    assert (exchange.flags, exchange.model, exchange.cited) == (("extractive",), "none", (1,))
    assert [body.get("event") for _, body in log.records][:2] == ["without-model", None]


def test_a_model_that_fails_amid_an_answer_is_an_error():
    class Dying(ScriptedEngine):
        def generate(self, request):
            yield "Boil"
            raise EngineError("The model died.")

    with pytest.raises(EngineError):
        list(pipeline(Dying([])).ask(Question(text="How long?", lang="en")))


def test_a_site_may_have_its_documents_quoted_and_no_model_asked():
    p = replace(pipeline(NoModel("its settings say so.")), extractive=True)
    events = list(p.ask(Question(text="How long must the water boil?", lang="en")))
    assert [type(e) for e in events[:3]] == [Understood, Found, Said]
    exchange = finished(events)
    assert exchange.answer == "Boil the water for 1 minute. [1]"
    assert exchange.claims[0].supported and exchange.flags == ("extractive",)


def test_a_row_of_a_table_is_quoted_apart_from_the_next_sentence():
    finder = ScriptedFinder([passage("| From a well | 30 metres |"), passage("Make the pit 3 metres deep.")])
    p = replace(pipeline(NoModel("its settings say so."), finder=finder), extractive=True)
    exchange = finished(p.ask(Question(text="How many metres from the well is the pit?", lang="en")))
    assert exchange.answer == "| From a well | 30 metres | [1]\nMake the pit 3 metres deep. [2]"
    assert [claim.supported for claim in exchange.claims] == [True, True]


def test_quoting_nothing_near_the_question_is_abstaining():
    p = replace(pipeline(NoModel("its settings say so.")), extractive=True)
    assert finished(p.ask(Question(text="Who won yesterday?", lang="en"))).abstained


def test_the_box_tells_the_language_where_the_asker_leaves_it_to_the_box():
    p = replace(pipeline(ScriptedEngine(["Let it cool. [1]"])), languages=("en", "sw"))
    events = list(p.ask(Question(text="Nichemshe maji kwa muda gani?", lang="auto")))
    assert events[0].lang == finished(events).lang == "sw"
    assert finished(events).answer == "Yaache yapoe. [1]"
    assert finished(events).flags == ("language-guessed",)


def test_another_language_than_the_chosen_one_is_understood_and_offered_and_not_forced():
    p = replace(pipeline(ScriptedEngine(["Let it cool. [1]"])), languages=("en", "sw"))
    exchange = finished(p.ask(Question(text="Nichemshe maji kwa muda gani?", lang="en")))
    assert exchange.question_working == "How long do I boil water?"
    assert (exchange.lang, exchange.answer, exchange.looks_like) == ("en", "Let it cool. [1]", "sw")
    assert exchange.flags == ("other-language",)
