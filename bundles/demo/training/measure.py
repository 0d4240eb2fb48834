"""Measures the finished model through llama.cpp, as a box runs it: chat template, greedy, one question at a time.

Needs llama-cpp-python and neither torch nor anything else from training.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .corpus import ABSTAIN, SYSTEM, Corpus, Passage, Row, answer_text
from .guides import DEMO, TRAINING, Section, load_evaluation, load_pairs, load_questions, load_sections

Ask = Callable[[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A prompt's two messages and the answer that counts as right."""

    system: str
    user: str
    wanted: str


def steps_cases() -> list[Case]:
    """The guide questions, wanted as the adapter is to answer them: this sentence and the one that follows it."""
    following = {
        (s.document, a): b for s in load_sections() for a, b in zip(s.sentences, s.sentences[1:], strict=False)
    }
    cases = []
    for question, one in zip(load_questions(), guide_cases(), strict=True):
        number = one.wanted[-2]
        lines = [question.answer, *filter(None, [following.get((question.document, question.answer))])]
        wanted = "\n".join(f"{i}. {line} [{number}]" for i, line in enumerate(lines, 1))
        cases.append(Case(system=one.system, user=one.user, wanted=wanted))
    return cases


def score_steps(ask: Ask, *, show: bool) -> str:
    """How often the form is kept, the first step right, and everything right."""
    cases = steps_cases()
    form = first = whole = 0
    for one in cases:
        got = ask(one.system, one.user).strip()
        form += got.startswith("1. ")
        first += got.split("\n")[0] == one.wanted.split("\n")[0]
        whole += got == one.wanted
        if show and got != one.wanted:
            print(f"  wanted {one.wanted!r}\n  got    {got!r}")
    return f"begins with '1. ' {form}/{len(cases)}, first step right {first}, all right {whole}"


def load_backends(folder: Path) -> None:
    """A llama.cpp built with loadable backends has none until they are loaded; one built in a piece needs nothing."""
    try:
        ggml = ctypes.CDLL("libggml.so.0")
    except OSError:
        return
    ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
    ggml.ggml_backend_load_all_from_path(str(folder).encode())


def open_model(path: Path, adapter: Path | None = None) -> Ask:
    """A function from (system, user) to the greedy answer. An empty system message is left out."""
    import llama_cpp

    load_backends(Path(llama_cpp.__file__).parent / "lib")
    model = llama_cpp.Llama(
        model_path=str(path), n_ctx=1024, n_threads=2, n_threads_batch=2, verbose=bool(os.environ.get("VERBOSE")),
        lora_path=str(adapter) if adapter else None,
    )  # fmt: skip

    def ask(system: str, user: str) -> str:
        messages = [{"role": "system", "content": system}] if system else []
        made = model.create_chat_completion(
            [*messages, {"role": "user", "content": user}], temperature=0.0, max_tokens=96
        )
        return str(made["choices"][0]["message"]["content"])

    return ask


def user_text(passages: Iterable[Passage], question: str, *, newline: bool = False) -> str:
    """The user message of the contract."""
    prefix = Row(list(passages), [], newline=newline).prefix().split("<|im_start|>user\n")[1]
    return f"{prefix}Question: {question}"


def passage(section: Section) -> Passage:
    return Passage(section.title, section.heading, list(section.sentences))


def case(shown: list[Section], question: str, answer: str | None) -> Case:
    """A case about whole sections, in the order shown."""
    wanted = ABSTAIN
    if answer:
        number = next(i for i, s in enumerate(shown, 1) if answer in s.sentences)
        wanted = answer_text((answer, number))
    return Case(system=SYSTEM, user=user_text([passage(s) for s in shown], question), wanted=wanted)


def context(sections: list[Section], rng: random.Random, gold: Section | None, count: int) -> list[Section]:
    """`count` sections in random order, with `gold` among them if given, others half from the same guide."""
    chosen = [gold] if gold else []
    near = [s for s in sections if gold and s.document == gold.document and s is not gold]
    while len(chosen) < count:
        pool = [s for s in (near if near and rng.random() < 0.5 else sections) if s not in chosen] or sections
        chosen.append(rng.choice(pool))
    rng.shuffle(chosen)
    return chosen


def evaluation_cases(count: int = 3, seed: int = 1) -> list[Case]:
    """The shipped questions. Swahili ones are put in the English of the parallel file."""
    rng, sections, cases = random.Random(seed), load_sections(), []
    english = {pair.sw: pair.en for pair in load_pairs() if pair.kind == "evaluation"}
    for row in load_evaluation():
        text = str(row["question"])
        text = english.get(text, text) if row["lang"] == "sw" else text
        gold = next((s for s in sections if s.document == row["document"] and row["answer"] in s.sentences), None)
        cases.append(case(context(sections, rng, gold, count), text, str(row["answer"]) or None))
    return cases


