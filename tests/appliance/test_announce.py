"""The box answers for its name on the site's network, by real multicast on the loopback interface."""

import pytest
from zeroconf import AddressResolverIPv4, IPVersion, Zeroconf

from appliance.announce import announced

LOOPBACK = ["127.0.0.1"]


@pytest.fixture
def phone():
    with Zeroconf(interfaces=LOOPBACK, ip_version=IPVersion.V4Only) as asking:
        yield asking


def found(phone, name, wait_ms=10_000):
    """The addresses that answer for a name; none when nobody does."""
    asked = AddressResolverIPv4(f"{name}.local.")
    asked.request(phone, wait_ms)
    return asked.parsed_addresses()


def test_a_phone_finds_the_box_by_its_name(phone):
    with announced("fieldpost-test", 7860, lambda: LOOPBACK, interfaces=LOOPBACK):
        assert found(phone, "fieldpost-test") == LOOPBACK
        service = phone.get_service_info("_http._tcp.local.", "fieldpost-test._http._tcp.local.", 10_000)
        assert (service.port, service.server) == (7860, "fieldpost-test.local.")


def test_an_address_that_comes_later_is_told(phone):
    now = []
    with announced("fieldpost-late", 7860, lambda: list(now), look_s=0.05, interfaces=LOOPBACK):
        assert found(phone, "fieldpost-late", 300) == []
        now.append("127.0.0.1")
        assert found(phone, "fieldpost-late") == LOOPBACK
