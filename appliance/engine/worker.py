"""The engine's process: cages itself, loads one model, and answers until it is ended. Run by ``client``.

The lines between them, as ``service`` speaks them:

    to the worker    {"do":"load", ...}                 first, once: ``client`` and ``settings`` write it
                     {"do":"generate", key, ...}        a request, as ``orders.request_to_message`` writes it
                     {"do":"cancel", key}
                     {"do":"count", key, messages}
                     {"do":"limit", slots}              at most so many answered at once; null: as many as there are
    from the worker  {"say":"ready", context, trained, description, vocabulary, slots, cells, confined, offload}
                     {"say":"refused", error}           then it ends
                     {"say":"step", items, line?}       what came of one decode batch, for all whom it concerned
                       items: {key, so_far?, pieces?, usage?, error?, tokens?}
                              so_far     [prompt, generated, cached, thinking] tokens; its first coming means: begun
                              pieces     a text, {"thinking": text} or {"logprobs": ...}
                              usage, error, tokens   end the request
                       line:  keys of those that wait, first served first; only when it changed
                     {"say":"risk", key, adapter}       what comes next may end the process, and who wanted it

An error of ours is reported and the process goes on; anything else ends it, and the client starts a new one.
"""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from appliance.child import attach, error_to_message, inbox
from appliance.confine import confine
from appliance.engine.offload import OFF
from appliance.errors import EngineError

_DRIVERS = ("cuda", "vulkan", "hip", "sycl", "opencl")
"""Of graphics cards, as ggml names its libraries."""


def main() -> None:
    """Serve until the client closes the wire; exit code 1 when the model was refused."""
    wire = attach()
    order = wire.receive()
    if order is None:
        return
    read, write = _paths(order)
    confined = confine(read=read, write=write)
    # From here on: llama.cpp is first loaded, and the first thread started, inside the cage.
    from appliance.engine.service import Service

    messages = inbox(wire)
    try:
        service = Service(wire, messages, order, confined=confined)
    except EngineError as error:
        wire.send({"say": "refused", "error": error_to_message(error)})
        sys.exit(1)
    service.run()


def _paths(order: Mapping[str, Any]) -> tuple[list[Path], list[Path]]:
    # The folder, since a model may come in pieces that lie side by side.
    read = [Path(order["model"]).parent, *(Path(path) for path in order["adapters"].values())]
    write = _cards() if order["gpu"] != OFF else []
    folder = order["folder"]
    if folder is not None:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        write.append(Path(folder))
    return read, write


def _cards() -> list[Path]:
    """Device files of graphics cards, where this build of llama.cpp has a library that drives one."""
    found = find_spec("llama_cpp")
    libraries = Path(found.origin).parent / "lib" if found is not None and found.origin else Path("/nonexistent")
    if not any(path for name in _DRIVERS for path in libraries.glob(f"libggml-{name}*.so")):
        return []
    return [path for pattern in ("nvidia*", "dri/*", "kfd") for path in Path("/dev").glob(pattern)]


if __name__ == "__main__":
    main()
