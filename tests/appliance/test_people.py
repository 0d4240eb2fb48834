"""Tests of appliance.accounts: who is let in, how guessing is slowed, and that nothing secret lies in the file."""

import sqlite3
import threading

import pytest

from appliance.accounts import proof
from appliance.accounts.brake import CLOSED_AFTER, FREE_TRIES, LONGEST_WAIT_S, wait_after
from appliance.accounts.history import History
from appliance.accounts.people import People, Person, Refused, Role
from appliance.accounts.sessions import IDLE_S, SHARED_IDLE_S, Sessions
from appliance.errors import AccountError

PIN = "482915"


class Clock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def people(tmp_path, clock):
    with People(tmp_path / "accounts.sqlite", clock=clock) as people:
        people.add("Amina Otieno", Role.WORKER, "pin", PIN)
        yield people


def test_a_name_and_its_pin_let_in_however_they_are_typed(people):
    for name, pin in [("Amina Otieno", PIN), (" amina  OTIENO ", "482 915"), ("Amina Otieno", "٤٨٢٩١٥")]:
        assert isinstance(people.enter(name, "pin", pin), Person)
    assert isinstance(people.enter("Amina Otieno", "pin", "482916"), Refused)
    assert isinstance(people.enter("Amina", "pin", PIN), Refused)


def test_three_pictures_in_their_order_let_in(people):
    _, pictures = people.add("Juma", Role.WORKER, "pictures")
    assert len(set(pictures.split())) == 3
    assert isinstance(people.enter("juma", "pictures", pictures), Person)
    assert isinstance(people.enter("juma", "pictures", " ".join(reversed(pictures.split()))), Refused)
    assert isinstance(people.enter("juma", "pin", pictures), Refused), "they are no PIN"


@pytest.mark.parametrize("pin", ["12345", "111111", "123456", "654321", "", "4" * 65])
def test_a_pin_that_anybody_guesses_is_not_taken(people, pin):
    with pytest.raises(AccountError):
        people.add("Juma", Role.WORKER, "pin", pin)


def test_whoever_sees_more_needs_a_longer_pin_and_no_pictures(people):
    with pytest.raises(AccountError, match="8 to 64"):
        people.add("Asha", Role.ADMIN, "pin", "482915")
    with pytest.raises(AccountError, match="pictures"):
        people.add("Asha", Role.SUPERVISOR, "pictures")


def test_a_name_is_taken_once_however_it_is_written(people):
    with pytest.raises(AccountError, match="There is somebody"):
        people.add("AMINA  otieno", Role.WORKER)


def test_no_pin_stands_in_the_file_and_nobody_else_may_read_it(people):
    _, pictures = people.add("Juma", Role.WORKER, "pictures")
    code = people.new_first_code()
    files = [people.path, *people.path.parent.glob("accounts.sqlite-*")]
    held = b"".join(path.read_bytes() for path in files)
    assert b"Amina Otieno" in held
    for secret in (PIN, pictures, code, code.replace("-", "")):
        assert secret.encode() not in held
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def wrong(people, times, name="Amina Otieno"):
    return [people.enter(name, "pin", "000001") for _ in range(times)]


def test_guessing_gets_slower_and_the_right_pin_waits_too(people, clock):
    wrong(people, FREE_TRIES)
    assert people.enter("Amina Otieno", "pin", PIN) == Refused(wait_s=1)
    clock.now += 1
    assert wrong(people, 1) == [Refused(wait_s=2)]
    clock.now += 2
    assert isinstance(people.enter("Amina Otieno", "pin", PIN), Person)
    assert wrong(people, 1) == [Refused(wait_s=0)]


def test_a_wait_lasts_over_a_restart_and_whatever_the_clock_says(people, clock, tmp_path):
    wrong(people, FREE_TRIES)
    people.close()
    for now in (0.0, 1e12):  # the monotonic clock begins anew; nothing else is looked at
        with People(tmp_path / "accounts.sqlite", clock=Clock(now)) as again:
            assert again.enter("Amina Otieno", "pin", PIN) == Refused(wait_s=1)


def test_a_name_is_closed_in_the_end_until_somebody_opens_it(people, clock):
    for _ in range(CLOSED_AFTER):
        people.enter("Amina Otieno", "pin", "000001")
        clock.now += LONGEST_WAIT_S
    assert people.enter("Amina Otieno", "pin", PIN) == Refused(closed=True)
    people.let_in(people.named("Amina Otieno").id)
    assert isinstance(people.enter("Amina Otieno", "pin", PIN), Person)


def test_a_name_that_is_nobodys_looks_the_same(people, clock):
    for name in ("Amina Otieno", "Nobody"):
        assert wrong(people, FREE_TRIES, name)[-1] == Refused(wait_s=1)


