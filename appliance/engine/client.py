"""The engine as the box sees it: a worker process, its queue, and its restarts.

A worker that dies (a malformed model, no memory, an ``oom`` kill) is started again within seconds. Requests that wait
are kept; the one in flight begins again if nothing of it was streamed yet, once. What the process does is in
``worker``.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from appliance.child import Child, WireError
from appliance.engine import orders
from appliance.engine.protocol import GenerationRequest, Message, Piece
from appliance.errors import EngineError
from appliance.exchange import Usage

MAX_DEATHS = 3
"""Deaths in a row, without one finished request between, after which it is left down until somebody asks again."""

# Read when OpenMP is loaded: on a busy box threads that spin while they wait bring 44 tokens a second down to 1.
# And without GGML_NO_BACKTRACE a crashing ggml starts a debugger where one is installed.
_ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "GGML_NO_BACKTRACE": "1"}
_MODULE = "appliance.engine.worker"
_NOTHING_DONE = Usage(prompt_tokens=0, generated_tokens=0, first_token_s=0.0, total_s=0.0, finish="cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the worker found in the model's file."""

    context: int
    """Tokens that prompt and answer may use together: the lesser of what was asked for and trained."""
    trained: int
    description: str
    """llama.cpp's name for it."""
    vocabulary: int


@dataclass(slots=True, kw_only=True, eq=False)
class _Waiting:
    """A request that is not answered yet."""

    key: int
    message: dict[str, Any]
    id: str | None = None
    """The request's own; None for a count."""
    answers: "SimpleQueue[str | int | Usage | EngineError]" = field(default_factory=SimpleQueue)
    begun: bool = False
    streamed: bool = False
    tries: int = 0
    began_s: float = 0.0
    """By ``time.perf_counter``, once begun."""
    so_far: Usage = _NOTHING_DONE
    """As of the last piece of text: what a cancelled request has cost."""


