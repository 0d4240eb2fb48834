"""The engine as the box sees it: a worker process, what waits for it, and its restarts.

A worker that dies (a malformed model or adapter, no memory, an ``oom`` kill) is started again within two seconds.
Requests that wait are kept; those in flight begin again if nothing of them was streamed yet, once. Where it is known
which request brought it down, that one pays and the others do not. What the process does is in ``worker``.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.child import Child, WireError
from appliance.engine import orders
from appliance.engine.blame import Blame
from appliance.engine.contention import HOLD_S, Choice, Policy
from appliance.engine.loaded import Loaded
from appliance.engine.protocol import GenerationRequest, Message, Piece
from appliance.engine.settings import Adapter, EngineSettings, address_space, environment
from appliance.engine.waiting import Waiting, piece_from_message
from appliance.errors import EngineError
from appliance.exchange import Usage

MAX_DEATHS = 3
"""Deaths in a row, without one finished request between, after which it is left down until somebody asks again."""
_MODULE = "appliance.engine.worker"
_log = logging.getLogger(__name__)


class WorkerEngine:
    """An ``Engine`` on llama.cpp in a process of its own. A context manager; any thread may ask."""

    def __init__(
        self,
        model: Path,
        adapters: Mapping[str, Path | Adapter] | None = None,
        *,
        context: int = 2048,
        threads: int = 0,
        name: str = "",
        settings: EngineSettings = EngineSettings(),  # noqa: B008  (frozen)
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
        found = {key: one if isinstance(one, Adapter) else Adapter(path=one) for key, one in (adapters or {}).items()}
        self._adapters = found
        self._blame = Blame(found, digest=settings.digest)
        self._order = {
            "do": "load",
            "model": str(model.resolve()),
            "adapters": {key: str(one.path.resolve()) for key, one in found.items()},
            "adapter_digests": {key: one.digest for key, one in found.items()},
            "context": context,
            "threads": threads,
            **settings.to_message(),
        }
        # All below is guarded by this condition, which is notified whenever any of it changes.
        self._changed = threading.Condition()
        self._waiting: dict[int, Waiting] = {}
        self._line: tuple[int, ...] = ()
        self._keys = 0
        self._child: Child | None = None
        self._loaded: Loaded | None = None
        self._up = False
        self._deaths = 0
        self._failure: EngineError | None = None
        self._closed = False
        self._parting = False  # whether the process is being ended because it is not needed now, or needed otherwise
        self._asleep = False  # whether the next one is only started when somebody asks
        self._slots: int | None = None
        self._used = time.monotonic()
        self._threads = Choice()
        self.restarts = 0
        """How often the process died; for status pages."""
        self._risk: tuple[int, str | None] | None = None
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

    def limit(self, slots: int | None) -> None:
        """Let at most so many requests be answered at once from now on; None is as many as it was made for."""
        with self._changed:
            self._slots = slots
            if self._up:
                self._send({"do": "limit", "slots": slots})

    def rest(self, idle_s: float = 0.0) -> bool:
        """Give the memory back until somebody asks, if nobody has for so many seconds. Whether there is no process."""
        with self._changed:
            if self._up and not self._waiting and time.monotonic() - self._used >= idle_s:
                self._part(asleep=True)
            return self._child is None or self._parting

    def adapt(self, hold_s: float = HOLD_S) -> Policy:
        """Choose anew how the threads wait, by what they waited for a processor since the last call.

        Another way needs another process, which is started as soon as nobody is being answered. What was read before
        and is not on disk is read again then.
        """
        with self._changed:
            if self._up and self._child is not None:
                self._threads.look(self._child.pid, hold_s)
                if self._threads.better != self._threads.way and not self._waiting:
                    self._part(asleep=False)
            return self._threads.better

    def generate(self, request: GenerationRequest) -> Iterator[Piece]:
        """See ``Engine.generate``."""
        orders.check(request, self._adapters)
        self._blame.check(request.adapter)
        message = {"do": "generate", **orders.request_to_message(request)}
        waiting = self._submit(message, request)
        try:
            yield from waiting.pieces()
        finally:
            self._forget(waiting)

    def cancel(self, request_id: str) -> None:
        """See ``Engine.cancel``. Does not wait for the worker: it hears of it before its next decode batch."""
        with self._changed:
            for waiting in [one for one in self._waiting.values() if one.id == request_id]:
                del self._waiting[waiting.key]
                waiting.answers.put(waiting.cancelled())
                if self._up:
                    self._send({"do": "cancel", "key": waiting.key})

    def position(self, request_id: str) -> int | None:
        """See ``Engine.position``."""
        with self._changed:
            asked = next((one for one in self._waiting.values() if one.id == request_id), None)
            if asked is None:
                return None
            if asked.begun:
                return 0
            # The worker tells its line; what it has not heard of yet comes behind.
            told = [key for key in self._line if key in self._waiting and not self._waiting[key].begun]
            later = [one.key for one in self._waiting.values() if one.id is not None and not one.begun]
            return list(dict.fromkeys([*told, *later])).index(asked.key) + 1

    def count(self, messages: Sequence[Message]) -> int:
        """See ``Engine.count``. Answered between two decode batches."""
        waiting = self._submit({"do": "count", "messages": orders.messages_to_message(messages)})
        try:
            answer = waiting.answers.get()
        finally:
            self._forget(waiting)
        if isinstance(answer, EngineError):
            raise answer
        assert isinstance(answer, int)  # noqa: S101  (nothing else answers a count)
        return answer

    def _submit(self, message: dict[str, Any], request: GenerationRequest | None = None) -> Waiting:
        with self._changed:
            if self._closed:
                raise _closed()
            self._keys += 1
            waiting = Waiting(key=self._keys, message={**message, "key": self._keys})
            if request is not None:
                waiting.id, waiting.adapter = request.id, request.adapter
                waiting.deadline = None if request.deadline_s is None else time.monotonic() + request.deadline_s
            self._waiting[waiting.key] = waiting
            if self._up:
                self._send(waiting.to_send())
            self._changed.notify_all()
        return waiting

    def _part(self, *, asleep: bool) -> None:
        assert self._child is not None  # noqa: S101  (only called while up)
        self._parting, self._asleep, self._up = True, asleep, False
        self._child.wire.close()

    def _forget(self, waiting: Waiting) -> None:
        with self._changed:
            self._used = time.monotonic()
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
            self._threads.begin()
            try:
                child = Child(_MODULE, environment=environment(self._threads.way), memory=address_space())
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
                self._ended(ending)
        with self._changed:
            self._fail_all(_closed())

    def _may_start(self) -> bool:
        """Wait as long as a start makes no sense; False when closed."""
        with self._changed:
            if self._deaths > 1 and self._failure is None:
                pause = min(2.0, 0.1 * 4 ** (self._deaths - 2))
                self._changed.wait_for(lambda: self._closed, timeout=pause)
            self._changed.wait_for(
                lambda: self._closed or self._waiting or (self._failure is None and not self._asleep)
            )
            self._failure, self._asleep = None, False
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
        self._risk = None
        match message["say"]:
            case "ready":
                self._loaded = Loaded.of(message)
                _log.info("%s is loaded: %s", self.model, self._loaded.offload)
                self._up = True
                self._used = time.monotonic()
                if self._slots is not None:
                    self._send({"do": "limit", "slots": self._slots})
                for waiting in self._waiting.values():
                    self._send(waiting.to_send())
                self._changed.notify_all()
            case "step":
                for item in message["items"]:
                    if item["key"] in self._waiting:  # otherwise cancelled meanwhile
                        self._take(self._waiting[item["key"]], item)
                self._line = tuple(message.get("line", self._line))
            case "risk":
                self._risk = (int(message["key"]), message["adapter"])

    def _take(self, waiting: Waiting, item: Mapping[str, Any]) -> None:
        if "so_far" in item:
            waiting.progress(item["so_far"])
        for raw in item.get("pieces", ()):
            waiting.streamed = True
            waiting.answers.put(piece_from_message(raw))
        if "usage" in item:
            self._finish(waiting, orders.usage_from_message(item["usage"]))
        elif "tokens" in item:
            self._finish(waiting, int(item["tokens"]))
        elif "error" in item:
            self._finish(waiting, orders.engine_error(item["error"]))

    def _finish(self, waiting: Waiting, answer: int | Usage | EngineError) -> None:
        del self._waiting[waiting.key]
        self._deaths = 0
        waiting.answers.put(answer)

    def _ended(self, ending: str) -> None:
        with self._changed:
            parting, self._parting = self._parting, False
            if parting:
                self._child, self._line, self._risk = None, (), None
                return
        self._died(ending)

    def _died(self, ending: str) -> None:
        with self._changed:
            self._child = None
            self._line = ()
            self._deaths += 1
            self.restarts += 1
            risk, self._risk = self._risk, None
            guilty = self._charge(*risk, ending) if risk is not None else False
            for waiting in list(self._waiting.values()):
                if waiting.streamed or (waiting.begun and waiting.tries and not guilty):
                    self._lose(waiting, f"The model's process {ending} while it answered.")
                elif waiting.begun:
                    waiting.begin_again()
                    waiting.tries += not guilty
            deaths = self._deaths
        if deaths >= MAX_DEATHS:
            self._give_up(
                EngineError(
                    f"The model's process {ending}, {deaths} times in a row.",
                    needed="A whole model, and memory enough for it, are needed.",
                    todo="Run fieldpost status; install the stick again if the model is damaged.",
                )
            )

    def _charge(self, key: int, adapter: str | None, ending: str) -> bool:
        """End the request that brought the process down; with an adapter, all that want it. True if there was one."""
        kind = EngineError if adapter is None else self._blame.note(adapter, ending)
        guilty = [w for w in self._waiting.values() if w.key == key or (adapter is not None and w.adapter == adapter)]
        for waiting in guilty:
            what = f"the adapter {adapter} was loaded" if adapter is not None else "the request was prepared"
            self._lose(waiting, f"The model's process {ending} when {what}.", kind)
        self._deaths -= bool(guilty)
        return bool(guilty)

    def _lose(self, waiting: Waiting, found: str, kind: type[EngineError] = EngineError) -> None:
        del self._waiting[waiting.key]
        waiting.answers.put(kind(found, todo="Ask again." if kind is EngineError else "Ask without it."))

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


def _closed() -> EngineError:
    return EngineError("The engine is closed.", todo="Start fieldpost again.")
