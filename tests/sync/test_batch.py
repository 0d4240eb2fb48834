"""A batch says what was sealed, to those it was sealed for, and nothing if a single byte differs."""

import struct

import pyrage
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import BatchRefused
from appliance.log import chain
from appliance.log.chain import GENESIS, Record
from appliance.sync import batch
from appliance.sync.wire import box_name, public_bytes

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BOX = box_name(public_bytes(KEY))
HUB = pyrage.x25519.Identity.generate()
RECOVERY = pyrage.x25519.Identity.generate()
JSON = st.dictionaries(st.text(max_size=8), st.one_of(st.text(), st.integers(), st.booleans(), st.none()), max_size=4)


def chained(bodies, *, stream="chat", egress=True, previous=GENESIS, first=1, wall_ms=0):
    records = []
    for seq, body in enumerate(bodies, start=first):
        raw, salt = chain.canonical(body), bytes(chain.salt_bytes(stream, egress))
        commitment = chain.commitment(salt, raw)
        digest = chain.link(previous, stream, seq, 1, seq * 10, wall_ms, commitment)
        records.append(
            Record(
                stream=stream,
                seq=seq,
                boot=1,
                mono_ms=seq * 10,
                wall_ms=wall_ms,
                egress=egress,
                salt=salt,
                body=raw,
                commitment=commitment,
                hash=digest,
            )
        )
        previous = digest
    return records


def sealed(records, *, key=KEY, previous=GENESIS, recipients=(HUB, RECOVERY), box=BOX):
    texts = [str(identity.to_public()) for identity in recipients]
    return batch.seal(records, box=box, epoch=1, previous=previous, key=key, recipients=texts)


def opened(data, *, identity=HUB, keys=None):
    known = {BOX: public_bytes(KEY)} if keys is None else keys
    return batch.open_batch(data, key_of=known.get, identity=str(identity))


@settings(max_examples=50)
@given(st.lists(JSON, min_size=1, max_size=6), st.integers(-(10**12), 10**13))
def test_what_was_sealed_is_what_is_opened(bodies, wall_ms):
    records = chained(bodies, wall_ms=wall_ms)
    for identity in (HUB, RECOVERY):
        assert list(opened(sealed(records), identity=identity).records) == records


def test_a_withheld_body_is_nowhere_in_the_batch_and_the_chain_still_holds():
    records = chained([{"secret": "the nurse's note"}], egress=False)
    (record,) = opened(sealed(records)).records
    assert (record.body, record.salt, record.hash) == (None, b"", records[0].hash)


def test_every_flipped_bit_is_refused_before_anything_is_decrypted(monkeypatch):
    data = sealed(chained([{"q": 1}, {"q": 2}]))

    class Untouched:
        def __getattr__(self, name):
            raise AssertionError("something was decrypted before the signature was checked")

    monkeypatch.setattr(batch, "pyrage", Untouched())
    for place in range(len(data)):
        bad = bytearray(data)
        bad[place] ^= 1 << (place % 8)
        with pytest.raises(BatchRefused):
            opened(bytes(bad))


def test_every_cut_is_refused():
    data = sealed(chained([{"q": 1}]))
    for length in range(len(data)):
        with pytest.raises(BatchRefused):
            opened(data[:length])


def test_a_batch_of_an_unknown_box_or_under_anothers_name_is_refused():
    data = sealed(chained([{"q": 1}]))
    with pytest.raises(BatchRefused, match="not enrolled"):
        opened(data, keys={})
    other = Ed25519PrivateKey.generate()
    with pytest.raises(BatchRefused, match="not signed by"):
        opened(sealed(chained([{"q": 1}]), key=other))


def test_a_batch_for_another_hub_is_refused():
    with pytest.raises(BatchRefused, match="another hub"):
        opened(sealed(chained([{"q": 1}])), identity=pyrage.x25519.Identity.generate())


def resealed(lines, *, first=1, n=1, pack=None):
    """What a box with a good key and bad intent can make: any content, well signed."""
    header = struct.pack(">4sBBBxIQI24s", b"FPSB", 1, 1, 4, 1, first, n, BOX.encode())
    packed = (pack or zstandard.ZstdCompressor().compress)(lines)
    unsigned = header + pyrage.encrypt(packed, [HUB.to_public()])
    return unsigned + KEY.sign(batch._to_sign(unsigned))


def lines_of(data):
    content = data[48:-64]
    return zstandard.ZstdDecompressor().decompressobj().decompress(pyrage.decrypt(content, [HUB]))


def test_the_header_inside_must_be_the_one_outside():
    lines = lines_of(sealed(chained([{"q": 1}])))
    assert opened(resealed(lines)).header.first == 1
    with pytest.raises(BatchRefused, match="header inside"):
        opened(resealed(lines, first=2))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"q":1}', b'{"q":2}'),
        (b'{"q":1}', b"[1]"),
        (b'{"q":1}', b"{"),
        (b"[1,10,0,", b"[1,11,0,"),
        (b"[1,10,0,", b"[1,1e9,0,"),
        (b"[1,10,0,", b"[99999999999999999999999,10,0,"),
        (b'"head":"', b'"head":"A'),
        (b"\n", b"\n\n"),
        (b"[1,", b"1,"),
    ],
)
def test_signed_nonsense_is_refused_in_words(old, new):
    lines = lines_of(sealed(chained([{"q": 1}])))
    assert old in lines
    with pytest.raises(BatchRefused, match="cannot be read"):
        opened(resealed(lines.replace(old, new, 1)))


def test_a_bomb_is_refused():
    with pytest.raises(BatchRefused, match="more than"):
        opened(resealed(bytes(batch.MAX_LINES + 1)))


def test_deeply_nested_json_is_refused():
    lines = lines_of(sealed(chained([{"q": 1}])))
    with pytest.raises(BatchRefused):
        opened(resealed(lines.replace(b'{"q":1}', b"[" * 200_000)))


def test_two_hundred_chat_records_take_few_bytes_each():
    words = ["boil", "the", "water", "one", "minute", "cool", "cover", "clean", "pot", "river", "well", "rain", "child"]
    bodies = [
        {
            "id": f"{n * 7919:032x}",
            "lang": "sw",
            "question": " ".join(words[(n * k) % len(words)] for k in range(1, 40)),
            "answer": " ".join(words[(n + k * k) % len(words)] for k in range(60)),
        }
        for n in range(200)
    ]
    data = sealed(chained(bodies))
    assert len(data) / 200 < 400
