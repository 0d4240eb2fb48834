"""A file as a document: Markdown or plain text, its title, and its text as it stands.

The text is only made uniform (UTF-8, NFC, line ends), never changed: what is cited must be what was written.
Cutting it into passages is left to ``chunk``.
"""

import unicodedata
from pathlib import Path

from appliance.errors import KnowledgeError
from appliance.knowledge.document import Document, Heading

SUFFIXES = (".md", ".markdown", ".txt")
MAX_BYTES = 20 * 1024 * 1024


def read_document(file: Path, *, name: str, lang: str) -> Document:
    """Read a file.

    Args:
        name: what the document is called in its docpack.
        lang: the language it is written in.

    Raises:
        KnowledgeError: it cannot be read, or is no UTF-8 text of a kind that is known.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise KnowledgeError(f"{file} is no text file.", needed=f"Known are: {', '.join(SUFFIXES)}.")
    try:
        if file.stat().st_size > MAX_BYTES:
            raise KnowledgeError(f"{file} is larger than {MAX_BYTES >> 20} MiB.", todo="Split it.")
        raw = file.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise KnowledgeError(f"{file} cannot be read: {error.strerror}.", todo="Check its name and rights.") from error
    except UnicodeDecodeError as error:
        raise KnowledgeError(
            f"{file} is not text in UTF-8 (byte {error.start}).", todo="Save it as UTF-8 text."
        ) from error
    if "\0" in text:
        raise KnowledgeError(f"{file} holds binary data.", needed="Text in UTF-8 is needed.")
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    marks = headings(text) if file.suffix.lower() != ".txt" else []
    title = next((h.text for h in marks if h.level == 1 and h.text), "")
    stem = Path(name).stem.replace("-", " ").replace("_", " ").strip()
    return Document(path=name, title=title or stem or name, lang=lang, text=text, headings=tuple(marks))


def headings(text: str) -> list[Heading]:
    """The ``#`` headings of a Markdown text, in order; those inside code fences are none."""
    found: list[Heading] = []
    fence = ""
    start = 0
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if fence:
            fence = "" if bare.startswith(fence) and not bare.strip(fence[0]) else fence
        elif bare.startswith(("```", "~~~")):
            fence = bare[: len(bare) - len(bare.lstrip(bare[0]))]
        elif line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            words = line[level:]
            if level <= 6 and (not words.strip() or words[0] in " \t"):
                found.append(Heading(level=level, text=_bare(words), start=start, end=start + len(line)))
        start += len(line)
    return found


def _bare(words: str) -> str:
    words = words.strip()
    closing = words.rstrip("#")
    return closing.strip() if not closing or closing.endswith((" ", "\t")) else words
