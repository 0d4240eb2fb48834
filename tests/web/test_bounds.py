"""Tests of appliance.web.bounds: bodies that are too large or too slow."""

import asyncio

import pytest

from appliance.web import bounds
from appliance.web.bounds import Bounds, bounded


async def reads_all(scope, receive, send):
    """An app that reads the whole body, and takes trouble for a client that went away, as a framework does."""
    length = 0
    status = 200
    try:
        while True:
            message = await receive()
            length += len(message.get("body", b""))
            if not message.get("more_body"):
                break
    except Exception:
        status = 400
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


def answer(pieces, *, headers=(), most=100, within=5.0):
    """The status and text for a body that comes in these pieces; a number is a pause in seconds."""
    sent = []
    coming = iter(pieces)

    async def receive():
        for piece in coming:
            if isinstance(piece, bytes):
                return {"type": "http.request", "body": piece, "more_body": True}
            await asyncio.sleep(piece)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "headers": [(k.encode(), v.encode()) for k, v in headers]}
    asyncio.run(bounded(reads_all, scope, receive, send, Bounds(most_bytes=most, within_s=within)))
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent).decode()


def test_a_body_within_bounds_comes_whole():
    assert answer([b"a" * 60, b"b" * 40]) == (200, "100")


def test_one_that_says_it_is_too_large_is_not_read():
    status, words = answer([b"a"], headers=[("content-length", "101")])
    assert status == 413
    assert "at most 100 bytes" in words


@pytest.mark.parametrize("length", ["-5x", "1e9", "99999999999999999999"])
def test_one_that_lies_about_its_size_is_refused(length):
    assert answer([b"a"], headers=[("content-length", length)])[0] == 413


def test_one_that_does_not_say_is_cut_off():
    assert answer([b"a" * 60] * 1000)[0] == 413


def test_one_that_drips_is_cut_off_at_its_time():
    status, words = answer([piece for _ in range(100) for piece in (b"a", 0.05)], within=0.3)
    assert status == 408
    assert "too slowly" in words


def test_one_that_pauses_too_long_is_cut_off(monkeypatch):
    monkeypatch.setattr(bounds, "PAUSE_S", 0.1)
    assert answer([b"a", 5.0, b"b"], within=60)[0] == 408
