"""The translator's process: holds the language packages and translates one text after another.

Run as ``python -m appliance.language.worker`` by ``translate``; the lines between them are:

    to the worker    {"do":"load", packs: [{source, target, folder}]}   first, once
                     {"do":"translate", key, text, source, target}
    from the worker  {"say":"translated", key, text}  or  {"say":"error", key, error}

Pure text in and out: what is doubtful about a translation is judged by ``translate``.
"""

from pathlib import Path
from typing import Any

from appliance.child import attach, error_to_message, inbox
from appliance.errors import LanguageError
from appliance.language.argos import Pair
from appliance.language.sentences import split

LONGEST = 300
"""Characters of a sentence that is translated at once. CTranslate2 drops what is beyond 1,024 tokens without a word,
and small models lose the thread long before."""


def translate(pair: Pair, text: str) -> str:
    """Translate sentence by sentence; line ends and the white space between sentences stay as they are.

    Raises:
        LanguageError: the model cannot be read or run.
    """
    return "".join(_piece(pair, piece) for piece in split(text, limit=LONGEST))


def _piece(pair: Pair, piece: str) -> str:
    body = piece.strip()
    if not any(c.isalpha() for c in body):  # numbers and signs mean the same everywhere
        return piece
    at = piece.index(body)
    return piece[:at] + pair.sentence(body) + piece[at + len(body) :]


def main() -> None:
    """Serve until the client closes the wire."""
    wire = attach()
    messages = inbox(wire)
    folders = {(p["source"], p["target"]): Path(p["folder"]) for p in messages.get()["packs"]}
    pairs: dict[tuple[str, str], Pair] = {}
    while True:
        order: dict[str, Any] = messages.get()
        direction = (order["source"], order["target"])
        try:
            if direction not in pairs:
                pairs[direction] = Pair(folders[direction], *direction)
            wire.send({"say": "translated", "key": order["key"], "text": translate(pairs[direction], order["text"])})
        except LanguageError as error:
            wire.send({"say": "error", "key": order["key"], "error": error_to_message(error)})


if __name__ == "__main__":
    main()
