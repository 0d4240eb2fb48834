"""The demo bundle's parts are whole and agree with each other: documents, questions, translations, model files."""

from __future__ import annotations

import csv
import json
import random
import re
import struct
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from appliance.prompt import ABSTENTION
from appliance.prompt import SYSTEM as PROMPT
from bundles.demo.training.cases import context, foreign, guides, shuffled_away, unseen
from bundles.demo.training.corpus import ABSTAIN, SYSTEM, Corpus, Row, Size
from bundles.demo.training.guides import load_pairs, load_questions, load_sections, read_sections
from bundles.demo.training.words import HELD_OUT, TRAIN, held_out

DEMO = Path(__file__).resolve().parents[2] / "bundles" / "demo"
GUIDES = sorted((DEMO / "docs").glob("*.md"))
MODEL = DEMO / "model" / "fieldpost-demo.gguf"
ADAPTER = DEMO / "adapter" / "steps.gguf"
FIFTEEN_MEGABYTES = 15 * 1000 * 1000
# Reads a model's metadata without its weights, in a process of its own: the engine's worker alone may hold llama.cpp.
READ_METADATA = """
import ctypes, json, pathlib, sys
import llama_cpp
folder = pathlib.Path(llama_cpp.__file__).parent / "lib"
ggml = ctypes.CDLL("libggml.so.0")
ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
ggml.ggml_backend_load_all_from_path(str(folder).encode())
model = llama_cpp.Llama(model_path=sys.argv[1], vocab_only=True, verbose=False)
text = "Boil 2050 drops of maji\\n".encode()
pieces = [model.detokenize([t]).decode() for t in model.tokenize(text, add_bos=False)]
end = model.detokenize([model.token_eos()], special=True).decode()
print(json.dumps({"metadata": model.metadata, "end": end, "pieces": pieces}))
"""


def recipe() -> dict[str, list[dict[str, object]]]:
    return tomllib.loads((DEMO / "recipe.toml").read_text(encoding="utf-8"))


