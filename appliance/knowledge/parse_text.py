"""Plain text and Markdown: the text as it stands, its line ends and composition made uniform, its headings found.

Nothing else is changed: what is cited must be what was written.
"""

import re
import unicodedata
from typing import BinaryIO

from appliance.knowledge.document import Heading
from appliance.knowledge.draft import Draft, Progress, Unreadable

_MOST_MATTER = 200
"""Lines that front matter may have."""
_KEY = re.compile(r"[\w-]+:(\s|$)")
_TITLE = re.compile(r"title:(.*)")


def parse_markdown(file: BinaryIO, _progress: Progress) -> Draft:
    """Markdown; its title is the one in its front matter, or its first heading of level 1.

    The front matter is for programs and not part of the text.

    Raises:
        Unreadable: it is no text in UTF-8.
    """
    draft = Draft()
    title, text = _without_front_matter(unicodedata.normalize("NFC", decode(file.read())))
    draft.exact(text)
    draft.headings = headings(draft.text)
    draft.title = title or next((h.text for h in draft.headings if h.level == 1 and h.text), "")
    return draft


def _without_front_matter(text: str) -> tuple[str, str]:
    """The title that the YAML before a text names, if it does, and the text. A lone rule is no front matter."""
    lines = text.split("\n", _MOST_MATTER)
    fences = [number for number, line in enumerate(lines[:_MOST_MATTER]) if line.rstrip() == "---"][:2]
    if len(fences) < 2 or fences[0] != 0 or not any(map(_KEY.match, lines[1 : fences[1]])):
        return "", text
    titles = (found[1] for line in lines[1 : fences[1]] if (found := _TITLE.fullmatch(line)))
    return next(titles, "").strip().strip("\"'"), "\n".join(lines[fences[1] + 1 :])


def parse_plain(file: BinaryIO, _progress: Progress) -> Draft:
    """A text file. Raises Unreadable when it is no text in UTF-8."""
    draft = Draft()
    draft.exact(unicodedata.normalize("NFC", decode(file.read())))
    return draft


def decode(raw: bytes) -> str:
    """UTF-8, or UTF-16 with its mark, with line ends of ours.

    Raises:
        Unreadable: it is neither, or holds binary data.
    """
    utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff") and len(raw) % 2 == 0
    try:
        text = raw.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not text in UTF-8 (byte {error.start})", "Save it as UTF-8 text.") from error
    if "\0" in text:
        raise Unreadable("holds binary data and no text", "Save it as UTF-8 text.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


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
