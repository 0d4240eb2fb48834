"""Tokens, introductions and receipts: what is not whole or not signed is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.errors import BatchRefused, SyncError
from appliance.sync import wire

BOX_KEY, HUB_KEY, SECRET = (Ed25519PrivateKey.generate() for _ in range(3))
BOX = wire.box_name(wire.public_bytes(BOX_KEY))
TOKEN = wire.Token(
    id="t1", name="Kisumu", url="https://hub.example.org", hub=wire.b64(wire.public_bytes(HUB_KEY)),
    recipient="age1x", recovery=("age1y",), secret=wire.b64(SECRET.private_bytes_raw()),
)  # fmt: skip
RECEIPT = wire.Receipt(box=BOX, epoch=1, ack={"chat": 7}, heads={"chat": bytes(32)}, hub_time_ms=5)


def test_a_token_is_one_line_and_comes_back():
    line = wire.write_token(TOKEN)
    assert line.split() == [line]
    assert wire.read_token(f"  {line[:40]}\n{line[40:]} ") == TOKEN


def test_a_token_with_any_letter_changed_or_missing_is_refused():
    line = wire.write_token(TOKEN)
    for place in range(0, len(line), 7):
        for bad in (line[:place] + ("A" if line[place] != "A" else "B") + line[place + 1 :], line[:place]):
            with pytest.raises(SyncError, match="no enrolment token"):
                wire.read_token(bad)


def test_an_introduction_proves_the_token_and_the_key():
    data = wire.write_introduction("t1", SECRET.private_bytes_raw(), BOX_KEY)
    said = wire.read_introduction(data)
    assert (said.box, said.token) == (BOX, "t1")
    assert wire.proven(said, wire.public_bytes(SECRET))
    assert not wire.proven(said, wire.public_bytes(HUB_KEY))
    for place in range(len(data)):
        bad = bytearray(data)
        bad[place] ^= 2
        try:
            said = wire.read_introduction(bytes(bad))
        except BatchRefused:
            continue
        assert not wire.proven(said, wire.public_bytes(SECRET))


def test_a_receipt_holds_only_whole_from_this_hub_and_for_this_box():
    data = wire.write_receipt(RECEIPT, HUB_KEY)
    hub = wire.public_bytes(HUB_KEY)
    assert wire.read_receipt(data, hub, box=BOX, epoch=1) == RECEIPT
    for place in range(len(data)):
        bad = bytearray(data)
        bad[place] ^= 1
        with pytest.raises(BatchRefused):
            wire.read_receipt(bytes(bad), hub, box=BOX, epoch=1)
    with pytest.raises(BatchRefused, match="not signed by this box's hub"):
        wire.read_receipt(wire.write_receipt(RECEIPT, BOX_KEY), hub, box=BOX, epoch=1)
    with pytest.raises(BatchRefused, match="is for"):
        wire.read_receipt(data, hub, box="box-aaaaaaaaaaaaaaaa", epoch=1)
