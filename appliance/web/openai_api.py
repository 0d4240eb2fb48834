"""An API for other programs on the site's network, in OpenAI's shapes: ``/v1/models``, chat, completions, embeddings.

Off until somebody makes a key (``fieldpost keys new``). It asks the model itself: no documents, no translation, and
nothing of what is asked or answered is recorded, only that it was. What a box does not offer is refused in words.
"""

import array
import asyncio
import base64
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ValidationError

from appliance.accounts.keys import Keys
from appliance.box import Box
from appliance.engine.embedding import MOST_CHARACTERS
from appliance.engine.protocol import Engine, GenerationRequest, Piece
from appliance.errors import (
    AdapterError,
    EngineError,
    FieldpostError,
    LogError,
    Paused,
    PromptTooLong,
    ReleaseError,
    RequestRefused,
)
from appliance.exchange import AUTO, Usage
from appliance.web.openai_answers import ChatAnswer, PlainAnswer, cost_of, model_card
from appliance.web.openai_requests import ChatRequest, CompletionRequest, EmbeddingRequest, NotOffered

MOST_AT_ONCE = 32
"""Requests in progress; the next one is told to come back, as OpenAI's clients do by themselves."""
MOST_BYTES = 4 << 20
"""Of a request's body."""
LOOK_EVERY_S = 0.25
"""Between two looks whether the client of an answer that does not stream is still there."""

Shape = TypeVar("Shape", bound=BaseModel)
T = TypeVar("T")
Pieces = AsyncGenerator[Piece, None]
_NOBODY = Response(status_code=499)
"""To a client that is gone."""


