"""Requests in, pieces of answers out, many at once: carries out what ``schedule`` plans, step by step.

Knows nothing of processes and wires. One call of ``step`` is one decode batch; between two of them everything may
change: requests come and go, and nobody waits for them longer than a batch takes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from appliance.engine import schedule
from appliance.engine.adapters import Adapters
from appliance.engine.context import Context, Row
from appliance.engine.cost import CostCurve
from appliance.engine.generation import Extras, Generation, Vocabulary
from appliance.engine.grammar import Grammar
from appliance.engine.llama import Model
from appliance.engine.pieces import CLOSE, Pieces
from appliance.engine.prefix import PrefixCache, Saved
from appliance.engine.protocol import GenerationRequest, Piece
from appliance.engine.reading import Reading, read
from appliance.engine.sampling import Sampler, Sampling
from appliance.engine.template import ChatTemplate
from appliance.errors import EngineError
from appliance.exchange import Usage

Outcome = Piece | EngineError
Tell = Callable[[int, Sequence[Outcome], Usage | None], None]
"""Takes a request's key, what became of it since the last time, and what it has cost so far (None before it begins).
The last item of a request is a Usage or an error."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Request:
    """A request, from its arrival to its end."""

    key: int
    asked: GenerationRequest
    reading: Reading
    generation: Generation
    arrived: float
    sequence: int = -1
    """Of the context, once it runs."""
    prepared: bool = False
    """Whether what was read before has been put in its place."""
    began: float = 0.0
    first: float = 0.0
    cells: int = 0
    deadline: float | None = None

    @property
    def goes_on(self) -> bool:
        """Whether a named user's next turn may begin with this one."""
        return bool(self.asked.user) and self.asked.goes_on and self.asked.prompt is None

    @property
    def usage(self) -> Usage:
        now = time.perf_counter()
        done = self.generation
        return Usage(
            prompt_tokens=done.prompt_tokens,
            generated_tokens=done.generated_tokens,
            first_token_s=(self.first or now) - self.began if self.began else 0.0,
            total_s=now - self.began if self.began else 0.0,
            finish=done.finish or "cancelled",
            cached_tokens=done.cached_tokens,
            thinking_tokens=done.thinking_tokens,
        )