def evaluation() -> list[dict[str, object]]:
    lines = (DEMO / "evalset" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def gguf_counts(path: Path) -> tuple[bytes, int, int, int]:
    """(magic, version, tensors, metadata entries) from a GGUF file's first 24 bytes."""
    return struct.unpack("<4sIQQ", path.read_bytes()[:24])


def test_there_are_twelve_guides() -> None:
    assert len(GUIDES) == 12


@pytest.mark.parametrize("path", GUIDES, ids=lambda p: p.stem)
def test_a_guide_has_what_a_guide_needs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert re.search(r"^\| --- \|", text, re.MULTILINE), "no table"
    sources = text.partition("\n## Sources\n")[2]
    assert len(re.findall(r"^- \w", sources, re.MULTILINE)) >= 2
    assert "http" not in text
    sections = read_sections(path)
    assert len(sections) >= 5
    for section in sections:
        assert 2 <= len(section.sentences) <= 4, section.heading
        assert all(len(s) <= 110 and s.endswith(".") for s in section.sentences), section.heading
        assert len(" ".join(section.sentences)) <= 600
    numbered = [s for section in sections for s in section.sentences if re.search(r"\d", s)]
    assert len(numbered) >= 5


def test_every_question_about_the_guides_is_answered_word_for_word() -> None:
    sentences = {(s.document, t) for s in load_sections() for t in s.sentences}
    questions = load_questions()
    assert len(questions) >= 120
    assert [q for q in questions if (q.document, q.answer) not in sentences] == []


def test_every_guide_sentence_is_in_the_parallel_file() -> None:
    english = {p.en for p in load_pairs()}
    assert [t for s in load_sections() for t in s.sentences if t not in english] == []


def test_parallel_lines_keep_the_numbers_on_both_sides() -> None:
    pairs = load_pairs()
    assert len(pairs) >= 300
    wrong = [p for p in pairs if sorted(re.findall(r"\d+", p.en)) != sorted(re.findall(r"\d+", p.sw))]
    assert wrong == []
    assert all(p.en.strip() == p.en and p.sw.strip() == p.sw and p.en and p.sw for p in pairs)


def test_the_swahili_guides_say_what_the_english_ones_say() -> None:
    swahili = {p.en: p.sw for p in load_pairs()}
    found = sorted((DEMO / "docs-sw").glob("*.md"))
    assert len(found) == 2
    for path in found:
        english = read_sections(DEMO / "docs" / path.name)
        translated = [s for s in read_sections(path) if s.heading not in ("Kwa ufupi", "Vyanzo")]
        assert [[swahili[t] for t in s.sentences] for s in english] == [list(s.sentences) for s in translated]


def test_the_evaluation_set_is_well_formed() -> None:
    rows = evaluation()
    assert len(rows) == 60
    assert len({row["id"] for row in rows}) == 60
    assert [row["lang"] for row in rows].count("sw") >= 15
    assert {row["lang"] for row in rows} == {"en", "sw"}
    assert sum(not row["answerable"] for row in rows) == 10
    assert {row["document"] for row in rows if row["answerable"]} == {guide.name for guide in GUIDES}
    for row in rows:
        fields = {"id", "lang", "question", "document", "heading", "answer", "answerable"}
        assert set(row) == fields | ({"translation"} if row["lang"] == "sw" else set())


def test_every_answer_is_in_its_document_and_no_question_is_in_another_set() -> None:
    others = {q.text for q in load_questions()} | {p.sw for p in load_pairs() if p.kind == "question"}
    for row in evaluation():
        assert row["question"] not in others
        if row["answerable"]:
            sections = {s.heading: s.sentences for s in read_sections(DEMO / "docs" / str(row["document"]))}
            assert row["answer"] in sections[str(row["heading"])], row["id"]
        else:
            assert row["document"] == row["heading"] == row["answer"] == ""


def test_the_recipe_names_files_that_exist() -> None:
    found = recipe()
    for kind in ("model", "adapter", "langpack", "docpack", "evalset"):
        for part in found[kind]:
            named = [
                part.get("file"),
                part.get("glossary"),
                part["card"],
                *part.get("argos", []),
                *part.get("files", []),
            ]
            for name in (n for n in named if n):
                assert list(DEMO.glob(str(name))), f"{kind}: {name}"
            card = (DEMO / str(part["card"])).read_text(encoding="utf-8")
            assert card.startswith("---\nlicense: apache-2.0\n"), part["card"]
            assert part["licence"] == "Apache-2.0"


def test_the_demo_stays_small() -> None:
    total = sum(p.stat().st_size for p in DEMO.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    assert total <= FIFTEEN_MEGABYTES
    assert MODEL.stat().st_size <= 8 * 1000 * 1000
    assert ADAPTER.stat().st_size <= 1024 * 1024


def test_the_glossary_has_its_columns_and_no_term_twice() -> None:
    with (DEMO / "langpack" / "glossary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["en", "sw", "note"]
    assert len(rows) >= 30
    assert len({row["en"] for row in rows}) == len(rows)
    assert all(row["en"] and row["sw"] for row in rows)


@pytest.mark.parametrize(("source", "target"), [("en", "sw"), ("sw", "en")])
def test_a_language_pack_is_one_folder_with_metadata(source: str, target: str) -> None:
    name = f"translate-{source}_{target}-0_1"
    with zipfile.ZipFile(DEMO / "langpack" / f"{name}.argosmodel") as archive:
        names = archive.namelist()
        assert {n.split("/")[0] for n in names} == {name}
        assert {f"{name}/model/model.bin", f"{name}/sentencepiece.model"} <= set(names)
        about = json.loads(archive.read(f"{name}/metadata.json"))
    assert (about["from_code"], about["to_code"], about["package_version"]) == (source, target, "0.1")


def test_model_and_adapter_are_gguf() -> None:
    for path in (MODEL, ADAPTER):
        magic, version, tensors, entries = gguf_counts(path)
        assert (magic, version) == (b"GGUF", 3)
        assert tensors > 20
        assert entries >= 5
    assert b"adapter.lora.alpha" in ADAPTER.read_bytes()[:4096]


def test_the_model_has_a_chat_template_an_end_and_single_digits() -> None:
    pytest.importorskip("llama_cpp")
    done = subprocess.run(
        [sys.executable, "-c", READ_METADATA, str(MODEL)], capture_output=True, text=True, check=True, timeout=60
    )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    metadata = found["metadata"]
    assert metadata["general.architecture"] == "qwen2"
    assert int(metadata["qwen2.context_length"]) >= 1024
    assert "<|im_start|>" in metadata["tokenizer.chat_template"]
    assert found["end"] == "<|im_end|>"
    assert [p for p in found["pieces"] if any(c.isdigit() for c in p)] == ["2", "0", "5", "0"]
    assert "".join(found["pieces"]) == "Boil 2050 drops of maji\n"


def test_the_prompt_is_the_one_the_box_sends() -> None:
    assert (SYSTEM, ABSTAIN) == (PROMPT, ABSTENTION)


def rows(split: str, count: int = 100) -> list[Row]:
    corpus = Corpus(7, split)
    return [corpus.row(Size(passages=3, sentences=4, questions=6)) for _ in range(count)]


def stems(row: Row) -> set[str]:
    pieces = [piece for p in row.passages for piece in p.place]
    pieces += [piece for p in row.passages for s in p.sentences for piece in s.pieces]
    return {stem for _, stem in [*pieces, *(piece for a in row.asked for piece in a.pieces)] if stem}


@pytest.mark.parametrize("split", [TRAIN, HELD_OUT])
def test_a_content_word_belongs_to_one_split(split: str) -> None:
    used = set().union(*map(stems, rows(split)))
    assert len(used) > 1000
    assert {held_out(word) for word in used} == {split == HELD_OUT}


def test_a_question_shares_more_with_its_sentence_than_with_any_other_or_asks_for_what_it_alone_tells() -> None:
    answered = refused = 0
    for row in rows(TRAIN):
        everything = {(i, j): s for i, p in enumerate(row.passages) for j, s in enumerate(p.sentences)}
        for asked in row.asked:
            words = {stem for _, stem in asked.pieces if stem}
            shared = {at: len(words & s.stems) for at, s in everything.items()}
            if asked.source is None:
                refused += 1
                assert max(shared.values()) <= 1
            else:
                answered += 1
                assert shared[asked.source] == max(shared.values()) > 0
    assert 0.15 < refused / (answered + refused) < 0.4


def test_of_two_sentences_that_answer_alike_the_other_makes_a_condition() -> None:
    ties = plain = 0
    for row in rows(TRAIN, 300):
        everything = {(i, j): s for i, p in enumerate(row.passages) for j, s in enumerate(p.sentences)}
        for asked in row.asked:
            words = {stem for _, stem in asked.pieces if stem}
            if asked.source is None:
                continue
            own = everything[asked.source]
            shared = words & own.stems
            rivals = [s for s in everything.values() if s is not own and shared <= s.stems]
            ties += bool(rivals)
            if rivals and own.kinds <= {"what", "with"}:  # nothing tells them apart but the condition
                plain += 1
                assert not own.fronted
                assert all(rival.fronted for rival in rivals)
    assert ties > plain > 0


def test_words_begin_with_vowels_too_and_some_are_long() -> None:
    found = {stem for row in rows(TRAIN) for stem in stems(row)}
    assert 0.03 < sum(word[0] in "aeiou" for word in found) / len(found) < 0.3
    assert sum(len(word) > 9 for word in found) > 50


def test_the_same_seed_makes_the_same_rows() -> None:
    assert rows(TRAIN, 5) == rows(TRAIN, 5)


def test_measured_cases_are_what_they_are_called() -> None:
    cases = unseen(60)
    for case in cases:
        assert bool(case.sentence) == bool(case.number)
        if case.sentence:
            assert case.sentence in case.passages[case.number - 1][1]
    for case, away in zip([c for c in cases if c.sentence], shuffled_away(cases), strict=True):
        assert case.question == away.question
        assert not any(case.sentence in text for _, text in away.passages)
    assert len(guides()) >= 200
    assert all(case.sentence in case.passages[case.number - 1][1] for case in guides())
    assert not any(case.sentence for case in foreign())


def test_measured_contexts_hold_the_answering_section() -> None:
    sections = load_sections()
    for gold in sections:
        shown = context(sections, random.Random(gold.heading), gold, 3)
        assert gold in shown
        assert len(shown) == 3
