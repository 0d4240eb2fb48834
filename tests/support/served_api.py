"""Our /v1 served over real HTTP, with an engine behind it that says what a test tells it to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import uvicorn
from fastapi import FastAPI

from appliance.accounts.keys import Keys
from appliance.box import Box
from appliance.config import Home
from appliance.engine.embedding import Embedded
from appliance.exchange import Usage
from appliance.web import openai_api
from tests.support.scripted import ListLog, ScriptedEngine

USAGE = Usage(
    prompt_tokens=7, generated_tokens=3, first_token_s=0, total_s=0, finish="stop", cached_tokens=5, thinking_tokens=1
)


class Embedder:
    """Two numbers a text."""

    def counted(self, texts):
        vectors = np.array([[float(len(text)), 0.5] for text in texts], np.float32)
        return Embedded(vectors=vectors, tokens=tuple(len(text) for text in texts), longest=512)


@contextmanager
def served_api(folder: Path) -> Iterator[SimpleNamespace]:
    """``engine`` is what answers and may be replaced at any time; ``url`` and ``key`` lead there; ``log`` records."""
    keys = Keys(folder / "api-keys.json")
    state = SimpleNamespace(engine=ScriptedEngine(["Bo", "il it."], ending=USAGE), log=ListLog(), keys=keys)
    engine = SimpleNamespace(
        generate=lambda request: state.engine.generate(request), cancel=lambda id: state.engine.cancel(id)
    )
    adapters = {"steps": SimpleNamespace(target="adapters/p/steps-1")}
    box = Box(
        home=Home(root=folder),
        config=None,
        release=SimpleNamespace(
            model=SimpleNamespace(name="base"),
            adapters=adapters,
            languages=("en",),
            embedder=SimpleNamespace(name="vectors"),
        ),
        pipeline=SimpleNamespace(engine=engine),
        retriever=None,
        log=state.log,
        embedder=Embedder(),
    )
    app = FastAPI()
    app.include_router(openai_api.routes(box, keys))
    listener = socket.create_server(("127.0.0.1", 0))
    state.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    state.key = keys.make("test")
    try:
        yield state
    finally:
        server.should_exit = True
        thread.join()
