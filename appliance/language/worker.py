"""The translator's process: holds the language packages and translates one text after another.

Run as ``python -m appliance.language.worker`` by ``translate``; the lines between them are:

    to the worker    {"do":"load", packs: [{source, target, folder}]}   first, once
                     {"do":"translate", key, text, source, target}       one sentence
                     {"do":"force", key, text, term, draft, source, target}    one sentence, with that term in it
    from the worker  {"say":"translated", key, text}  or  {"say":"forced", key, texts}  or  {"say":"error", key, error}

Pure text in and out: sentences are split, and what is doubtful about one is judged, by ``translate``. Packages are
native input from others, so the process is caged before it opens one: no network, no programs, no files but theirs.
"""

from pathlib import Path
from typing import Any

from appliance.child import attach, error_to_message, inbox
from appliance.confine import confine
from appliance.errors import LanguageError
from appliance.language.argos import Pair


def _answer(pair: Pair, order: dict[str, Any]) -> dict[str, Any]:
    if order["do"] == "force":
        return {"say": "forced", "texts": pair.forced(order["text"], order["term"], order["draft"])}
    return {"say": "translated", "text": pair.sentence(order["text"])}


def main() -> None:
    """Serve until the client closes the wire."""
    wire = attach()
    load = wire.receive()
    if load is None:
        return
    folders = {(p["source"], p["target"]): Path(p["folder"]) for p in load["packs"]}
    confine(read=list(folders.values()), write=[])
    messages = inbox(wire)
    pairs: dict[tuple[str, str], Pair] = {}
    while True:
        order: dict[str, Any] = messages.get()
        direction = (order["source"], order["target"])
        try:
            if direction not in pairs:
                pairs[direction] = Pair(folders[direction], *direction)
            wire.send({"key": order["key"], **_answer(pairs[direction], order)})
        except LanguageError as error:
            wire.send({"say": "error", "key": order["key"], "error": error_to_message(error)})


if __name__ == "__main__":
    main()