def test_tries_at_the_same_time_all_count(people):
    threads = [threading.Thread(target=wrong, args=(people, 1)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert people.named("Amina Otieno").failures == FREE_TRIES, "the others met the wait"


def test_the_wait_grows_to_a_bound():
    assert [wait_after(n) for n in (0, 4, 5, 6, 10, 100, 10**6)] == [0, 0, 1, 2, 32, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_the_printed_code_makes_one_administrator_and_no_second(people):
    assert not people.has_admin()
    code = people.new_first_code()
    assert isinstance(people.first_admin("AAAA-AAAA-AAAA", "Asha", "tembo-na-simba"), Refused)
    with pytest.raises(AccountError):
        people.first_admin(code, "Asha", "12345678")
    person = people.first_admin(code.lower().replace("-", " "), "Asha", "tembo-na-simba")
    assert isinstance(person, Person)
    assert person.role is Role.ADMIN
    assert isinstance(people.first_admin(code, "Mallory", "another-pin-1"), Refused)


def test_a_newer_code_ends_the_one_before(people):
    before = people.new_first_code()
    people.new_first_code()
    assert isinstance(people.first_admin(before, "Asha", "tembo-na-simba"), Refused)


def test_there_is_always_an_administrator(people):
    asha, _ = people.add("Asha", Role.ADMIN)
    for act in (people.shut_out, people.remove, lambda i: people.give_role(i, Role.WORKER)):
        with pytest.raises(AccountError, match="only administrator"):
            act(asha.id)
    people.add("Neema", Role.ADMIN)
    people.shut_out(asha.id)


def test_a_worker_who_rises_gets_a_longer_pin(people):
    amina = people.named("Amina Otieno")
    pin = people.give_role(amina.id, Role.SUPERVISOR)
    assert len(pin) == proof.LEAST_SIGNS
    assert isinstance(people.enter("Amina Otieno", "pin", PIN), Refused)
    assert isinstance(people.enter("Amina Otieno", "pin", pin), Person)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("act", ["shut_out", "reset", "give_role", "remove", "end"])
def test_a_session_ends_at_once_when_somebody_ends_it(people, tmp_path, shared, act):
    person = people.named("Amina Otieno")
    sessions = Sessions(people)
    token = sessions.begin(person, shared=shared, device="Android Chrome")
    assert sessions.find(token)[1].name == "Amina Otieno"
    with People(tmp_path / "accounts.sqlite") as elsewhere:  # as a command does, in another process
        match act:
            case "shut_out":
                elsewhere.shut_out(person.id)
            case "reset":
                elsewhere.reset(person.id, "pin")
            case "give_role":
                elsewhere.give_role(person.id, Role.SUPERVISOR)
            case "remove":
                elsewhere.remove(person.id)
            case "end":
                sessions.end(sessions.of(person.id)[0].hash)
    assert sessions.find(token) is None


def test_a_session_of_an_own_phone_survives_a_restart_and_one_of_a_shared_device_does_not(people):
    person = people.named("Amina Otieno")
    sessions = Sessions(people)
    own, shared = (sessions.begin(person, shared=shared, device="") for shared in (False, True))
    after = Sessions(people)
    assert after.find(own) is not None
    assert after.find(shared) is None


def test_idle_sessions_end_and_a_clock_that_jumps_ends_none_early(people):
    person = people.named("Amina Otieno")
    clock, wall = Clock(), Clock(1.7e9)
    sessions = Sessions(people, clock=clock, wall=wall)
    own, shared = (sessions.begin(person, shared=shared, device="") for shared in (False, True))
    wall.now = 0.0  # the battery of its clock is empty
    assert sessions.find(own)
    assert Sessions(people, clock=clock, wall=wall).find(own), "also not over a restart"
    clock.now += SHARED_IDLE_S + 1
    assert sessions.find(shared) is None
    clock.now += IDLE_S + 1
    assert sessions.find(own) is None


def test_tokens_are_kept_as_hashes(people):
    token = Sessions(people).begin(people.named("Amina Otieno"), shared=False, device="")
    with sqlite3.connect(people.path) as database:
        assert token not in "\n".join(database.iterdump())
    database.close()


def test_history_is_found_and_deleted_by_its_person_only(people):
    history = History(people)
    amina = people.named("Amina Otieno").id
    juma = people.add("Juma", Role.WORKER)[0].id
    history.keep(amina, exchange="e1", lang="sw", question="Nichemshe maji?", answer="Dakika 1, 100%.")
    history.keep(amina, exchange="e2", lang="en", question="Who is ill_?", answer="See a nurse.")
    history.keep(juma, exchange="e3", lang="en", question="Which water?", answer="Clean water.")
    history.keep("p-gone", exchange="e4", lang="en", question="Of nobody", answer="")
    assert {one.id for one in history.find(amina)} == {"e1", "e2"}
    assert [one.id for one in history.find(amina, "MAJI dakika")] == ["e1"]
    assert [one.id for one in history.find(amina, "100%")] == ["e1"]
    assert [one.id for one in history.find(amina, "l_")] == ["e2"], "signs of LIKE are letters"
    assert not history.forget(juma, "e1")
    assert history.forget(amina, "e1")
    assert b"Nichemshe" not in b"".join(p.read_bytes() for p in people.path.parent.glob("accounts.sqlite*"))
    assert history.counts() == {amina: 1, juma: 1}
    assert history.forget_all(amina) == 1
    assert history.find(amina) == []
    people.remove(juma)
    assert history.counts() == {}


def test_what_an_administrator_decides_is_there_after_a_restart(people, tmp_path):
    assert (people.entry, people.transport) == ("people", "https")
    people.decide("transport", "http")
    with pytest.raises(AccountError, match="no choice"):
        people.decide("entry", "everybody")
    people.close()
    with People(tmp_path / "accounts.sqlite") as again:
        assert (again.entry, again.transport) == ("people", "http")


def test_a_damaged_file_is_told_in_words(tmp_path):
    (tmp_path / "accounts.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(AccountError, match="restore it from a backup"):
        People(tmp_path / "accounts.sqlite")