class Refusal(Exception):
    """An answer in OpenAI's shape of an error."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        if status == 429:
            kind = "rate_limit_error"
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        super().__init__(message)

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, {"Retry-After": "5"} if self.status in (429, 503) else None)


def routes(box: Box, keys: Keys) -> APIRouter:
    """All of ``/v1``."""
    router = APIRouter(prefix="/v1")
    engine = box.pipeline.engine
    pool = ThreadPoolExecutor(max_workers=MOST_AT_ONCE, thread_name_prefix="api")
    running = threading.Semaphore(MOST_AT_ONCE)
    base = _base(box)
    embedder, embedding = box.embedder, box.release.embedder
    answering_ones = [base, *(f"{base}:{name}" for name in box.release.adapters)] if base else []
    models = [*answering_ones, *([embedding.name] if embedding else [])]

    def answering(path: str, handler: Callable[..., Awaitable[Response]], methods: list[str]) -> None:
        async def endpoint(request: Request) -> Response:
            try:
                return await handler(request, owner(request, keys), **request.path_params)
            except Refusal as refusal:
                return refusal.response()
            except FieldpostError as error:
                return _refusal(error).response()

        router.add_api_route(path, endpoint, methods=methods, response_model=None)

    async def list_models(request: Request, user: str) -> Response:
        return JSONResponse({"object": "list", "data": [model_card(name) for name in models]})

    async def show_model(request: Request, user: str, name: str) -> Response:
        if name not in models:
            name = _name(base, _adapter(name, base, models))  # the one that would answer in its place
        if not name:
            raise Refusal(404, "This box has no model.", param="model", code="model_not_found")
        return JSONResponse(model_card(name))

    async def chat(request: Request, user: str) -> Response:
        asked = await _read(request, ChatRequest)
        adapter = allowed(asked.model)
        return await respond(request, asked, ChatAnswer(_generation(asked, adapter, user), _name(base, adapter)))

    async def complete(request: Request, user: str) -> Response:
        asked = await _read(request, CompletionRequest)
        adapter = allowed(asked.model)
        return await respond(request, asked, PlainAnswer(_generation(asked, adapter, user), _name(base, adapter)))

    def allowed(name: str) -> str | None:
        adapter = _adapter(name, base, models)
        box.check(lang=AUTO, adapter=adapter)  # it may have been taken back since this box was opened
        return adapter

    async def respond(
        request: Request, asked: ChatRequest | CompletionRequest, answer: ChatAnswer | PlainAnswer
    ) -> Response:
        if not running.acquire(blocking=False):
            raise _full()
        pieces = _pieces(engine, answer.request, pool, running)
        if asked.stream:
            # Until the first piece is there a refusal still has its status.
            first = await _unless_gone(request, _first(pieces))
            if first is None:
                await pieces.aclose()
                return _NOBODY
            lines = _stream(answer, first, pieces, spent, told=asked.wants_usage)
            return StreamingResponse(lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        gathered = await _unless_gone(request, _gather(answer, pieces))
        if gathered is None:
            return _NOBODY
        whole, cost = gathered
        await run_in_threadpool(spent, cost)
        return JSONResponse(whole)

    def spent(cost: Usage) -> None:
        body = {
            "v": 1,
            "event": "api",
            "prompt_tokens": cost.prompt_tokens,
            "generated_tokens": cost.generated_tokens,
            "finish": cost.finish,
        }
        with suppress(LogError):  # a full disk must not cost the answer
            box.log.append("metric", body)

    async def embed(request: Request, user: str) -> Response:
        asked = await _read(request, EmbeddingRequest)
        if embedder is None or embedding is None:
            raise Refusal(404, "This bundle has no embedding model.", param="model", code="model_not_found")
        if asked.dimensions is not None:
            words = "Vectors have the model's own length."
            raise Refusal(400, words, param="dimensions", code="unsupported_parameter")
        try:
            texts = asked.texts()
        except NotOffered as error:
            raise Refusal(400, str(error), param=error.param, code="unsupported_parameter") from error
        if (longest := max(map(len, texts))) > MOST_CHARACTERS:
            raise _too_long(f"A text has {longest} characters, and at most {MOST_CHARACTERS} are looked at.")
        if not running.acquire(blocking=False):
            raise _full()
        try:
            found = await asyncio.get_running_loop().run_in_executor(pool, embedder.counted, texts)
        finally:
            running.release()
        if (most := max(found.tokens)) > found.longest:
            raise _too_long(f"A text has {most} tokens, and the model reads {found.longest}.")
        data = [
            {"object": "embedding", "index": number, "embedding": _vector(vector, asked.encoding_format)}
            for number, vector in enumerate(found.vectors)
        ]
        cost = {"prompt_tokens": sum(found.tokens), "total_tokens": sum(found.tokens)}
        return JSONResponse({"object": "list", "model": embedding.name, "data": data, "usage": cost})

    async def other(request: Request, user: str, path: str) -> Response:
        raise Refusal(404, f"{request.method} /v1/{path} is not offered by this box.", code="unknown_url")

    answering("/models", list_models, ["GET"])
    answering("/models/{name:path}", show_model, ["GET"])
    answering("/chat/completions", chat, ["POST"])
    answering("/completions", complete, ["POST"])
    answering("/embeddings", embed, ["POST"])
    answering("/{path:path}", other, ["GET", "POST", "PUT", "PATCH", "DELETE"])
    return router


def owner(request: Request, keys: Keys) -> str:
    """Whose key the request carries.

    Raises:
        Refusal: none, or an unknown one, or the API is off.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    name = keys.owner(secret.strip()) if scheme.lower() == "bearer" else None
    if name is not None:
        return name
    if not keys.all():
        raise Refusal(
            401, "The API of this box is off. Its administrator makes a key: fieldpost keys new NAME", code="api_off"
        )
    raise Refusal(401, "No valid key. Send one as: Authorization: Bearer KEY", code="invalid_api_key")


async def _pieces(
    engine: Engine, request: GenerationRequest, pool: ThreadPoolExecutor, running: threading.Semaphore
) -> Pieces:
    """The engine's pieces, read by a thread of their own; leaving this iterator cancels the generation."""
    loop = asyncio.get_running_loop()
    came: asyncio.Queue[Piece | FieldpostError | None] = asyncio.Queue()
    left = threading.Event()

    def tell(item: Piece | FieldpostError | None) -> None:
        with suppress(RuntimeError):  # the server is closing
            loop.call_soon_threadsafe(came.put_nowait, item)

    def read() -> None:
        try:
            if not left.is_set():
                for piece in engine.generate(request):
                    tell(piece)
                    if left.is_set():
                        break
        except FieldpostError as error:
            tell(error)
        finally:
            running.release()
            tell(None)

    pool.submit(read)
    try:
        while (item := await came.get()) is not None:
            if isinstance(item, FieldpostError):
                raise _refusal(item) from item
            yield item
    finally:
        left.set()
        engine.cancel(request.id)