class WorkerEngine:
    """An ``Engine`` on llama.cpp in a process of its own. A context manager; any thread may ask."""

    def __init__(
        self,
        model: Path,
        adapters: Mapping[str, Path] | None = None,
        *,
        context: int = 2048,
        threads: int = 0,
        name: str = "",
    ) -> None:
        """Describe it; nothing is started yet.

        Args:
            model: the GGUF file.
            adapters: name to LoRA file in GGUF; each is loaded when first asked for.
            context: tokens wished for; never more than the model was trained on. 0 is as many as that.
            threads: processor cores to use; 0 is all.
            name: the model's name for people; its file's stem when empty.
        """
        self.model = name or model.stem
        self._adapters = {key: path.resolve() for key, path in (adapters or {}).items()}
        self._order = {
            "do": "load",
            "model": str(model.resolve()),
            "adapters": {key: str(path) for key, path in self._adapters.items()},
            "context": context,
            "threads": threads,
        }
        # All below is guarded by this condition, which is notified whenever any of it changes.
        self._changed = threading.Condition()
        self._waiting: dict[int, _Waiting] = {}
        self._keys = 0
        self._child: Child | None = None
        self._loaded: Loaded | None = None
        self._up = False
        self._deaths = 0
        self._failure: EngineError | None = None
        self._closed = False
        self._keeper = threading.Thread(target=self._keep, name="engine", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_until_loaded()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Begin to load, without waiting for it. Call once."""
        self._keeper.start()

    def close(self) -> None:
        """End the process. Requests that wait get an EngineError."""
        with self._changed:
            self._closed = True
            child = self._child
            self._changed.notify_all()
        if child is not None:
            child.wire.close()
        if self._keeper.ident is not None:
            self._keeper.join()

    def wait_until_loaded(self) -> Loaded:
        """What the model is, once it is loaded for the first time.

        Raises:
            EngineError: it cannot be loaded.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._loaded or self._failure or self._closed)
            if self._loaded is None:
                raise self._failure or _closed()
            return self._loaded

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may use together. Waits until the model is loaded.

        Raises:
            EngineError: it cannot be loaded.
        """
        return self.wait_until_loaded().context

    @property
    def pid(self) -> int | None:
        """The worker's process id while there is one, loading or up; for status pages."""
        with self._changed:
            return self._child.pid if self._child is not None else None

    def generate(self, request: GenerationRequest) -> Iterator[Piece]:
        """See ``Engine.generate``."""
        orders.check(request, self._adapters)
        for name in ("response_schema", "thinking_tokens", "logprobs", "deadline_s"):
            if getattr(request, name) is not None:
                raise EngineError(f"{name} was asked for, which the local engine does not offer yet.")
        message = {"do": "generate", **orders.request_to_message(request)}
        waiting = self._submit(message, request.id)
        try:
            while True:
                answer = waiting.answers.get()
                if isinstance(answer, EngineError):
                    raise answer
                assert not isinstance(answer, int)  # noqa: S101  (only counts are answered by a number)
                yield answer
                if isinstance(answer, Usage):
                    return
        finally:
            self._forget(waiting)

    def cancel(self, request_id: str) -> None:
        """See ``Engine.cancel``. Does not wait for the worker: it hears of it before its next token or chunk."""
        with self._changed:
            for waiting in [one for one in self._waiting.values() if one.id == request_id]:
                del self._waiting[waiting.key]
                total_s = time.perf_counter() - waiting.began_s if waiting.begun else 0.0
                waiting.answers.put(replace(waiting.so_far, total_s=total_s))
                if self._up:
                    self._send({"do": "cancel", "key": waiting.key})

    def position(self, request_id: str) -> int | None:
        """See ``Engine.position``."""
        with self._changed:
            line = [waiting for waiting in self._waiting.values() if waiting.id is not None]
            ahead = sum(not waiting.begun for waiting in line)
            for waiting in reversed(line):
                if waiting.id == request_id:
                    return 0 if waiting.begun else ahead
                ahead -= not waiting.begun
        return None

    def count(self, messages: Sequence[Message]) -> int:
        """See ``Engine.count``. Answered between two tokens of whatever is being generated."""
        waiting = self._submit({"do": "count", "messages": orders.messages_to_message(messages)})
        try:
            answer = waiting.answers.get()
        finally:
            self._forget(waiting)
        if isinstance(answer, EngineError):
            raise answer
        assert isinstance(answer, int)  # noqa: S101  (nothing else answers a count)
        return answer

    def _submit(self, message: dict[str, Any], request_id: str | None = None) -> _Waiting:
        with self._changed:
            if self._closed:
                raise _closed()
            self._keys += 1
            waiting = _Waiting(key=self._keys, id=request_id, message={**message, "key": self._keys})
            self._waiting[waiting.key] = waiting
            if self._up:
                self._send(waiting.message)
            self._changed.notify_all()
        return waiting

    def _forget(self, waiting: _Waiting) -> None:
        with self._changed:
            if self._waiting.pop(waiting.key, None) is not None and self._up:
                self._send({"do": "cancel", "key": waiting.key})

    def _send(self, message: Mapping[str, object]) -> None:
        assert self._child is not None  # noqa: S101  (only called while up)
        try:
            self._child.wire.send(message)
        except WireError:
            # It died, or does not listen: the keeper finds out, and sends all that waits to the next one.
            self._child.kill()

    # From here on: the keeper's thread.

    def _keep(self) -> None:
        while self._may_start():
            try:
                child = Child(_MODULE, environment=_ENVIRONMENT)
            except WireError as error:
                self._died(str(error))
                continue
            with self._changed:
                self._child = child
                closed = self._closed
            refusal = None if closed else self._converse(child)
            with self._changed:
                self._up = False
            ending = child.close()
            if refusal is not None:
                self._give_up(refusal)
            elif not self._closed:
                self._died(ending)
        with self._changed:
            self._fail_all(_closed())

    def _may_start(self) -> bool:
        """Wait as long as a start makes no sense; False when closed."""
        with self._changed:
            if self._deaths and self._failure is None:
                pause = min(2.0, 0.1 * 4 ** (self._deaths - 1))
                self._changed.wait_for(lambda: self._closed, timeout=pause)
            self._changed.wait_for(lambda: self._closed or self._failure is None or self._waiting)
            self._failure = None
            return not self._closed

    def _converse(self, child: Child) -> EngineError | None:
        """Deal with what the worker says until it is gone; the reason when it refused the model."""
        try:
            child.wire.send(self._order)
            while (message := child.wire.receive()) is not None:
                if message.get("say") == "refused":
                    return orders.engine_error(message.get("error"))
                with self._changed:
                    self._hear(message)
        except (WireError, KeyError, TypeError, ValueError):
            pass  # not a line of ours: as good as dead
        return None

    def _hear(self, message: dict[str, Any]) -> None:
        if message["say"] == "ready":
            self._loaded = Loaded(
                context=int(message["context"]),
                trained=int(message["trained"]),
                description=str(message["description"])[:200],
                vocabulary=int(message["vocabulary"]),
            )
            self._up = True
            for waiting in self._waiting.values():
                self._send(waiting.message)
            self._changed.notify_all()
            return
        if message["key"] not in self._waiting:
            return  # cancelled meanwhile
        waiting = self._waiting[message["key"]]
        match message["say"]:
            case "begin":
                waiting.begun = True
                waiting.began_s = time.perf_counter()
            case "text":
                waiting.streamed = True
                waiting.so_far = _so_far(waiting, message)
                waiting.answers.put(str(message["text"]))
            case "done":
                self._finish(waiting, orders.usage_from_message(message["usage"]))
            case "counted":
                self._finish(waiting, int(message["tokens"]))
            case "error":
                self._finish(waiting, orders.engine_error(message["error"]))

    def _finish(self, waiting: _Waiting, answer: int | Usage | EngineError) -> None:
        del self._waiting[waiting.key]
        self._deaths = 0
        waiting.answers.put(answer)

    def _died(self, ending: str) -> None:
        with self._changed:
            self._child = None
            self._deaths += 1
            for waiting in list(self._waiting.values()):
                if waiting.streamed or (waiting.begun and waiting.tries):
                    del self._waiting[waiting.key]
                    waiting.answers.put(
                        EngineError(f"The model's process {ending} while it answered.", todo="Ask again.")
                    )
                elif waiting.begun:
                    waiting.begun = False
                    waiting.tries += 1
            deaths = self._deaths
        if deaths >= MAX_DEATHS:
            self._give_up(
                EngineError(
                    f"The model's process {ending}, {deaths} times in a row.",
                    needed="A whole model, and memory enough for it, are needed.",
                    todo="Run fieldpost status; install the stick again if the model is damaged.",
                )
            )

    def _give_up(self, failure: EngineError) -> None:
        with self._changed:
            self._child = None
            self._failure = failure
            self._deaths = MAX_DEATHS - 1  # the next request gets one start, not three
            self._fail_all(failure)
            self._changed.notify_all()

    def _fail_all(self, error: EngineError) -> None:
        for waiting in self._waiting.values():
            waiting.answers.put(error)
        self._waiting.clear()


def _so_far(waiting: _Waiting, told: Mapping[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=int(told["prompt_tokens"]),
        generated_tokens=int(told["generated_tokens"]),
        first_token_s=waiting.so_far.first_token_s or time.perf_counter() - waiting.began_s,
        total_s=0.0,
        finish="cancelled",
    )


def _closed() -> EngineError:
    return EngineError("The engine is closed.", todo="Start fieldpost again.")
