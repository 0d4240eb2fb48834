"""The engine's process: loads one model and answers requests, first come first served, one message a token.

Run as ``python -m appliance.engine.worker`` by ``client``; the lines between them are:

    to the worker    {"do":"load", model, adapters, context, threads}   first, once
                     {"do":"generate", key, ...}     a request, as ``orders.request_to_message`` writes it
                     {"do":"cancel", key}
                     {"do":"count", key, messages}
    from the worker  {"say":"ready", context, trained, description, vocabulary}  or  {"say":"refused", error}
                     {"say":"begin", key}  {"say":"text", key, text, prompt_tokens, generated_tokens}
                     {"say":"done", key, usage}
                     {"say":"counted", key, tokens}  {"say":"error", key, error}

An error of ours is reported and the process goes on; anything else ends it, and the client starts a new one.
"""

import os
import queue
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from appliance.child import Wire, attach, error_to_message, inbox
from appliance.engine.generation import Generation
from appliance.engine.llama import Context, Model
from appliance.engine.orders import messages_from_message, request_from_message
from appliance.engine.pieces import Pieces
from appliance.engine.protocol import GenerationRequest
from appliance.engine.sampling import Sampler, Sampling
from appliance.engine.template import ChatTemplate
from appliance.errors import EngineError

PREFILL = 128
"""Tokens of a prompt decoded at once: a cancel is heard between two such chunks. Larger ones gain little (a 0.5B
model reads 170 tokens a second by 16 and 319 by 256)."""


class Worker:
    """One loaded model, and the requests that wait for it."""

    def __init__(self, wire: Wire, messages: "queue.SimpleQueue[dict[str, Any]]", order: Mapping[str, Any]) -> None:
        """Load what the order names.

        Raises:
            EngineError: the model, its template or its context cannot be used.
        """
        self._wire = wire
        self._messages = messages
        self._adapters = {name: Path(path) for name, path in order["adapters"].items()}
        self._model = Model(Path(order["model"]))
        self._template = ChatTemplate(
            self._model.chat_template,
            bos=self._model.bos,
            eos=self._model.eos,
            control=self._model.control_texts(),
        )
        trained = self._model.context_trained
        self._size = min(order["context"] or trained, trained) if trained > 0 else order["context"]
        threads = order["threads"] or len(os.sched_getaffinity(0))
        self._context = Context(self._model, size=self._size, threads=threads, batch=PREFILL)
        self._waiting: deque[dict[str, Any]] = deque()
        self._current: int | None = None
        """Key of the request being answered; None also when it was cancelled."""

    def run(self) -> None:
        """Answer until the process is ended."""
        self._wire.send(
            {
                "say": "ready",
                "context": self._size,
                "trained": self._model.context_trained,
                "description": self._model.description,
                "vocabulary": self._model.vocabulary_size,
            }
        )
        while True:
            self._hear(wait=not self._waiting)
            if self._waiting:
                self._answer(self._waiting.popleft())

    def _hear(self, *, wait: bool) -> None:
        """Take what has come in: requests wait their turn, a cancel and a count are dealt with at once."""
        while True:
            try:
                message = self._messages.get(block=wait)
            except queue.Empty:
                return
            wait = False
            match message["do"]:
                case "generate":
                    self._waiting.append(message)
                case "cancel":
                    self._cancel(message["key"])
                case "count":
                    self._count(message)

    def _cancel(self, key: int) -> None:
        self._waiting = deque(waiting for waiting in self._waiting if waiting["key"] != key)
        if self._current == key:
            self._current = None

    def _count(self, message: Mapping[str, Any]) -> None:
        key = message["key"]
        try:
            tokens = len(self._model.tokenize(self._template.render(messages_from_message(message["messages"]))))
        except EngineError as error:
            self._wire.send({"say": "error", "key": key, "error": error_to_message(error)})
        else:
            self._wire.send({"say": "counted", "key": key, "tokens": tokens})

    def _answer(self, order: Mapping[str, Any]) -> None:
        self._current = key = order["key"]
        self._wire.send({"say": "begin", "key": key})
        started = time.perf_counter()
        try:
            generation = self._begin(request_from_message(order))
            first = None
            for text in self._steps(generation):
                first = first or time.perf_counter()
                if text:
                    tokens = {
                        "prompt_tokens": generation.prompt_tokens,
                        "generated_tokens": generation.generated_tokens,
                    }
                    self._wire.send({"say": "text", "key": key, "text": text, **tokens})
        except EngineError as error:
            self._wire.send({"say": "error", "key": key, "error": error_to_message(error)})
        else:
            ended = time.perf_counter()
            usage = {
                "prompt_tokens": generation.prompt_tokens,
                "generated_tokens": generation.generated_tokens,
                "first_token_s": (first or ended) - started,
                "total_s": ended - started,
                "finish": generation.finish or "cancelled",
            }
            self._wire.send({"say": "done", "key": key, "usage": usage})
        self._current = None

    def _begin(self, request: GenerationRequest) -> Generation:
        prompt = self._prompt(request)
        generation = Generation(
            prompt,
            context=self._size,
            max_tokens=request.max_tokens,
            sampler=Sampler(Sampling.of(request), prompt),
            pieces=Pieces(request.stop),
            is_end=self._model.is_end,
            piece=self._model.piece,
        )
        self._context.begin(None if request.adapter is None else self._adapters[request.adapter])
        return generation

    def _steps(self, generation: Generation) -> Iterator[str]:
        """Decode until it ends or is cancelled; yields the text of each token, which may be empty."""
        while generation.finish is None:
            self._hear(wait=False)
            if self._current is None:
                return
            tokens, position = generation.due(PREFILL)
            self._context.decode(tokens, position)
            if generation.decoded(len(tokens)):
                yield generation.take(self._context.scores())

    def _prompt(self, request: GenerationRequest) -> list[int]:
        if request.prompt is not None:
            return self._model.tokenize(request.prompt, special=False)
        return self._model.tokenize(self._template.render(request.messages, request.tools))


def main() -> None:
    """Serve until the client closes the wire; exit code 1 when the model was refused."""
    wire = attach()
    messages = inbox(wire)
    try:
        worker = Worker(wire, messages, messages.get())
    except EngineError as error:
        wire.send({"say": "refused", "error": error_to_message(error)})
        sys.exit(1)
    worker.run()


if __name__ == "__main__":
    main()
