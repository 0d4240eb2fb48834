"""The box's link to whatever answers at the hub's address: no reply crashes it, fills its memory, or is believed."""

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance.errors import BatchRefused, FieldpostError, SyncError
from appliance.sync.transport import HubLink
from appliance.sync.wire import MAX_MESSAGE

SHA = "a" * 64


@contextmanager
def answering(reply: bytes, *, endless: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """A server that says the same to everybody, and keeps what it was asked."""
    asked: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link:
                try:
                    asked.append(link.recv(65536))
                    link.sendall(reply)
                    while endless:
                        link.sendall(b"x" * 65536)
                    link.shutdown(socket.SHUT_WR)
                    while link.recv(65536):
                        pass
                except OSError:
                    pass  # the box has heard enough

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)
    assert not thread.is_alive()


def ok(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Connection: close", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize("offset", [b"\xb2", b"\xc2\xb2", "٣".encode(), b"", b"-1", b"1e3", b"9" * 5000, b"101"])
def test_an_offset_that_is_no_number_of_bytes_is_refused(offset: bytes) -> None:
    reply = ok(b"", b"Upload-Offset: " + offset)
    with (
        answering(reply) as (url, _),
        HubLink(url) as link,
        pytest.raises(BatchRefused, match="with the offset"),
    ):
        link.send(SHA, bytes(100), tried=True)


def test_nothing_packed_is_asked_for_and_nothing_is_unpacked() -> None:
    packed = gzip.compress(bytes(1000))
    for body in (packed, b"not packed at all"):
        with answering(ok(body, b"Content-Encoding: gzip")) as (url, asked), HubLink(url) as link:
            assert link.introduce(b"hello") == body
            assert b"accept-encoding: identity\r\n" in asked[0].lower()


def test_an_endless_reply_is_cut_off() -> None:
    with (
        answering(ok(b""), endless=True) as (url, _),
        HubLink(url) as link,
        pytest.raises(BatchRefused, match="too long for a receipt"),
    ):
        link.introduce(b"hello")
    with answering(ok(b"x" * MAX_MESSAGE)) as (url, _), HubLink(url) as link:
        assert len(link.introduce(b"hello")) == MAX_MESSAGE


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_what_is_no_reply_is_a_hub_that_is_away(reply: bytes) -> None:
    with answering(reply) as (url, _), HubLink(url, wait=lambda _: 0) as link:
        with pytest.raises(SyncError, match="does not answer"):
            link.introduce(b"hello")
        with pytest.raises((SyncError, BatchRefused)):  # the head of the third is one, and names no offset
            link.send(SHA, b"batch", tried=False)


@pytest.mark.parametrize("url", ["http://[::1", "http://hub:99999", "http://hub:port", "http://\0", "ftp://hub", ""])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(SyncError, match="does not answer"), HubLink(url) as link:
        link.introduce(b"hello")


def test_a_refusal_cannot_write_to_the_terminal() -> None:
    with (
        answering(ok(b"no\x1b[2J\xff", status=b"403 No")) as (url, _),
        HubLink(url) as link,
        pytest.raises(FieldpostError, match="refuses: no") as told,
    ):
        link.introduce(b"hello")
    assert "\x1b" not in str(told.value)