async def _first(pieces: Pieces) -> Piece:
    try:
        return await anext(pieces)
    except StopAsyncIteration as error:
        raise Refusal(500, "The model said nothing.") from error


async def _stream(
    answer: ChatAnswer | PlainAnswer,
    first: Piece,
    pieces: Pieces,
    spent: Callable[[Usage], None],
    *,
    told: bool,
) -> AsyncIterator[str]:
    def event(body: Any) -> str:
        return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"

    try:
        for chunk in answer.begin():
            yield event(chunk)
        piece: Piece | None = first
        while piece is not None:
            if isinstance(piece, Usage):
                for chunk in answer.end(piece):
                    yield event(chunk)
                if told:
                    yield event(answer.frame([], kind=answer.chunk, usage=cost_of(piece)))
                await run_in_threadpool(spent, piece)
                break
            for chunk in answer.add(piece):
                yield event(chunk)
            piece = await anext(pieces, None)
    except Refusal as refusal:
        yield event(refusal.body)
        return
    finally:
        await pieces.aclose()
    yield "data: [DONE]\n\n"


async def _gather(answer: ChatAnswer | PlainAnswer, pieces: Pieces) -> tuple[dict[str, Any], Usage]:
    try:
        async for piece in pieces:
            if isinstance(piece, Usage):
                return answer.whole(piece), piece
            answer.keep(piece)
    finally:
        await pieces.aclose()
    raise Refusal(500, "The model ended without an answer.")


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What ``work`` comes to; None, and an end to it, when the client goes away meanwhile."""
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=LOOK_EVERY_S)
            if not task.done() and await request.is_disconnected():
                return None
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError, Refusal):
                await task


async def _read(request: Request, shape: type[Shape]) -> Shape:
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BYTES:
            raise Refusal(413, f"A request has at most {MOST_BYTES} bytes.")
    try:
        return shape.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        code = "unknown_parameter" if first["type"] == "extra_forbidden" else None
        raise Refusal(400, f"{param or 'The body'}: {first['msg']}.", param=param, code=code) from error


def _generation(asked: ChatRequest | CompletionRequest, adapter: str | None, user: str) -> GenerationRequest:
    try:
        return asked.generation(adapter, user)
    except NotOffered as error:
        raise Refusal(400, str(error), param=error.param, code="unsupported_parameter") from error


def _too_long(words: str) -> Refusal:
    return Refusal(400, f"{words} Cut it into pieces.", param="input", code="context_length_exceeded")


def _full() -> Refusal:
    return Refusal(429, f"{MOST_AT_ONCE} requests are being answered.", code="rate_limit_exceeded")


def _base(box: Box) -> str:
    """The model's name; empty on a box that has none and answers from its documents alone."""
    try:
        return box.release.model.name
    except ReleaseError:
        return ""


def _adapter(name: str, base: str, models: Sequence[str]) -> str | None:
    """The adapter that a model's name stands for.

    Many programs have a name such as ``gpt-4o`` built in, so a name that is nobody's gets the box's model, and the
    answer says which one that is. A name that asks for an adapter must be right.
    """
    if ":" in name:
        if name not in models or not name.startswith(f"{base}:"):
            raise _no_model(name, models)
        return name.removeprefix(f"{base}:")
    return None


def _name(base: str, adapter: str | None) -> str:
    return f"{base}:{adapter}" if adapter else base


def _no_model(name: str, models: Sequence[str]) -> Refusal:
    return Refusal(
        404, f"There is no model {name!r}. There are: {', '.join(models)}.", param="model", code="model_not_found"
    )


def _refusal(error: FieldpostError) -> Refusal:
    if isinstance(error, PromptTooLong):
        return Refusal(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, AdapterError):
        return Refusal(404, str(error), param="model", code="model_not_found")
    if isinstance(error, RequestRefused):
        return Refusal(400, str(error))
    if isinstance(error, EngineError | Paused):
        return Refusal(503, str(error), code="engine_unavailable")
    return Refusal(500, str(error))


def _vector(vector: Sequence[float], encoding: str) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(array.array("f", vector).tobytes()).decode()
    return [float(value) for value in vector]