def guide_cases(count: int = 3, seed: int = 2, *, numbers: bool = False) -> list[Case]:
    """Every training question about the guides; with `numbers`, every number in the passages is another one."""
    rng, sections, cases = random.Random(seed), load_sections(), []
    for question in load_questions():
        gold = next(s for s in sections if s.document == question.document and question.answer in s.sentences)
        made = case(context(sections, rng, gold, count), question.text, question.answer)
        if numbers:
            head, _, asked = made.user.rpartition("Question: ")
            swaps = {n: str(rng.randint(2, 999)) for n in re.findall(r"(?<!\[)\b\d+\b", head + asked)}

            def swap(text: str, swaps: dict[str, str] = swaps) -> str:
                return re.sub(r"(?<!\[)\b\d+\b", lambda m: swaps.get(m.group(), m.group()), text)

            made = Case(system=made.system, user=swap(made.user), wanted=swap(made.wanted))
        cases.append(made)
    return cases


def foreign_cases(count: int = 3, seed: int = 3) -> list[Case]:
    """Guide questions over passages of other guides: the right answer is to abstain."""
    rng, sections = random.Random(seed), load_sections()
    cases = []
    for question in load_questions()[::2]:
        pool = [s for s in sections if s.document != question.document]
        cases.append(case(rng.sample(pool, count), question.text, None))
    return cases


def heldout_cases(count: int = 3, seed: int = 4) -> list[Case]:
    """A seventh guide, never trained on: what the model does with a document that a user brings."""
    rng, folder = random.Random(seed), TRAINING / "heldout"
    sections, cases = load_sections(folder), []
    for question in load_questions(folder / "questions.tsv"):
        gold = next(s for s in sections if question.answer in s.sentences)
        cases.append(case(context(sections, rng, gold, count), question.text, question.answer))
    return cases


def made_up_cases(seed: int = 5, rows: int = 40) -> list[Case]:
    """Fresh made-up rows, from a seed that training never used, one question each."""
    corpus, cases = Corpus(900_000 + seed), []
    for number in range(rows):
        row = corpus.made_up(1 + number % 3, 3)
        corpus.rng.shuffle(row.asked)
        for question, answer in row.asked[:2]:
            cases.append(Case(system=SYSTEM, user=user_text(row.passages, question), wanted=answer_text(answer)))
    return cases


def score(ask: Ask, cases: list[Case], *, show: bool) -> str:
    """How many are right to the last character, answered and abstained apart; and right but for the number."""
    tally = {True: [0, 0], False: [0, 0]}
    sentence = 0
    for one in cases:
        got = ask(one.system, one.user).strip()
        kind = one.wanted == ABSTAIN
        tally[kind][0] += got == one.wanted
        tally[kind][1] += 1
        sentence += not kind and got.rpartition(" [")[0] == one.wanted.rpartition(" [")[0]
        if show and got != one.wanted:
            print(f"  asked  {one.user.rsplit('Question: ')[-1]}\n  wanted {one.wanted}\n  got    {got}")
    answered, abstained = tally[False], tally[True]
    return (
        f"answered {answered[0]}/{answered[1]} (sentence alone right {sentence}), "
        f"abstained {abstained[0]}/{abstained[1]}"
    )


SETS: dict[str, Callable[[], list[Case]]] = {
    "evaluation questions, 3 passages": evaluation_cases,
    "evaluation questions, 1 passage": lambda: evaluation_cases(1),
    "guide questions, 3 passages": guide_cases,
    "guide questions, numbers changed": lambda: guide_cases(numbers=True),
    "guide questions, passages of other guides": foreign_cases,
    "a guide never trained on, 3 passages": heldout_cases,
    "a guide never trained on, 1 passage": lambda: heldout_cases(1),
    "made-up text from an unused seed": made_up_cases,
}


def agreement(ask: Ask, path: Path) -> str:
    """How many of the greedy answers that `export` took from PyTorch are the same through llama.cpp."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    same = sum(ask(row["system"], row["user"]) == row["answer"] for row in kept)
    return f"{same}/{len(kept)}"


def main() -> None:
    """The command line: see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEMO / "model" / "fieldpost-demo.gguf")
    parser.add_argument("--steps", type=Path, help="an adapter: measure it instead of the model alone")
    parser.add_argument("--agree", type=Path, help="answers.json from export: compare PyTorch and llama.cpp")
    parser.add_argument("--show", action="store_true", help="print what went wrong")
    parser.add_argument("--only", default="", help="only sets whose name contains this")
    given = parser.parse_args()
    ask = open_model(given.model, given.steps)
    if given.steps:
        print(f"numbered steps, guide questions, 3 passages: {score_steps(ask, show=given.show)}")
        return
    for name, cases in SETS.items():
        if given.only in name:
            print(f"{name}: {score(ask, cases(), show=given.show)}", flush=True)
    print(f"a message alone: {ask('', 'Hello.')!r}")
    if given.agree:
        print(f"the same answer from PyTorch and llama.cpp: {agreement(ask, given.agree)}")


if __name__ == "__main__":
    main()
