"""Tokens let one box in, once, and are not kept as they are."""

import pytest

from appliance.errors import BatchRefused, HubError, SyncError
from appliance.hub.enrol import admit, issue_token
from appliance.hub.ingest import Hub
from appliance.sync.enrol import enrol
from appliance.sync.wire import read_token


def test_the_same_box_may_say_it_twice_but_a_second_box_may_not(hub, make_box):
    token = issue_token(hub.storage, hub.keys, site="Kisumu", url="")
    first, second = make_box("first", token=token), make_box("second", token=token)
    assert admit(hub.storage, first.introduction()) == first.identity.box
    assert admit(hub.storage, first.introduction()) == first.identity.box
    with pytest.raises(BatchRefused, match="Another box"):
        admit(hub.storage, second.introduction())
    assert [box.site for box in hub.storage.boxes()] == ["Kisumu"]


def test_a_token_of_another_hub_lets_nobody_in(hub, make_box, tmp_path):
    with Hub.open(tmp_path / "other") as other:
        token = issue_token(other.storage, other.keys, site="x", url="")
    with pytest.raises(BatchRefused, match="no such token"):
        admit(hub.storage, make_box(token=token).introduction())


def test_a_box_that_has_a_hub_does_not_change_it_by_a_token(hub, box, tmp_path):
    with Hub.open(tmp_path / "other") as other, pytest.raises(SyncError, match="belongs to the hub"):
        enrol(box.home, issue_token(other.storage, other.keys, site="x", url=""))


@pytest.mark.parametrize("place", [5, 60, 120, -70, -3])
def test_a_changed_introduction_lets_nobody_in(hub, make_box, place):
    said = bytearray(make_box().introduction())
    said[place] = ord("A") if said[place] != ord("A") else ord("B")
    with pytest.raises(BatchRefused):
        admit(hub.storage, bytes(said))
    assert hub.storage.boxes() == []


def test_the_secret_is_in_no_file_of_the_hub(hub):
    token = read_token(issue_token(hub.storage, hub.keys, site="x", url=""))
    for file in hub.folder.rglob("*"):
        assert not file.is_file() or token.secret.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [{"site": ""}, {"site": "two\nlines"}, {"url": "ftp://hub"}, {"url": "hub.example.org"}, {"recovery": ["age1x"]}],
)
def test_what_no_token_can_be_made_of_is_told(hub, wrong):
    with pytest.raises(HubError):
        issue_token(hub.storage, hub.keys, **{"site": "x", "url": "", **wrong})
