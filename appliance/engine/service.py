"""A loaded model at the end of a wire: hears requests, lets the batcher step, and tells what came of it.

One message a step, however many requests it concerned. What the messages are stands in ``worker``.
"""

import contextlib
import ctypes
import gc
import hashlib
import json
import os
import platform
import queue
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from appliance.child import Wire, error_to_message
from appliance.engine import orders, schedule
from appliance.engine.adapters import Adapters
from appliance.engine.batcher import Batcher, Outcome
from appliance.engine.context import KV_TYPE, Context
from appliance.engine.cost import ROUNDS, SIZES, CostCurve
from appliance.engine.llama import VERSION, Model
from appliance.engine.prefix import PrefixCache
from appliance.engine.protocol import GenerationRequest, Logprobs, Thinking
from appliance.engine.reading import read
from appliance.engine.spill import DiskSpill, Identity
from appliance.engine.template import ChatTemplate
from appliance.errors import EngineError
from appliance.exchange import Usage

BATCHES = (64, 128, 256)
"""Sizes of a decode batch that reads prompts while nobody's answer is written: the greatest that takes a second."""
PATIENCE_S = 1.0
CHUNK = 32
"""Prompt tokens in a decode batch while answers are being written. With 40 the others wait a fifth longer for their
next token, and a token costs 1 % less."""
MEGABYTE = 1 << 20
SMALL_MODEL_BYTES = 32 * MEGABYTE
TIMES_MODEL = 8
"""What is being read, and what was read before, each get at most so many times the model's own size, or the bytes
above: a small model reads again faster than it is worth keeping."""


