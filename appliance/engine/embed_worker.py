"""The embedder's process: cages itself, loads one model, and turns texts into vectors. Run by ``embedding``.

to the worker    {"do":"load", model, threads}   first, once
                 {"do":"embed", key, texts, questions}
from the worker  {"say":"ready", dimension, longest}  or  {"say":"refused", error}
                 {"say":"embedded", key, vectors, tokens}   base64 of float32, little-endian, a text after the other
                 {"say":"error", key, error}
"""

import base64
from pathlib import Path

from appliance.child import attach, error_to_message
from appliance.confine import confine
from appliance.errors import EngineError


def main() -> None:
    """Serve until the client closes the wire."""
    wire = attach()
    order = wire.receive()
    if order is None:
        return
    path = Path(order["model"])
    confine(read=[path], write=[])
    # From here on: llama.cpp is first loaded, and the first thread started, inside the cage.
    from appliance.engine.llama_embed import EmbeddingModel

    try:
        model = EmbeddingModel(path, threads=int(order["threads"]))
    except EngineError as error:
        wire.send({"say": "refused", "error": error_to_message(error)})
        return
    wire.send({"say": "ready", "dimension": model.dimension, "longest": model.longest})
    while (order := wire.receive()) is not None:
        try:
            vectors, tokens = model.embed(order["texts"], questions=bool(order["questions"]))
        except EngineError as error:
            wire.send({"say": "error", "key": order["key"], "error": error_to_message(error)})
        else:
            packed = base64.b64encode(vectors.astype("<f4").tobytes()).decode()
            wire.send({"say": "embedded", "key": order["key"], "vectors": packed, "tokens": tokens})


if __name__ == "__main__":
    main()
