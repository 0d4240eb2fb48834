"""Every shared, malformed and mutated file through the reader: no crash, no hang, bounded memory, a reason each.

Each archive, string and JSON file is read under every ending that could take it; each PDF, Word, OpenDocument, EPUB
and Excel file that is well is also read with bytes changed, cut out and put in, ``rounds`` times; for archives, half
of these hurt one part and zip it again, so that the parsers within see it.
"""

import io
import random
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from appliance.errors import KnowledgeError
from appliance.knowledge.ingest import MEMORY, Reader
from tests.conftest import SHARED
from tests.soak.frame import Outcome
from tests.support.office import docx, epub, odt, paragraph, word_table, xlsx, zipped
from tests.support.pdf import Line, pdf

ROUNDS = 100
MOST_S = 20

_TEXTS = (".txt", ".md", ".csv", ".html")
_ARCHIVES = (".docx", ".odt", ".epub", ".xlsx", ".pdf", ".txt")
_BODY = "<p>Boil the water for one minute.</p>"

Case = tuple[str, str, Path | bytes]
"""Corpus, the name to read it under, the file or its bytes."""


def shared_files(shared: Path = SHARED) -> Iterator[Case]:
    """The shared corpora, each file under every ending that it could come with."""
    data = shared / "data"
    for path in _files(data / "malformed"):
        corpus = f"malformed/{path.relative_to(data / 'malformed').parts[0]}"
        if path.suffix == ".pdf":
            yield corpus, path.name, path
        else:
            zipped = "archives" in str(path)
            for suffix in _ARCHIVES if zipped else _TEXTS:
                yield corpus, f"{path.name}{suffix}", path
    for path in _files(data / "docs"):
        yield f"docs/{path.relative_to(data / 'docs').parts[0]}", f"{path.stem}{path.suffix or '.txt'}", path
    for path in _files(data / "qa"):
        if path.suffix in (".json", ".md", ".txt", ".tsv", ".csv"):
            yield "qa", f"{path.stem}{path.suffix if path.suffix != '.json' else '.txt'}", path


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def well_files(shared: Path = SHARED) -> Iterator[Case]:
    """Files that are well, one of each kind, and every shared PDF."""
    prose = [Line(text="Give the child oral rehydration salts after each loose stool.") for _ in range(40)]
    yield "mutated pdf", "own.pdf", pdf([prose, None, prose], title="T", outline=[("Give", 0)])
    body = paragraph("Water", "Kichwa1") + paragraph("Boil it.") + word_table([["Age", "Dose"], ["2", "10 ml"]])
    yield "mutated docx", "own.docx", docx(body, title="T")
    yield "mutated odt", "own.odt", odt(_BODY.replace("p>", "text:p>") * 9)
    yield "mutated epub", "own.epub", epub([(f"{n}.xhtml", _BODY * 9) for n in range(4)])
    yield "mutated xlsx", "own.xlsx", xlsx({"A": [["Age", "Dose"], [2, 10.5]], "B": [["=date45000", "x"]]})
    yield "mutated html", "own.html", (f"<h1>T</h1>{_BODY}<table><tr><th>A<th>B<tr><td>1<td>2</table>" * 9).encode()
    for path in sorted((shared / "data" / "malformed" / "pdf_pypdf").rglob("*.pdf")):
        yield "mutated pdf", path.name, path


def mutated(data: bytes, order: random.Random) -> bytes:
    """The same bytes, hurt in a few places."""
    hurt = bytearray(data)
    for _ in range(order.randint(1, 12)):
        at = order.randrange(len(hurt) or 1)
        match order.randrange(5):
            case 0:
                hurt[at : at + 1] = bytes([order.randrange(256)])
            case 1:
                del hurt[at : at + order.randint(1, 64)]
            case 2:
                hurt[at:at] = hurt[at : at + order.randint(1, 200)] * order.randint(1, 20)
            case 3:
                hurt[at : at + 4] = order.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"9999", b"<<<<", b"obj ", b"]]>>"])
            case _:
                if order.random() < 0.2:
                    del hurt[at:]
    return bytes(hurt)


def mutated_inside(data: bytes, order: random.Random) -> bytes:
    """The same archive with one of its parts hurt."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    name = order.choice([name for name, part in parts.items() if part])
    return zipped({**parts, name: mutated(bytes(parts[name]), order)})  # type: ignore[arg-type]


def soak(rounds: int, seed: int) -> Outcome:
    """Read everything."""
    cases = list(shared_files()) if SHARED.is_dir() else []
    order = random.Random(seed)
    for corpus, name, source in well_files():
        data = source if isinstance(source, bytes) else source.read_bytes()
        cases.append((corpus.replace("mutated", "well"), name, data))
        for turn in range(rounds):
            inside = turn % 2 and data.startswith(b"PK")
            cases.append((corpus, name, mutated_inside(data, order) if inside else mutated(data, order)))
    return read_all(cases)


def read_all(cases: list[Case]) -> Outcome:
    """Read the cases, and count by corpus."""
    seen: dict[str, Counter[str]] = {}
    most: dict[str, tuple[float, int]] = {}
    reasons: dict[str, Counter[str]] = {}
    failures = []
    with tempfile.TemporaryDirectory() as folder, Reader(idle=False) as reader:
        for number, (corpus, name, source) in enumerate(cases):
            file = Path(folder) / f"x{Path(name).suffix}"
            file.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
            count = seen.setdefault(corpus, Counter())
            reader.peak = 0
            began = time.monotonic()
            try:
                document = reader.read(file, name=name, lang="en")
                count["read"] += 1
                if any(document.text[h.start : h.end].strip() == "" and h.text for h in document.headings):
                    failures.append(f"{corpus} {name} (case {number}): a heading is not where it says.")
            except KnowledgeError as error:
                count["refused"] += 1
                reason = error.found.removeprefix(str(file)).strip()
                reasons.setdefault(corpus, Counter())[reason.split(":")[0].split("(")[0].rstrip(". ")[:60]] += 1
                count["ended"] += "made its reader fail" in error.found
                if "is not understood" in error.found or "nonsense" in error.found:
                    failures.append(f"{corpus} {name} (case {number}): {error}")
                if not (error.needed or error.todo):
                    failures.append(f"{corpus} {name} (case {number}): the refusal says not what to do: {error}")
            seconds = time.monotonic() - began
            slowest, peak = most.get(corpus, (0.0, 0))
            most[corpus] = max(slowest, seconds), max(peak, reader.peak)
            if seconds > MOST_S or reader.peak > MEMORY:
                failures.append(f"{corpus} {name} (case {number}): {seconds:.1f} s, {reader.peak >> 20} MB.")
    rows = tuple(
        (
            corpus,
            str(count["read"] + count["refused"]),
            str(count["read"]),
            str(count["refused"]),
            str(count["ended"]),
            f"{most[corpus][0]:.2f}",
            str(most[corpus][1] >> 20),
            "; ".join(f"{words} ({n})" for words, n in reasons.get(corpus, Counter()).most_common(3)),
        )
        for corpus, count in sorted(seen.items())
    )
    heads = ("corpus", "files", "read", "refused", "child ended", "slowest, s", "most memory, MB", "commonest reasons")
    return Outcome(heads=heads, rows=rows, failures=tuple(failures))
