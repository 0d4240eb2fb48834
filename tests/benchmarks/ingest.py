"""How fast documents are read, and what the limited child and the structure cost beside bare PDFium.

Each round reads the same text PDF in an order of its own: the whole text with bare pypdfium2 in this process, and as a
document through the reader. Speeds are pages a second of processor time, so that a busy machine does not matter.
"""

import random
import statistics
import tempfile
import time
from pathlib import Path

import pypdfium2

from appliance.knowledge.ingest import MEMORY, Reader
from tests.benchmarks.frame import Row
from tests.support.office import docx, paragraph, word_table
from tests.support.pdf import Line, pdf

SENTENCE = "Give the child oral rehydration salts after each loose stool and watch for signs of danger every hour"
WORDS = SENTENCE.split()
LINES = 45


def measure(quick: bool) -> list[Row]:
    """Medians over the rounds."""
    rounds, pages = (3, 100) if quick else (9, 400)
    order = random.Random(rounds)
    with tempfile.TemporaryDirectory() as folder, Reader(idle=False) as reader:
        guide = Path(folder) / "guide.pdf"
        guide.write_bytes(pdf([_page(number, order) for number in range(pages)]))
        small = Path(folder) / "small.md"
        small.write_text("# Water\n\nBoil it.\n")
        word = Path(folder) / "word.docx"
        table = word_table([["Age", "Dose"], *([str(n), f"{n} ml"] for n in range(20))])
        word.write_bytes(docx("".join(paragraph(" ".join(WORDS) * 4) + table for _ in range(pages))))
        mebibytes = len(reader.read(word, name="w", lang="en").text) / (1 << 20)
        seconds: dict[str, list[float]] = {"bare": [], "ours": [], "small": [], "word": []}
        ways = {
            "bare": lambda: _bare(guide),
            "ours": lambda: _ours(reader, guide),
            "small": lambda: _wall(reader, small),
            "word": lambda: _ours(reader, word),
        }
        for _ in range(rounds):
            for name in order.sample(sorted(ways), len(ways)):
                seconds[name].append(ways[name]())
        peak = reader.peak
    bare, ours = (pages / statistics.median(seconds[name]) for name in ("bare", "ours"))
    ratio = statistics.median(b / o for b, o in zip(seconds["bare"], seconds["ours"], strict=True))
    return [
        Row(metric="bare pypdfium2, text only", value=bare, unit="pages/s a core"),
        Row(metric="as a document, with structure", value=ours, unit="pages/s a core", target=200),
        Row(metric="ours / bare", value=ratio, unit="ratio"),
        Row(
            metric="Word, of extracted text", value=mebibytes / statistics.median(seconds["word"]), unit="MiB/s a core"
        ),
        Row(metric="a small file, wall time", value=1000 * statistics.median(seconds["small"]), unit="ms"),
        Row(metric="most memory of a child", value=peak / (1 << 20), unit="MiB", target=MEMORY >> 20, lower=True),
    ]


def _page(number: int, order: random.Random) -> list[Line]:
    lines = [Line(text=" ".join(order.choices(WORDS, k=14))) for _ in range(LINES)]
    return [Line(text=f"Part {number}", size=18), *lines]


def _bare(file: Path) -> float:
    began = time.process_time()
    document = pypdfium2.PdfDocument(file)
    for page in document:
        text_page = page.get_textpage()
        text_page.get_text_range()
        text_page.close()
        page.close()
    document.close()
    return time.process_time() - began


def _ours(reader: Reader, file: Path) -> float:
    began = reader.cpu_s
    reader.read(file, name=file.name, lang="en")
    return reader.cpu_s - began


def _wall(reader: Reader, file: Path) -> float:
    began = time.perf_counter()
    reader.read(file, name=file.name, lang="en")
    return time.perf_counter() - began
