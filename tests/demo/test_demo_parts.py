"""The demo bundle's parts are whole and agree with each other: documents, questions, translations, model files."""

from __future__ import annotations

import csv
import json
import re
import struct
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from bundles.demo.training.corpus import ABSTAIN, SYSTEM, Corpus, Row, answer_text
from bundles.demo.training.guides import load_pairs, load_questions, load_sections, read_sections
from bundles.demo.training.measure import SETS, context

DEMO = Path(__file__).resolve().parents[2] / "bundles" / "demo"
GUIDES = sorted((DEMO / "docs").glob("*.md"))
MODEL = DEMO / "model" / "fieldpost-demo.gguf"
ADAPTER = DEMO / "adapter" / "steps.gguf"
TEN_MEGABYTES = 10 * 1024 * 1024
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


def test_every_training_question_is_answered_word_for_word() -> None:
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
        assert set(row) == {"id", "lang", "question", "document", "heading", "answer", "answerable"}


def test_every_answer_is_in_its_document_and_no_question_was_trained_on() -> None:
    trained = {q.text for q in load_questions()}
    for row in evaluation():
        assert row["question"] not in trained
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
    assert total <= TEN_MEGABYTES
    assert MODEL.stat().st_size <= 6 * 1024 * 1024
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


def test_the_prompt_keeps_to_the_contract() -> None:
    section = read_sections(DEMO / "docs" / "safe-water.md")[0]
    row = Corpus(1).row(guides=1.0, scrambled=0.0, passages=2, most=3)
    shown = row.prefix()
    assert shown.startswith(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n[1] ")
    assert shown.endswith("\n\n")
    assert SYSTEM.endswith(ABSTAIN)
    assert answer_text((section.sentences[0], 2)) == "Bring the water to a rolling boil for 1 minute. [2]"


def test_made_up_rows_quote_their_passages() -> None:
    corpus = Corpus(7)
    rows: list[Row] = [corpus.row(guides=0.5, scrambled=0.2, passages=3, most=3) for _ in range(200)]
    answered = [(row, a) for row in rows for _, a in row.asked if a is not None]
    refused = [a for row in rows for _, a in row.asked if a is None]
    assert all(sentence in row.passages[number - 1].sentences for row, (sentence, number) in answered)
    assert 0.1 < len(refused) / (len(answered) + len(refused)) < 0.4


def test_the_same_seed_makes_the_same_rows() -> None:
    one, two = (Corpus(11).row(guides=0.5, scrambled=0.2, passages=3, most=3) for _ in range(2))
    assert (one.prefix(), one.branches()) == (two.prefix(), two.branches())


def test_measured_contexts_hold_the_answering_section() -> None:
    import random

    sections = load_sections()
    for gold in sections:
        shown = context(sections, random.Random(gold.heading), gold, 3)
        assert gold in shown
        assert len(shown) == 3
    assert len(SETS) >= 6
