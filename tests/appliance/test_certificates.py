"""Tests of appliance.certificates: what a phone that trusts the box's authority believes, and what it does not."""

import ipaddress
import socket
import ssl
import threading
from datetime import UTC, datetime

import pytest
from cryptography import x509

from appliance.certificates import Certificates, _make_leaf, ready_certificates
from appliance.errors import ConfigError

NOW = datetime(2026, 11, 24, tzinfo=UTC)
NAMES = ["localhost", "fieldpost.local", "box7.local", "box7", "bank.example"]
ADDRESSES = ["192.168.4.1", "127.0.0.1", "8.8.8.8"]


@pytest.fixture
def made(tmp_path) -> Certificates:
    return ready_certificates(tmp_path / "c", NAMES, ADDRESSES, now=NOW)


def handshake(made: Certificates, name: str, *, trusted: bytes | None = None) -> None:
    """What a client does that trusts this authority and asked for ``name``; ssl.SSLError if it would warn."""
    phone = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(trusted or made.authority))
    ours, theirs = socket.socketpair()

    def answer() -> None:
        try:
            with made.context().wrap_socket(ours, server_side=True):
                pass
        except (OSError, ssl.SSLError):
            ours.close()

    server = threading.Thread(target=answer)
    server.start()
    try:
        with phone.wrap_socket(theirs, server_hostname=name):
            pass
    finally:
        theirs.close()
        server.join()


@pytest.mark.parametrize("name", ["fieldpost.local", "box7.local", "localhost", "192.168.4.1", "127.0.0.1"])
def test_a_phone_that_trusts_the_authority_believes_the_box(made, name):
    handshake(made, name)


@pytest.mark.parametrize("name", ["bank.example", "8.8.8.8", "10.1.1.1"])
def test_the_box_is_nobody_else(made, name):
    with pytest.raises(ssl.SSLError):
        handshake(made, name)


def test_a_stranger_does_not_believe_it(made, tmp_path):
    other = ready_certificates(tmp_path / "other", NAMES, ADDRESSES, now=NOW)
    with pytest.raises(ssl.SSLError):
        handshake(made, "fieldpost.local", trusted=other.authority)


def test_a_stolen_authority_cannot_speak_for_the_rest_of_the_world(made):
    _make_leaf(made.folder, [x509.DNSName("bank.example")], NOW)  # as a thief with its key would
    with pytest.raises(ssl.SSLError, match="permitted subtree"):
        handshake(made, "bank.example")


def test_keys_are_the_boxes_users_alone(made):
    assert {path.stat().st_mode & 0o777 for path in made.folder.iterdir()} == {0o600}
    assert made.folder.stat().st_mode & 0o777 == 0o700


def certificate(made: Certificates) -> x509.Certificate:
    return x509.load_pem_x509_certificate((made.folder / "box.pem").read_bytes())


def test_it_is_kept_as_long_as_it_is_good_and_made_anew_for_a_new_address(made):
    first, authority = certificate(made), made.authority
    ready_certificates(made.folder, NAMES, ADDRESSES[:1], now=NOW)
    assert certificate(made) == first
    ready_certificates(made.folder, NAMES, ["10.0.0.7"], now=NOW)
    named = certificate(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert x509.IPAddress(ipaddress.ip_address("10.0.0.7")) in named
    assert made.authority == authority, "phones need not trust it anew"


def test_it_is_renewed_before_it_ends(made):
    first = certificate(made)
    ready_certificates(made.folder, NAMES, ADDRESSES, now=datetime(2028, 12, 1, tzinfo=UTC))
    assert certificate(made).not_valid_after_utc > first.not_valid_after_utc


@pytest.mark.parametrize("year", [1970, 2100])
def test_a_box_whose_clock_is_wrong_is_believed_by_phones_whose_clock_is_right(tmp_path, year):
    made = ready_certificates(tmp_path / "c", NAMES, ADDRESSES, now=datetime(year, 1, 1, tzinfo=UTC))
    assert certificate(made).not_valid_before_utc < NOW < certificate(made).not_valid_after_utc


def test_no_phone_finds_it_too_long(made):
    assert (certificate(made).not_valid_after_utc - certificate(made).not_valid_before_utc).days <= 825


def test_a_damaged_folder_is_told_in_words(made):
    (made.folder / "box.pem").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="Move that folder away"):
        ready_certificates(made.folder, NAMES, ADDRESSES, now=NOW)