@dataclass(slots=True, kw_only=True)
class Batcher:
    """One model at work."""

    model: Model
    context: Context
    template: ChatTemplate
    adapters: Adapters
    cache: PrefixCache
    room: schedule.Room
    limits: schedule.Limits
    size: int
    """Tokens that one request's prompt and answer may use together."""
    tell: Tell
    warn: Callable[[int, str | None], None]
    """Called before something that might end the process: with the request's key, and the adapter if it is that."""
    curve: CostCurve = field(default_factory=CostCurve.unmeasured)
    _waiting: dict[int, _Request] = field(default_factory=dict)
    _running: dict[int, _Request] = field(default_factory=dict)
    _fairness: schedule.Fairness = field(default_factory=schedule.Fairness)
    _turns: schedule.Turns = field(default_factory=schedule.Turns)
    _end_of_thinking: tuple[int, ...] = ()
    _line: tuple[int, ...] | None = None
    """None when it must be found anew."""
    _slots: int | None = None
    """Answered at once at most; None is as many as the room has."""
    _moved: bool = False
    """Whether somebody came or went since the last admission."""

    def __post_init__(self) -> None:
        if self.template.thinks:
            self._end_of_thinking = tuple(self.model.tokenize(f"{CLOSE}\n\n", begin=False))

    @property
    def spare(self) -> int:
        """The sequence for padding and measuring."""
        return self.room.sequences

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._running

    @property
    def line(self) -> tuple[int, ...]:
        """Keys of the waiting requests, first served first."""
        if self._line is None:
            waiting = [self._as_waiting(one) for one in self._waiting.values()]
            self._line = tuple(one.key for one in schedule.line(waiting, self._as_running(), self._fairness))
        return self._line

    def submit(self, key: int, asked: GenerationRequest) -> None:
        """Take a request. What cannot be answered is told at once.

        Args:
            key: greater than all before.
        """
        try:
            request = self._take(key, asked)
        except EngineError as error:
            self.tell(key, [error], None)
        else:
            self._waiting[key] = request
            self._move()

    def cancel(self, key: int) -> None:
        """Forget a request, without a word about it."""
        if self._waiting.pop(key, None) is not None:
            self._move()
        if key in self._running:
            self._leave(self._running[key], keep=False)

    def limit(self, slots: int | None) -> None:
        """Answer at most so many at once from now on; None is as many as there is room for. Who has begun goes on."""
        self._slots = slots
        self._move()

    def admit(self) -> None:
        """End what is too late, and let begin who may."""
        self._expire()
        self._admit()

    def step(self) -> None:
        """Decode one batch, and tell what came of it."""
        self._prepare()
        held = self._held()
        planned = schedule.plan(
            [one for one in self._as_running() if one.key not in held], self._turns, self.curve, self.limits
        )
        if planned is None:
            return
        plan, self._turns = planned
        shares = [(self._running[key], count) for key, count in plan.shares]
        try:
            self._decode(plan, shares)
        except EngineError as error:
            for request, _ in shares:
                self._fail(request, error)
            return
        for request, count in shares:
            self._advance(request, count)

    def probe(self, size: int) -> float:
        """Seconds of processor time that a decode of so many tokens takes, of all threads. Only when idle.

        Not seconds on the clock: what else the machine does just then would be in the curve for good.
        """
        self.context.clear()
        self.context.use(None)
        began = time.process_time()
        self.context.decode([], padding=size, spare=self.spare)
        self.context.wait()
        return time.process_time() - began

    # What follows is in the order of a request's life.

    def _take(self, key: int, asked: GenerationRequest) -> _Request:
        most = self.size * self.model.longest_token
        tokenize = self.model.tokenize
        reading = read(asked, self.template, lambda text, special: tokenize(text, special=special), most=most)
        grammar = None
        if asked.response_schema is not None:
            self.warn(key, None)
            grammar = Grammar(self.model, asked.response_schema)
        generation = Generation(
            reading.tokens,
            context=self.size,
            max_tokens=asked.max_tokens,
            sampler=Sampler(Sampling.of(asked), reading.tokens),
            pieces=Pieces(asked.stop, thinks=reading.thinks and grammar is None, thinking=reading.thinking),
            vocabulary=Vocabulary(
                is_end=self.model.is_end, piece=self.model.piece, end_of_thinking=self._end_of_thinking
            ),
            extras=Extras(logprobs=asked.logprobs, thinking_tokens=asked.thinking_tokens, grammar=grammar),
            boundaries=reading.shared if self.cache.worth(len(reading.tokens)) else (),
        )
        now = time.perf_counter()
        return _Request(
            key=key,
            asked=asked,
            reading=reading,
            generation=generation,
            arrived=now,
            cells=generation.prompt_tokens + generation.room,
            deadline=None if asked.deadline_s is None else now + asked.deadline_s,
        )

    def _expire(self) -> None:
        now = time.perf_counter()
        for request in [*self._waiting.values(), *self._running.values()]:
            if request.deadline is None or now < request.deadline:
                continue
            if request.key in self._waiting:
                del self._waiting[request.key]
                self._move()
                waited = f"{now - request.arrived:.0f} s"
                self.tell(request.key, [EngineError(f"Nobody was free within {waited}.", todo="Ask again.")], None)
            else:
                rest = request.generation.end("deadline")
                self._leave(request, keep=False)
                self.tell(request.key, [*rest, request.usage], None)

    def _admit(self) -> None:
        if not self._moved:
            return
        self._moved, self._line = False, None
        waiting = [self._as_waiting(one) for one in self._waiting.values()]
        room = replace(self.room, sequences=min(self.room.sequences, self._slots or self.room.sequences))
        keys, self._fairness = schedule.admit(waiting, self._as_running(), self._fairness, room)
        for key in keys:
            if not self._running:
                self.context.clear()
            request = self._waiting.pop(key)
            used = {one.sequence for one in self._running.values()}
            request.sequence = next(n for n in range(self.room.sequences) if n not in used)
            request.began = time.perf_counter()
            self._running[key] = request
            self.tell(key, [], request.usage)
            try:
                self._load_adapter(request)
            except EngineError as error:
                self._fail(request, error)

    def _load_adapter(self, request: _Request) -> None:
        name = request.asked.adapter
        if name is None or self.adapters.is_loaded(name):
            return
        self.context.use(None)  # the one in use may have to go
        self.warn(request.key, name)
        self.adapters.get(name, in_use=[one.asked.adapter for one in self._running.values() if one is not request])

    def _prepare(self) -> None:
        """Put what was read before in its place, for all that begin now."""
        held = self._held()
        for request in self._running.values():
            if request.prepared or request.key in held:
                continue
            request.prepared = True
            # What a seed must repeat bit by bit is restored only where its own decoding would have paused.
            only_at = request.generation.boundaries if request.asked.seed is not None else None
            asked = request.asked
            found = self.cache.find(request.reading.tokens, adapter=asked.adapter, user=asked.user, only_at=only_at)
            if found is None or not self.context.restore(request.sequence, found.state):
                continue
            if found.whole or self.context.cut(request.sequence, found.tokens):
                request.generation.restored(found.tokens)
            else:
                self.context.drop(request.sequence)

    def _held(self) -> set[int]:
        """Requests that had better wait while another reads what they share with it."""
        held: set[int] = set()
        reading: list[_Request] = []
        for request in self._running.values():
            if not request.prepared and any(_reads_the_same(other, request) for other in reading):
                held.add(request.key)
            elif not request.generation.writing:
                reading.append(request)
        return held

    def _decode(self, plan: schedule.Plan, shares: Sequence[tuple[_Request, int]]) -> None:
        self.context.use(None if plan.adapter is None else self.adapters.get(plan.adapter))
        rows = []
        for request, count in shares:
            done = request.generation
            tokens = done.tokens[done.position : done.position + count]
            last = done.position + count == len(done.tokens)
            rows.append(Row(sequence=request.sequence, tokens=tokens, position=done.position, scores=last))
        scored = self.curve.fill(sum(row.scores for row in rows), self.limits.fill)
        self.context.decode(rows, padding=plan.padding, spare=self.spare, scored=scored)

    def _advance(self, request: _Request, count: int) -> None:
        done = request.generation
        ready = done.decoded(count)
        if done.position in done.boundaries:
            self._save(request, owner=None)
        elif self.model.recurrent and done.position == done.prompt_tokens and request.goes_on:
            # The end of the answer may be rendered otherwise in the next turn, and this state cannot be cut back.
            self._save(request, owner=request.asked.user)
        if not ready:
            return
        pieces: list[Outcome] = [*done.take(self.context.scores(request.sequence))]
        request.first = request.first or time.perf_counter()
        if done.finish is not None:
            self._leave(request, keep=True)
            pieces.append(request.usage)
        self.tell(request.key, pieces, request.usage)

    def _save(self, request: _Request, *, owner: str | None) -> None:
        tokens = request.generation.tokens[: request.generation.position]
        adapter = request.asked.adapter
        if self.cache.worth(len(tokens)) and not self.cache.holds(tokens, adapter=adapter, owner=owner):
            state = self.context.save(request.sequence)
            self.cache.save(Saved(adapter=adapter, owner=owner, tokens=np.asarray(tokens, np.int32), state=state))

    def _leave(self, request: _Request, *, keep: bool) -> None:
        """Give the sequence back, keeping what a named user's next turn will begin with."""
        if keep and request.goes_on:
            self._save(request, owner=request.asked.user)
        del self._running[request.key]
        self._move()
        self.context.drop(request.sequence)

    def _fail(self, request: _Request, error: EngineError) -> None:
        del self._running[request.key]
        self._move()
        self.context.drop(request.sequence)
        self.tell(request.key, [error], None)

    def _move(self) -> None:
        self._moved, self._line = True, None

    def _as_running(self) -> list[schedule.Running]:
        return [
            schedule.Running(
                key=one.key,
                user=one.asked.user,
                adapter=one.asked.adapter,
                cells=one.cells,
                due=one.generation.due,
                writing=one.generation.writing,
            )
            for one in self._running.values()
        ]

    def _as_waiting(self, one: _Request) -> schedule.Waiting:
        return schedule.Waiting(key=one.key, user=one.asked.user, adapter=one.asked.adapter, cells=one.cells)


def _reads_the_same(other: _Request, request: _Request) -> bool:
    """Whether ``other`` will soon have read, for everybody, what ``request`` begins with."""
    if other.asked.adapter != request.asked.adapter:
        return False
    ahead = next((b for b in other.generation.boundaries if b > other.generation.position), None)
    return ahead is not None and other.reading.tokens[:ahead] == request.reading.tokens[:ahead]