class Service:
    """One loaded model, its batcher and its wire."""

    def __init__(
        self,
        wire: Wire,
        messages: "queue.SimpleQueue[dict[str, Any]]",
        order: Mapping[str, Any],
        *,
        confined: Sequence[str],
    ) -> None:
        """Load what the order names.

        Raises:
            EngineError: the model, its template or its context cannot be used.
        """
        self._wire = wire
        self._messages = messages
        self._confined = confined
        self._items: dict[int, dict[str, Any]] = {}
        self._line: tuple[int, ...] = ()
        self._worked = False
        self._order = order
        self._threads = order["threads"] or len(os.sched_getaffinity(0))
        self._model = model = Model(
            Path(order["model"]),
            gpu=order["gpu"],
            memory=order["memory_bytes"],
            tokens=order["slots"] * order["context"],
        )
        self._template = ChatTemplate(model.chat_template, bos=model.bos, eos=model.eos, control=model.control_texts())
        trained = model.context_trained
        self._size = min(order["context"] or trained, trained) if trained > 0 else order["context"]
        self._measured: dict[int, list[float]] = {}
        self._batcher = self._assemble(order)
        self._curve_file = self._name_curve_file(order)
        self._take_curve(self._kept_curve())

    def _assemble(self, order: Mapping[str, Any]) -> Batcher:
        model, slots = self._model, order["slots"]
        most = max(SMALL_MODEL_BYTES, TIMES_MODEL * model.bytes)
        fitting = min(order["memory_bytes"], most) // model.cell_bytes
        cells = max(self._size, min(slots * self._size, fitting))
        paths = {name: Path(path) for name, path in order["adapters"].items()}
        adapters = Adapters(paths, budget=order["adapter_bytes"], load=model.load_adapter, free=model.free_adapter)
        cut = not (model.recurrent or model.windowed)
        return Batcher(
            model=model,
            # One sequence and its cells more, for padding and measuring.
            context=Context(
                model, cells=cells + max(SIZES), sequences=slots + 1, threads=self._threads, batch=max(BATCHES)
            ),
            template=self._template,
            adapters=adapters,
            cache=PrefixCache(min(order["cache_bytes"], most), cut=cut, spill=self._spill(order)),
            room=schedule.Room(
                sequences=slots,
                cells=cells,
                adapter_bytes=order["adapter_bytes"],
                adapters={name: adapters.bytes(name) for name in paths},
            ),
            limits=schedule.Limits(batch=min(128, max(BATCHES)), chunk=CHUNK, mixed=not model.recurrent),
            size=self._size,
            tell=self._tell,
            warn=self._warn,
        )

    def _spill(self, order: Mapping[str, Any]) -> DiskSpill | None:
        if order["folder"] is None or not order["digest"] or not order["cache_bytes"]:
            return None
        runtime = f"{VERSION} {KV_TYPE} {_processor()}"
        identity = Identity(model=order["digest"], runtime=runtime, adapters=order["adapter_digests"])
        return DiskSpill(Path(order["folder"]) / "prefixes", identity, order["cache_bytes"])

    def run(self) -> None:
        """Answer until the process is ended."""
        self._wire.send(
            {
                "say": "ready",
                "context": self._size,
                "trained": self._model.context_trained,
                "description": self._model.description,
                "vocabulary": self._model.vocabulary_size,
                "slots": self._batcher.room.sequences,
                "cells": self._batcher.room.cells,
                "confined": list(self._confined),
                "offload": self._model.offload.words,
            }
        )
        while True:
            probe = self._next_probe()
            if self._batcher.idle:
                self._rest()
            self._hear(wait=self._batcher.idle and probe is None)
            if not self._batcher.idle:
                self._worked = True
                self._batcher.admit()
                self._flush()  # who has begun hears of it before a prompt of seconds is read
                self._batcher.step()
            elif probe is not None and not self._items:
                self._measure(probe)
            self._flush()

    def _rest(self) -> None:
        """Give back what the allocator keeps for later: nobody knows when that will be, and the box is small."""
        if self._worked:
            self._worked = False
            gc.collect()
            with contextlib.suppress(AttributeError):  # not every libc has it
                ctypes.CDLL(None).malloc_trim(0)

    # Hearing and telling.

    def _hear(self, *, wait: bool) -> None:
        while True:
            try:
                message = self._messages.get(block=wait)
            except queue.Empty:
                return
            wait = False
            match message["do"]:
                case "generate":
                    self._batcher.submit(message["key"], orders.request_from_message(message))
                case "cancel":
                    self._batcher.cancel(message["key"])
                    self._items.pop(message["key"], None)
                case "limit":
                    self._batcher.limit(message["slots"])
                case "count":
                    self._count(message["key"], message["messages"])

    def _count(self, key: int, messages: Sequence[Mapping[str, Any]]) -> None:
        asked = GenerationRequest(messages=orders.messages_from_message(messages), max_tokens=1)
        try:
            reading = read(asked, self._template, lambda text, special: self._model.tokenize(text, special=special))
        except EngineError as error:
            self._items[key] = {"error": error_to_message(error)}
        else:
            self._items[key] = {"tokens": len(reading.tokens)}

    def _tell(self, key: int, outcomes: Sequence[Outcome], so_far: Usage | None) -> None:
        item = self._items.setdefault(key, {})
        if so_far is not None:
            done = so_far
            item["so_far"] = [done.prompt_tokens, done.generated_tokens, done.cached_tokens, done.thinking_tokens]
        for outcome in outcomes:
            match outcome:
                case str():
                    item.setdefault("pieces", []).append(outcome)
                case Thinking():
                    item.setdefault("pieces", []).append({"thinking": outcome.text})
                case Logprobs():
                    item.setdefault("pieces", []).append({"logprobs": orders.logprobs_to_message(outcome)})
                case Usage():
                    item["usage"] = asdict(outcome)
                case EngineError():
                    item["error"] = error_to_message(outcome)

    def _warn(self, key: int, adapter: str | None) -> None:
        self._flush()
        self._wire.send({"say": "risk", "key": key, "adapter": adapter})

    def _flush(self) -> None:
        line = self._batcher.line
        message: dict[str, Any] = {"say": "step", "items": [{"key": key, **item} for key, item in self._items.items()]}
        if line != self._line:
            message["line"] = self._line = line
        elif not self._items:
            return
        self._items.clear()
        self._wire.send(message)

    # The cost curve: measured while nobody waits, a few milliseconds at a time.

    def _next_probe(self) -> int | None:
        if self._batcher.curve.seconds:
            return None
        if all(len(self._measured.get(size, ())) >= ROUNDS for size in SIZES):
            self._take_curve(CostCurve.of(self._measured))
            self._keep_curve()
            self._worked = True
            return None
        # Size by size within a round: what disturbs for a while disturbs all sizes alike.
        return min(SIZES, key=lambda size: (len(self._measured.get(size, ())), size))

    def _measure(self, size: int) -> None:
        self._measured.setdefault(size, []).append(self._batcher.probe(size) / self._threads)

    def _take_curve(self, curve: CostCurve | None) -> None:
        if curve is not None:
            self._batcher.curve = curve
            self._batcher.limits = schedule.Limits(
                batch=curve.within(PATIENCE_S, BATCHES), chunk=CHUNK, mixed=not self._model.recurrent
            )

    def _name_curve_file(self, order: Mapping[str, Any]) -> Path | None:
        if order["folder"] is None or not order["digest"]:
            return None
        about = json.dumps([order["digest"], VERSION, _processor(), self._threads, SIZES])
        return Path(order["folder"]) / f"cost-{hashlib.sha256(about.encode()).hexdigest()[:16]}.json"

    def _kept_curve(self) -> CostCurve | None:
        if self._curve_file is None:
            return None
        try:
            raw = json.loads(self._curve_file.read_bytes())
            return CostCurve(seconds={int(size): float(seconds) for size, seconds in raw.items()})
        except (OSError, ValueError, AttributeError, TypeError):
            return None

    def _keep_curve(self) -> None:
        if self._curve_file is not None:
            part = self._curve_file.with_suffix(".part")
            try:
                part.write_text(json.dumps(dict(self._batcher.curve.seconds)))
                part.replace(self._curve_file)
            except OSError:
                return  # measured again at the next start


def _processor() -> str:
    """The processor's name and features, as far as they decide what is computed and how fast."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    wanted = ("model name", "flags", "Features", "CPU part")
    return " ".join(dict.fromkeys(line.partition(":")[2].strip() for line in lines if line.startswith(wanted)))
